"""What the next invoice of a subscription would be, without changing anything."""

import copy
from typing import Any

from sandbox.stripe import errors, invoice_lines, invoice_object, kept_lines, proration, subscriptions
from sandbox.stripe.parameters import Required
from sandbox.stripe.routes import Route
from sandbox.stripe.state import Object, Store, new_id


def create_preview(store: Store, params: dict[str, Any]) -> Object:
    """
    With `always_invoice` and a change that is prorated: the invoice of the change. Else the next renewal's.

    :raises StripeError: 404 with code invoice_upcoming_none if the subscription ends before another invoice
    """
    subscription = copy.deepcopy(store.get("subscription", params["subscription"], param="subscription"))
    if params.get("customer") not in (None, subscription["customer"]):
        raise errors.missing("subscription", subscription["id"], param="subscription")
    details = params.get("subscription_details") or {}
    old = subscription["items"]["data"][0]
    new = subscriptions.changed_item(store, subscription, details.get("items"))
    changes = subscriptions.change_lines(store, subscription, old, new, details) if new else []
    kept = kept_lines.get(store, subscription)
    if changes and details.get("proration_behavior") == "always_invoice":
        lines = [*kept, *changes]
        return _preview(store, subscription, lines, reason="subscription_update", period=(store.now, store.now))
    return _renewal(store, subscription, new or old, [*kept, *changes], details)


def _renewal(
    store: Store, subscription: Object, item: Object, lines: list[Object], details: dict[str, Any]
) -> Object:
    ends = details.get("cancel_at_period_end", subscription["cancel_at_period_end"])
    if subscription["status"] in subscriptions.ENDED or ends:
        message = f"No upcoming invoices for customer: {subscription['customer']}"
        raise errors.StripeError(404, "invalid_request_error", message, code="invoice_upcoming_none")
    start = item["current_period_end"]
    end = proration.next_period_end(subscription["billing_cycle_anchor"], start)
    following = invoice_lines.period_line(store, subscription, item, start=start, end=end)
    past = (item["current_period_start"], start)
    preview = _preview(store, subscription, [*lines, following], reason="upcoming", period=past)
    return {**preview, "next_payment_attempt": start}


def _preview(
    store: Store, subscription: Object, lines: list[Object], *, reason: str, period: tuple[int, int]
) -> Object:
    temporary = [{**line, "id": new_id("il_tmp")} for line in lines]
    preview = invoice_object.new(
        store,
        subscription,
        temporary,
        reason=reason,
        period=period,
        invoice_id=new_id("upcoming_in"),
    )
    return {**preview, "ending_balance": preview["total"] + preview["starting_balance"] - preview["amount_due"]}


ROUTES = [
    Route(
        "POST",
        "/v1/invoices/create_preview",
        create_preview,
        {
            "customer": str,
            "subscription": Required(str),
            "subscription_details": {
                "items": [subscriptions.ITEM],
                "proration_behavior": subscriptions.PRORATION,
                "proration_date": int,
                "billing_cycle_anchor": subscriptions.ANCHOR,
                "cancel_at_period_end": bool,
            },
        },
    )
]
