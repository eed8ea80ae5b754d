"""Invoices: drawn up, finalised, collected, voided."""

from typing import Any

from sandbox.stripe import customers, errors, events, invoice_object, listing, parameters, payment_methods, payments
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store, new_id

NO_CARD = "resource_missing"
_DUNNING_DAYS = (1, 3, 5, 7)
_DAY_SECONDS = 24 * 3600


def bill(
    store: Store,
    subscription: Object,
    lines: list[Object],
    *,
    reason: str,
    period: tuple[int, int] | None = None,
    authenticated: bool = False,
) -> tuple[Object, errors.StripeError | None]:
    """Draw up, finalise and charge; the refusal is handed back for the caller to judge."""
    drafted = invoice_object.new(store, subscription, lines, reason=reason, period=period or (store.now, store.now))
    invoice = finalize(store, draw_up(store, drafted))
    if invoice["status"] == "paid":
        return invoice, None
    return attempt(store, invoice, authenticated=authenticated)


def draw_up(store: Store, invoice: Object) -> Object:
    store.save(invoice)
    events.record(store, "invoice.created", invoice)
    return invoice


def finalize(store: Store, invoice: Object) -> Object:
    """Number it, settle it with the customer's balance, and make it payable; what owes nothing is paid."""
    customer = store.get("customer", invoice["customer"])
    after = {**invoice, **invoice_object.amounts(invoice["lines"]["data"], customer["balance"], invoice["currency"])}
    after |= {
        "status": "open",
        "number": f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04}",
        "effective_at": store.now,
        "ending_balance": after["total"] + customer["balance"] - after["amount_due"],
        "hosted_invoice_url": f"{store.public_url}/invoice/{invoice['id']}",
        "invoice_pdf": f"{store.public_url}/invoice/{invoice['id']}/pdf",
        "status_transitions": {**invoice["status_transitions"], "finalized_at": store.now},
        "webhooks_delivered_at": store.now,
    }
    _settle_balance(store, customer, after)
    store.save(after)
    events.record(store, "invoice.finalized", after)
    if after["amount_due"] == 0:
        return _paid(store, after, attempted=False)
    _intend(store, after)
    return after


def attempt(
    store: Store, invoice: Object, *, payment_method: Object | None = None, authenticated: bool = False
) -> tuple[Object, errors.StripeError | None]:
    """
    Try to collect an open invoice.

    :param payment_method: a card to use instead of the subscription's or the customer's own
    :returns: the invoice after the attempt, and why it was refused, or None
    """
    chosen = payment_method or _usual_payment_method(store, invoice)
    if chosen is None:
        message = (
            "This customer has no attached payment source or default payment method. Please consider adding a "
            "default payment method."
        )
        return _refused(store, invoice, None), errors.invalid(message, code=NO_CARD)
    payment = payment_of(store, invoice)
    intent = store.get("payment_intent", payment["payment"]["payment_intent"])
    intent, decline = payments.charge(store, intent, chosen, authenticated=authenticated)
    if decline is not None:
        refusal = payment_methods.declined(
            decline, charge=intent["latest_charge"], payment_intent=intent, payment_method=chosen
        )
        return _refused(store, invoice, refusal), refusal
    paid_at = {"canceled_at": None, "paid_at": store.now}
    store.save({**payment, "amount_paid": intent["amount"], "status": "paid", "status_transitions": paid_at})
    return _paid(store, invoice, attempted=True), None


def schedule_next_attempt(store: Store, invoice: Object) -> Object:
    """Try again one, three, five and seven days after it was finalised; then no more."""
    finalized_at = invoice["status_transitions"]["finalized_at"]
    moments = [finalized_at + days * _DAY_SECONDS for days in _DUNNING_DAYS]
    following = next((moment for moment in moments if moment > store.now), None)
    after = {**invoice, "next_payment_attempt": following}
    return events.changed(store, "invoice.updated", invoice, after)


def give_up(store: Store, invoice: Object) -> None:
    """Leave an open invoice to be paid by hand."""
    after = {**invoice, "next_payment_attempt": None, "auto_advance": False}
    events.changed(store, "invoice.updated", invoice, after)


def void(store: Store, invoice: Object) -> Object:
    """:raises StripeError: 400 unless it is open"""
    if invoice["status"] != "open":
        raise errors.invalid(f"You can only void open invoices; this one is {invoice['status']}.")
    transitions = {**invoice["status_transitions"], "voided_at": store.now}
    after = {**invoice, "status": "void", "next_payment_attempt": None, "status_transitions": transitions}
    payment = payment_of(store, invoice)
    payments.cancel(store, payment["payment"]["payment_intent"])
    canceled_at = {"canceled_at": store.now, "paid_at": None}
    store.save({**payment, "status": "canceled", "status_transitions": canceled_at})
    if invoice["starting_balance"] != invoice["ending_balance"]:
        used = invoice["starting_balance"] - invoice["ending_balance"]
        customers.adjust_balance(
            store, invoice["customer"], used, kind="unapplied_from_invoice", invoice=invoice["id"]
        )
    store.save(after)
    events.record(store, "invoice.voided", after)
    return after


def subscription_of(invoice: Object) -> str:
    return str(invoice["parent"]["subscription_details"]["subscription"])


def of_subscription(store: Store, subscription: Object, *statuses: str) -> list[Object]:
    return [
        invoice
        for invoice in store.find("invoice", customer=subscription["customer"])
        if subscription_of(invoice) == subscription["id"] and invoice["status"] in statuses
    ]


def newest_finalized(store: Store, subscription: Object) -> Object:
    return of_subscription(store, subscription, "open", "paid", "uncollectible", "void")[0]


def payment_of(store: Store, invoice: Object) -> Object:
    """The invoice payment that an open or paid invoice has, unless it owed nothing."""
    return store.find("invoice_payment", invoice=invoice["id"])[0]


def list_invoices(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, customer="customer", subscription="subscription")
    found = [
        invoice
        for invoice in store.find("invoice", customer=params.get("customer"), created=params.get("created"))
        if params.get("status") in (None, invoice["status"])
        and params.get("subscription") in (None, subscription_of(invoice))
    ]
    return listing.page(found, params, "/v1/invoices")


def list_lines(store: Store, params: dict[str, Any], invoice_id: str) -> Object:
    lines = store.get("invoice", invoice_id)["lines"]["data"]
    return listing.page(lines, params, f"/v1/invoices/{invoice_id}/lines")


def finalize_draft(store: Store, _params: dict[str, Any], invoice_id: str) -> Object:
    invoice = store.get("invoice", invoice_id)
    if invoice["status"] != "draft":
        raise errors.invalid("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    return finalize(store, invoice)


def void_invoice(store: Store, _params: dict[str, Any], invoice_id: str) -> Object:
    return void(store, store.get("invoice", invoice_id))


def list_payments(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, invoice="invoice")
    wanted = {name: params[name] for name in ("invoice", "status") if name in params}
    found = store.find("invoice_payment", **wanted)
    return listing.page(found, params, "/v1/invoice_payments")


def _settle_balance(store: Store, customer: Object, invoice: Object) -> None:
    sequence = customer["next_invoice_sequence"] + 1
    store.save({**customer, "next_invoice_sequence": sequence, "currency": invoice["currency"]})
    used = invoice["ending_balance"] - customer["balance"]
    if used:
        customers.adjust_balance(store, customer["id"], used, kind="applied_to_invoice", invoice=invoice["id"])


def _intend(store: Store, invoice: Object) -> None:
    intent = payments.intend(
        store,
        customer=invoice["customer"],
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        description=f"Invoice {invoice['number']}",
    )
    store.save(
        {
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": store.now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )


def _usual_payment_method(store: Store, invoice: Object) -> Object | None:
    subscription = store.get("subscription", subscription_of(invoice))
    customer = store.get("customer", invoice["customer"])
    if customer.get("deleted"):
        return None
    chosen = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    found = store.lookup(chosen) if chosen else None
    return found if found and found["customer"] == customer["id"] else None


def _paid(store: Store, invoice: Object, *, attempted: bool) -> Object:
    after = {
        **invoice,
        "status": "paid",
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + int(attempted),
        "amount_paid": invoice["amount_due"],
        "amount_remaining": 0,
        "next_payment_attempt": None,
        "status_transitions": {**invoice["status_transitions"], "paid_at": store.now},
    }
    events.changed(store, "invoice.updated", invoice, after)
    events.record(store, "invoice.paid", after)
    if attempted:
        _mark_delinquent(store, invoice["customer"], False)
    return after


def _refused(store: Store, invoice: Object, refusal: errors.StripeError | None) -> Object:
    after = {**invoice, "attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    events.changed(store, "invoice.updated", invoice, after)
    events.record(store, "invoice.payment_failed", after)
    if refusal is not None and refusal.details["code"] == "authentication_required":
        events.record(store, "invoice.payment_action_required", after)
    _mark_delinquent(store, invoice["customer"], True)
    return after


def _mark_delinquent(store: Store, customer_id: str, delinquent: bool) -> None:
    customer = store.get("customer", customer_id)
    if not customer.get("deleted"):
        events.changed(store, "customer.updated", customer, {**customer, "delinquent": delinquent})


def _payments(store: Store, invoice: Object) -> Object:
    found = store.find("invoice_payment", invoice=invoice["id"])
    return listing.listed(found, f"/v1/invoice_payments?invoice={invoice['id']}")


def _confirmation_secret(store: Store, invoice: Object) -> Object | None:
    found = store.find("invoice_payment", invoice=invoice["id"])
    if not found:
        return None
    intent = store.get("payment_intent", found[0]["payment"]["payment_intent"])
    return {"client_secret": intent["client_secret"], "type": "payment_intent"}


_PAYMENTS = {**parameters.LISTING, "invoice": str, "status": ("canceled", "open", "paid")}
_STATUSES = ("draft", "open", "paid", "uncollectible", "void")
ROUTES = [
    Route(
        "GET",
        "/v1/invoices",
        list_invoices,
        {
            **parameters.LISTING,
            "customer": str,
            "subscription": str,
            "status": _STATUSES,
            "created": parameters.MOMENTS,
        },
    ),
    Route("GET", "/v1/invoices/<object_id>", retrieve("invoice")),
    Route("GET", "/v1/invoices/<invoice_id>/lines", list_lines, parameters.LISTING),
    Route("POST", "/v1/invoices/<invoice_id>/finalize", finalize_draft),
    Route("POST", "/v1/invoices/<invoice_id>/void", void_invoice),
    Route("GET", "/v1/invoice_payments", list_payments, _PAYMENTS),
]
INCLUDABLES: dict[tuple[str, str], listing.Includable] = {
    ("invoice", "payments"): _payments,
    ("invoice", "confirmation_secret"): _confirmation_secret,
}
