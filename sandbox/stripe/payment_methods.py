"""Payment methods: test cards, attached to customers."""

from typing import Any

from sandbox.stripe import cards, customers, errors, events, listing, parameters
from sandbox.stripe.parameters import Required, Unset
from sandbox.stripe.routes import Route
from sandbox.stripe.state import Object, Store, new_id


def create(store: Store, params: dict[str, Any]) -> Object:
    card = _card(params["card"])
    return store.save(_payment_method(store, card, params))


def from_number(store: Store, number: str) -> Object:
    """
    A new, unattached payment method for the number a person typed.

    :raises StripeError: 402 if it is not one of the test cards
    """
    card = cards.by_number(number)
    if card is None:
        message = "Your card number is incorrect. The Stripe sandbox takes Stripe's test cards only."
        raise errors.StripeError(402, "card_error", message, code="incorrect_number", param="number")
    return store.save(_payment_method(store, card, {}))


def get(store: Store, _params: dict[str, Any], payment_method_id: str) -> Object:
    return find(store, payment_method_id)


def find(store: Store, payment_method_id: str, *, param: str = "id", status: int = 404) -> Object:
    """A stored payment method, or a new one for a test token such as `pm_card_visa`."""
    card = cards.by_token(payment_method_id)
    if card is not None:
        return store.save(_payment_method(store, card, {}))
    return store.get("payment_method", payment_method_id, param=param, status=status)


def attach(store: Store, params: dict[str, Any], payment_method_id: str) -> Object:
    customer = customers.live(store, params["customer"])
    payment_method = find(store, payment_method_id)
    return attach_to(store, payment_method, customer["id"])


def attach_to(store: Store, payment_method: Object, customer_id: str) -> Object:
    """
    :raises StripeError: 402 if the card is declined; 400 if another customer has it
    """
    if payment_method["customer"] not in (None, customer_id):
        raise errors.invalid("The payment method you provided has already been attached to a customer.")
    decline = cards.of(payment_method).attach_decline
    if decline is not None:
        raise declined(decline)
    if payment_method["customer"] is None:
        store.save({**payment_method, "customer": customer_id})
        events.record(store, "payment_method.attached", {**payment_method, "customer": customer_id})
    return {**payment_method, "customer": customer_id}


def make_default(store: Store, payment_method: Object) -> None:
    """Charge the customer's invoices to this card from now on."""
    chosen = {"invoice_settings": {"default_payment_method": payment_method["id"]}}
    customers.update(store, chosen, payment_method["customer"])


def detach(store: Store, _params: dict[str, Any], payment_method_id: str) -> Object:
    before = store.get("payment_method", payment_method_id)
    if before["customer"] is None:
        raise errors.invalid("The payment method you provided is not attached to a customer.")
    after = store.save({**before, "customer": None})
    events.record(store, "payment_method.detached", after, before=before)
    customer = store.get("customer", before["customer"])
    if customer["invoice_settings"]["default_payment_method"] == payment_method_id:
        customers.update(store, {"invoice_settings": {"default_payment_method": None}}, customer["id"])
    return after


def list_payment_methods(store: Store, params: dict[str, Any], customer_id: str | None = None) -> Object:
    wanted = customer_id or params.get("customer")
    url = f"/v1/customers/{customer_id}/payment_methods" if customer_id else "/v1/payment_methods"
    if wanted is None:
        raise errors.invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    customers.live(store, wanted, status=404 if customer_id else 400)
    return listing.page(store.find("payment_method", customer=wanted), params, url)


def declined(decline: str, **details: Any) -> errors.StripeError:
    """The 402 for a decline."""
    fields = cards.explain(decline)
    kind, message = fields.pop("type"), fields.pop("message")
    return errors.StripeError(402, kind, message, **fields, **details)


def without_person(refusal: errors.StripeError, code: str) -> errors.StripeError:
    """A program cannot confirm at the bank: Stripe says with a code of the call that a person must."""
    if refusal.details.get("code") == cards.AUTHENTICATION:
        refusal.details = {**refusal.details, "code": code}
        refusal.details.pop("decline_code")
    return refusal


def _card(params: dict[str, Any]) -> cards.Card:
    card = cards.by_token(params["token"]) if params.get("token") else cards.by_number(params.get("number") or "")
    if card is None:
        message = "Your card number is incorrect. The Stripe sandbox takes Stripe's test cards only."
        raise errors.StripeError(402, "card_error", message, code="incorrect_number", param="card[number]")
    return card


def _payment_method(store: Store, card: cards.Card, params: dict[str, Any]) -> Object:
    billing_details = params.get("billing_details") or {}
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state")),
            "email": billing_details.get("email"),
            "name": billing_details.get("name"),
            "phone": None,
            "tax_id": None,
        },
        "card": {
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "display_brand": card.brand,
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": card.fingerprint,
            "funding": "credit",
            "generated_from": None,
            "last4": card.number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": store.now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": parameters.merged({}, params),
        "type": "card",
    }


_NEW = {
    "type": Required(("card",)),
    "card": Required({"number": str, "token": str, "exp_month": int, "exp_year": int, "cvc": str}),
    "billing_details": {"email": Unset(str), "name": Unset(str)},
    "metadata": parameters.METADATA,
}
_LIST = {**parameters.LISTING, "type": ("card",)}
ROUTES = [
    Route("POST", "/v1/payment_methods", create, _NEW),
    Route("GET", "/v1/payment_methods", list_payment_methods, {**_LIST, "customer": str}),
    Route("GET", "/v1/payment_methods/<payment_method_id>", get),
    Route("POST", "/v1/payment_methods/<payment_method_id>/attach", attach, {"customer": Required(str)}),
    Route("POST", "/v1/payment_methods/<payment_method_id>/detach", detach),
    Route("GET", "/v1/customers/<customer_id>/payment_methods", list_payment_methods, _LIST),
]
