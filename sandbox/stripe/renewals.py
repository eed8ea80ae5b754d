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
    """
    What a payment changes: a waiting change happens, and what was behind is active again. The newest invoice that was
    finalised decides over that, as at Stripe; an older one may stay open. What was given up takes the newest of all.
    """
    before = store.get("subscription", invoices.subscription_of(invoice))
    after = copy.deepcopy(before)
    if after["pending_update"] is not None and after["latest_invoice"] == invoice["id"]:
        pending_updates.apply(store, after)
    behind = after["status"] in ("past_due", "incomplete")
    is_level = behind and invoices.newest_finalized(store, after)["status"] != "open"
    if is_level or (after["status"] == "unpaid" and after["latest_invoice"] == invoice["id"]):
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
    drafted = invoice_object.new(store, subscription, lines, reason="subscription_cycle", period=past)
    wait = store.setting("draft_seconds", 0)
    if wait:
        drafted["automatically_finalizes_at"] = drafted["next_payment_attempt"] = store.now + wait
    invoice = invoices.draw_up(store, drafted)
    after = {**subscription, "latest_invoice": invoice["id"]}
    events.changed(store, "customer.subscription.updated", subscription, after)
    return after if wait else collect(store, invoice)


def collect(store: Store, invoice: Object) -> Object:
    """Finalise a renewal's draft and charge it; the subscription as that leaves it."""
    invoice = invoices.finalize(store, {**invoice, "automatically_finalizes_at": None, "next_payment_attempt": None})
    if invoice["status"] != "paid":
        invoice, refusal = invoices.attempt(store, invoice)
        if refusal is not None:
            invoices.schedule_next_attempt(store, invoice)
            before = store.get("subscription", invoices.subscription_of(invoice))
            return events.changed(store, "customer.subscription.updated", before, {**before, "status": "past_due"})
    on_invoice_paid(store, invoice)
    return store.get("subscription", invoices.subscription_of(invoice))
