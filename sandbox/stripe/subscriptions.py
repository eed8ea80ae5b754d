"""Subscriptions: started, changed in the middle of a period, and ended; what time does is in `renewals`."""

import copy
from typing import Any

from sandbox.stripe import (
    customers,
    errors,
    events,
    invoice_lines,
    invoices,
    kept_lines,
    parameters,
    payment_methods,
    pending_updates,
    products,
    subscription_object,
)
from sandbox.stripe.parameters import Required, Unset
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store

ENDED = ("canceled", "incomplete_expired")
REQUIRES_ACTION = "subscription_payment_intent_requires_action"


def create(store: Store, params: dict[str, Any]) -> Object:
    customer = customers.live(store, params["customer"])
    if len(params["items"]) != 1:
        raise errors.invalid("The Stripe sandbox has exactly one item per subscription.", param="items")
    item = params["items"][0]
    price = products.subscribable(store, item["price"], "items[0][price]")
    subscription = subscription_object.new(
        store,
        customer["id"],
        price,
        quantity=item.get("quantity", 1),
        metadata=parameters.merged({}, params),
    )
    subscription["default_payment_method"] = params.get("default_payment_method")
    try:
        return start(store, subscription, behavior=params.get("payment_behavior", "allow_incomplete"))
    except errors.StripeError as refusal:
        raise payment_methods.without_person(refusal, REQUIRES_ACTION) from None


def start(
    store: Store, subscription: Object, *, authenticated: bool = False, behavior: str = "error_if_incomplete"
) -> Object:
    """
    Charge the first period and begin. It is told as incomplete, and a moment later as active.

    :raises StripeError: 402 if the card is declined and `behavior` is error_if_incomplete; then nothing begins
    """
    store.save(subscription)
    item = subscription["items"]["data"][0]
    start, end = item["current_period_start"], item["current_period_end"]
    line = invoice_lines.period_line(store, subscription, item, start=start, end=end)
    invoice, refusal = invoices.bill(
        store, subscription, [line], reason="subscription_create", authenticated=authenticated
    )
    if refusal is not None and (behavior == "error_if_incomplete" or _has_no_card(refusal)):
        raise _without_traces(refusal)
    begun = store.save({**subscription, "latest_invoice": invoice["id"]})
    events.record(store, "customer.subscription.created", begun)
    if refusal is not None:
        return begun
    return events.changed(store, "customer.subscription.updated", begun, {**begun, "status": "active"})


def expire(store: Store, subscription: Object) -> None:
    """Nobody paid for the first period in 23 hours."""
    for invoice in invoices.of_subscription(store, subscription, "open"):
        invoices.void(store, invoice)
    expired = {**subscription, "status": "incomplete_expired", "ended_at": store.now}
    events.changed(store, "customer.subscription.updated", subscription, expired)


def update(store: Store, params: dict[str, Any], subscription_id: str) -> Object:
    before = store.get("subscription", subscription_id)
    _check_update(before, params)
    after = _with_settings(store, copy.deepcopy(before), params)
    item = changed_item(store, after, params.get("items"))
    if item is None:
        return events.changed(store, "customer.subscription.updated", before, after)
    old = after["items"]["data"][0]
    lines = change_lines(store, after, old, item, params)
    after["items"]["data"] = [item]
    pending_updates.drop(store, after)
    if lines and params.get("proration_behavior") == "always_invoice":
        after = _invoice_change(store, before, after, lines, params)
    else:
        kept_lines.keep(store, after, lines)
    return events.changed(store, "customer.subscription.updated", before, after)


def changed_item(store: Store, subscription: Object, items: list[Object] | None) -> Object | None:
    """
    The subscription's item after a change, or None if nothing changes.

    :raises StripeError: 400 unless it names the one item that there is
    """
    if not items:
        return None
    current = subscription["items"]["data"][0]
    if len(items) != 1 or "id" not in items[0]:
        message = "The Stripe sandbox has one item per subscription: change it by items[0][id]."
        raise errors.invalid(message, param="items")
    wanted = items[0]
    if wanted["id"] != current["id"]:
        raise errors.missing("subscription_item", wanted["id"], param="items[0][id]", status=400)
    after = {**current, "quantity": wanted.get("quantity", current["quantity"])}
    if wanted.get("price"):
        price = products.subscribable(store, wanted["price"], "items[0][price]")
        if price["currency"] != subscription["currency"]:
            raise errors.invalid("A subscription's currency cannot change.", param="items[0][price]")
        after |= {"price": price, "plan": products.plan(price)}
    return after if invoice_lines.changes(current, after) else None


def change_lines(
    store: Store, subscription: Object, old: Object, new: Object, params: dict[str, Any]
) -> list[Object]:
    """The two halves of a change, or none if it is not to be prorated."""
    if params.get("proration_behavior") == "none":
        return []
    at = params.get("proration_date", store.now)
    if not old["current_period_start"] <= at <= old["current_period_end"]:
        message = "Invalid proration_date: it must be within the current billing period."
        raise errors.invalid(message, param="proration_date")
    return invoice_lines.proration_lines(store, subscription, old, new, at)


def cancel(store: Store, params: dict[str, Any], subscription_id: str) -> Object:
    subscription = store.get("subscription", subscription_id)
    if subscription["status"] in ENDED:
        raise errors.missing("subscription", subscription_id)
    item = subscription["items"]["data"][0]
    if params.get("prorate"):
        kept_lines.keep(store, subscription, [invoice_lines.credit_line(store, subscription, item, store.now)])
    if params.get("invoice_now"):
        lines = kept_lines.take(store, subscription)
        if lines:
            invoice, _ = invoices.bill(store, subscription, lines, reason="subscription_update")
            subscription = {**subscription, "latest_invoice": invoice["id"]}
    details = params.get("cancellation_details") or {}
    return end(store, subscription, reason="cancellation_requested", details=details)


def end(store: Store, subscription: Object, *, reason: str, details: Object | None = None) -> Object:
    """End a subscription at this moment; its open invoices stay, to be paid by hand, and its drafts stay drafts."""
    pending_updates.drop(store, subscription)
    for invoice in invoices.of_subscription(store, subscription, "open", "draft"):
        invoices.give_up(store, invoice)
    ended = {
        **subscription,
        "status": "canceled",
        "ended_at": store.now,
        "canceled_at": subscription["canceled_at"] or store.now,
        "cancel_at_period_end": False,
        "cancellation_details": {**subscription["cancellation_details"], **(details or {}), "reason": reason},
    }
    store.save(ended)
    events.record(store, "customer.subscription.deleted", ended)
    return ended


def _invoice_change(
    store: Store, before: Object, after: Object, lines: list[Object], params: dict[str, Any]
) -> Object:
    """Charge a change at once; what a declined card means is the caller's `payment_behavior`."""
    store.save(after)
    behavior = params.get("payment_behavior", "allow_incomplete")
    if behavior != "pending_if_incomplete":
        lines = [*kept_lines.take(store, after), *lines]
    invoice, refusal = invoices.bill(store, after, lines, reason="subscription_update")
    after["latest_invoice"] = invoice["id"]
    if refusal is None:
        return after
    if behavior == "error_if_incomplete" or _has_no_card(refusal):
        raise payment_methods.without_person(_without_traces(refusal), REQUIRES_ACTION)
    if behavior == "allow_incomplete":
        invoices.schedule_next_attempt(store, invoice)
        return {**after, "status": "past_due"}
    return pending_updates.waiting(store, before, after)


def _has_no_card(refusal: errors.StripeError) -> bool:
    """There is nothing to charge, whatever the caller would do about a card that fails: Stripe refuses the call."""
    return refusal.details.get("code") == invoices.NO_CARD


def _without_traces(refusal: errors.StripeError) -> errors.StripeError:
    """The refusal without the charge and the intent, which are rolled back with everything else."""
    for name in ("charge", "payment_intent"):
        refusal.details.pop(name, None)
    return refusal


def _check_update(subscription: Object, params: dict[str, Any]) -> None:
    if subscription["status"] in ENDED and set(params) - {"metadata", "cancellation_details"}:
        message = "A canceled subscription can only update its cancellation_details and metadata."
        raise errors.invalid(message)
    if subscription["status"] == "incomplete" and set(params) - {"metadata", "default_payment_method"}:
        message = "An incomplete subscription can only update its metadata and default_payment_method."
        raise errors.invalid(message)
    if params.get("payment_behavior") == "pending_if_incomplete":
        for name in ("cancel_at_period_end", "default_payment_method"):
            if name in params:
                message = f"When `payment_behavior` is `pending_if_incomplete`, you cannot pass `{name}`."
                raise errors.invalid(message, param=name)


def _with_settings(store: Store, subscription: Object, params: dict[str, Any]) -> Object:
    subscription["metadata"] = parameters.merged(subscription["metadata"], params)
    if "default_payment_method" in params:
        chosen = params["default_payment_method"]
        if chosen:
            store.get("payment_method", chosen, param="default_payment_method", status=400)
        subscription["default_payment_method"] = chosen
    details = params.get("cancellation_details") or {}
    subscription["cancellation_details"].update(details)
    wanted = params.get("cancel_at_period_end")
    if wanted is not None and wanted != subscription["cancel_at_period_end"]:
        subscription |= {
            "cancel_at_period_end": wanted,
            "cancel_at": subscription["items"]["data"][0]["current_period_end"] if wanted else None,
            "canceled_at": store.now if wanted else None,
        }
        subscription["cancellation_details"]["reason"] = "cancellation_requested" if wanted else None
    return subscription


PRORATION = ("always_invoice", "create_prorations", "none")
ANCHOR = {"type": Required(("unchanged",))}
ITEM = {"id": str, "price": str, "quantity": parameters.QUANTITY}
_DETAILS = {
    "comment": Unset(str),
    "feedback": Unset(
        (
            "customer_service",
            "low_quality",
            "missing_features",
            "other",
            "switched_service",
            "too_complex",
            "too_expensive",
            "unused",
        )
    ),
}
_UPDATE = {
    "items": [ITEM],
    "proration_behavior": PRORATION,
    "proration_date": int,
    "payment_behavior": ("allow_incomplete", "error_if_incomplete", "pending_if_incomplete"),
    "billing_cycle_anchor": ANCHOR,
    "cancel_at_period_end": bool,
    "cancellation_details": _DETAILS,
    "default_payment_method": str,
    "metadata": parameters.METADATA,
}
ROUTES = [
    Route(
        "POST",
        "/v1/subscriptions",
        create,
        {
            "customer": Required(str),
            "items": Required([{"price": Required(str), "quantity": parameters.QUANTITY}]),
            "payment_behavior": ("allow_incomplete", "error_if_incomplete"),
            "default_payment_method": str,
            "metadata": parameters.METADATA,
        },
    ),
    Route("GET", "/v1/subscriptions/<object_id>", retrieve("subscription")),
    Route("POST", "/v1/subscriptions/<subscription_id>", update, _UPDATE),
    Route(
        "DELETE",
        "/v1/subscriptions/<subscription_id>",
        cancel,
        {"invoice_now": bool, "prorate": bool, "cancellation_details": _DETAILS},
    ),
]
