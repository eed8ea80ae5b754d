"""What becomes of a subscription with time and money: renewed, behind, paid again, given up."""

import copy

from sandbox.stripe import (
    events,
    invoice_lines,
    invoice_object,
    invoices,
    kept_lines,
    pending_updates,
    proration,
    subscriptions,
)
from sandbox.stripe.state import Object, Store


def renew(store: Store, subscription: Object) -> Object:
    """Go on to the next period and charge it; an unpaid subscription gets a draft that nobody charges."""
    before = copy.deepcopy(subscription)
    pending_updates.drop(store, subscription)
    item = dict(subscription["items"]["data"][0])
    start = item["current_period_end"]
    end_ = proration.next_period_end(subscription["billing_cycle_anchor"], start)
    past = (item["current_period_start"], start)
    item |= {"current_period_start": start, "current_period_end": end_}
    subscription["items"]["data"] = [item]
    lines = kept_lines.take(store, subscription)
    lines.append(invoice_lines.period_line(store, subscription, item, start=start, end=end_))
    events.changed(store, "customer.subscription.updated", before, subscription)
    return _charge_renewal(store, subscription, lines, past)


def on_invoice_paid(store: Store, invoice: Object) -> None:
    """What a payment changes: a waiting change happens; what was behind is active again with its last invoice."""
    before = store.get("subscription", invoices.subscription_of(invoice))
    after = copy.deepcopy(before)
    if after["pending_update"] is not None and after["latest_invoice"] == invoice["id"]:
        pending_updates.apply(store, after)
    if after["status"] in ("past_due", "unpaid") and after["latest_invoice"] == invoice["id"]:
        after["status"] = "active"
    events.changed(store, "customer.subscription.updated", before, after)


def on_dunning_exhausted(store: Store, subscription: Object, action: str) -> None:
    """:param action: `cancel` or `unpaid`"""
    if action == "cancel":
        subscriptions.end(store, subscription, reason="payment_failed")
    else:
        unpaid = {**subscription, "status": "unpaid"}
        events.changed(store, "customer.subscription.updated", subscription, unpaid)


def _charge_renewal(store: Store, subscription: Object, lines: list[Object], past: tuple[int, int]) -> Object:
    if subscription["status"] == "unpaid":
        draft = invoice_object.new(store, subscription, lines, reason="subscription_cycle", period=past)
        invoices.draw_up(store, {**draft, "auto_advance": False})
        return store.save({**subscription, "latest_invoice": draft["id"]})
    invoice, refusal = invoices.bill(store, subscription, lines, reason="subscription_cycle", period=past)
    after = {**subscription, "latest_invoice": invoice["id"]}
    if refusal is not None:
        after["status"] = "past_due"
        invoices.schedule_next_attempt(store, invoice)
    return events.changed(store, "customer.subscription.updated", subscription, after)
