"""Invoice lines that wait for the next invoice of their subscription (Stripe's pending invoice items)."""

from sandbox.stripe.state import Object, Store, new_id


def keep(store: Store, subscription: Object, lines: list[Object]) -> None:
    for line in lines:
        kept = {"id": new_id("kept"), "object": "kept_line", "customer": subscription["customer"]}
        store.save({**kept, "subscription": subscription["id"], "line": line})


def get(store: Store, subscription: Object) -> list[Object]:
    """What waits for the next invoice, the oldest first."""
    kept = store.find("kept_line", customer=subscription["customer"], subscription=subscription["id"])
    return [each["line"] for each in reversed(kept)]


def take(store: Store, subscription: Object) -> list[Object]:
    lines = get(store, subscription)
    for each in store.find("kept_line", customer=subscription["customer"], subscription=subscription["id"]):
        store.delete(each["id"])
    return lines
