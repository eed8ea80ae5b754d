"""Paying an open invoice, by the API, by a person on a page, or by the dunning that tries again; and what follows."""

from typing import Any

from sandbox.stripe import errors, invoices, payment_methods, renewals
from sandbox.stripe.routes import Route
from sandbox.stripe.state import Object, Store


def pay(store: Store, params: dict[str, Any], invoice_id: str) -> Object:
    invoice = store.get("invoice", invoice_id)
    if invoice["status"] == "draft":
        invoice = invoices.finalize(store, invoice)
    chosen = None
    if params.get("payment_method"):
        chosen = payment_methods.find(store, params["payment_method"], param="payment_method", status=400)
        if chosen["customer"] is None:
            chosen = payment_methods.attach_to(store, chosen, invoice["customer"])
    try:
        return collect(store, invoice, payment_method=chosen)
    except errors.StripeError as refusal:
        raise payment_methods.without_person(refusal, "invoice_payment_intent_requires_action") from None


def collect(
    store: Store, invoice: Object, *, payment_method: Object | None = None, authenticated: bool = False
) -> Object:
    """
    The invoice, paid, and its subscription as that leaves it.

    :raises StripeError: 402 if the card is declined, and the failed attempt stays on record
    """
    if invoice["status"] != "open":
        raise errors.invalid(f"Invoice is already {invoice['status']}")
    after, refusal = invoices.attempt(store, invoice, payment_method=payment_method, authenticated=authenticated)
    if refusal is not None:
        refusal.keeps_changes = True
        raise refusal
    renewals.on_invoice_paid(store, after)
    return after


def try_again(store: Store, invoice: Object, after_dunning: str) -> None:
    """
    One attempt of the dunning.

    :param after_dunning: what becomes of the subscription when this was the last: `cancel` or `unpaid`
    """
    after, refusal = invoices.attempt(store, invoice)
    if refusal is None:
        renewals.on_invoice_paid(store, after)
        return
    if invoices.schedule_next_attempt(store, after)["next_payment_attempt"] is None:
        subscription = store.get("subscription", invoices.subscription_of(after))
        renewals.on_dunning_exhausted(store, subscription, after_dunning)


ROUTES = [Route("POST", "/v1/invoices/<invoice_id>/pay", pay, {"payment_method": str, "off_session": bool})]
