"""A change that waits for money, and replaces the subscription's item when its invoice is paid."""

import copy

from sandbox.stripe import events, invoices
from sandbox.stripe.state import Object, Store

LIFETIME_SECONDS = 23 * 3600


def waiting(store: Store, before: Object, after: Object) -> Object:
    """The subscription as it was before a change, with the change waiting in it."""
    period_end = after["items"]["data"][0]["current_period_end"]
    pending = {
        "billing_cycle_anchor": None,
        "cancel_at_period_end": None,
        "discount": None,
        "discounts": None,
        "expires_at": min(store.now + LIFETIME_SECONDS, period_end),
        "metadata": after["metadata"] if after["metadata"] != before["metadata"] else None,
        "subscription_items": after["items"]["data"],
        "trial_end": None,
        "trial_from_plan": None,
    }
    return {**after, "items": before["items"], "metadata": before["metadata"], "pending_update": pending}


def apply(store: Store, subscription: Object) -> None:
    """Change `subscription` into what it waited to be."""
    pending = subscription["pending_update"]
    subscription["items"]["data"] = pending["subscription_items"]
    subscription["metadata"] = pending["metadata"] or subscription["metadata"]
    subscription["pending_update"] = None
    events.record(store, "customer.subscription.pending_update_applied", subscription)


def drop(store: Store, subscription: Object) -> None:
    """A newer change, an end or the period's end replaces a change that waits for money."""
    if subscription["pending_update"] is None:
        return
    subscription["pending_update"] = None
    invoice = store.get("invoice", subscription["latest_invoice"])
    if invoice["status"] == "open":
        invoices.void(store, invoice)


def expire(store: Store, subscription: Object) -> None:
    before = copy.deepcopy(subscription)
    drop(store, subscription)
    events.changed(store, "customer.subscription.updated", before, subscription)
    events.record(store, "customer.subscription.pending_update_expired", subscription)
