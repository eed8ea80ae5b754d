"""What the passing of time does, each thing at its own moment, however far the clock has jumped."""

from sandbox.stripe import checkout, collection, pending_updates, renewals, subscriptions
from sandbox.stripe.state import Object, Store


def catch_up(store: Store) -> bool:
    """
    Do everything that was due until now, in the order of its time.

    :returns: whether there was anything
    """
    anything = False
    while (first := store.first_due(store.present)) is not None:
        moment, body = first
        store.now = moment
        _RULES[body["object"]](store, body)
        anything = True
    store.now = store.present
    return anything


def _subscription(store: Store, subscription: Object) -> None:
    pending = subscription["pending_update"]
    if subscription["status"] == "incomplete":
        subscriptions.expire(store, subscription)
    elif pending is not None and pending["expires_at"] <= store.now:
        pending_updates.expire(store, subscription)
    elif subscription["cancel_at_period_end"]:
        subscriptions.end(store, subscription, reason="cancellation_requested")
    else:
        renewals.renew(store, subscription)


def _invoice(store: Store, invoice: Object) -> None:
    if invoice["status"] == "draft":
        renewals.collect(store, invoice)
    else:
        collection.try_again(store, invoice, store.setting("after_dunning", "unpaid"))


_RULES = {"subscription": _subscription, "invoice": _invoice, "checkout.session": checkout.expire_session}
