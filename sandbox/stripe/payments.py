"""Money that moved, or was refused: payment intents and their charges."""

from typing import Any

from sandbox.stripe import cards, listing, parameters
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store, new_id

_NO_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def intend(store: Store, *, customer: str, amount: int, currency: str, description: str) -> Object:
    """A payment intent that nobody has tried yet."""
    intent_id = new_id("pi")
    return store.save(
        {
            "id": intent_id,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": f"{intent_id}_{new_id('secret')}",
            "confirmation_method": "automatic",
            "created": store.now,
            "currency": currency,
            "customer": customer,
            "customer_account": None,
            "description": description,
            "excluded_payment_method_types": None,
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "managed_payments": {"enabled": False},
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_configuration_details": None,
            "payment_method_options": {},
            "payment_method_types": ["card"],
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": "off_session",
            "shipping": None,
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "requires_payment_method",
            "transfer_data": None,
            "transfer_group": None,
        }
    )


def charge(store: Store, intent: Object, payment_method: Object, *, authenticated: bool) -> tuple[Object, str | None]:
    """
    Try to collect an intent.

    :returns: the intent after the attempt, and why the card was declined, or None
    """
    decline = cards.charge_decline(cards.of(payment_method), authenticated=authenticated)
    if decline == cards.AUTHENTICATION:
        return store.save({**intent, **_action(payment_method)}), decline
    attempt = store.save(_charge(store, intent, payment_method, decline))
    after = {**intent, "latest_charge": attempt["id"]}
    if decline is None:
        after |= {
            "status": "succeeded",
            "amount_received": intent["amount"],
            "payment_method": payment_method["id"],
            "last_payment_error": None,
            "next_action": None,
        }
    else:
        explained = {**cards.explain(decline), "charge": attempt["id"], "payment_method": payment_method}
        after |= {"status": "requires_payment_method", "last_payment_error": explained, "next_action": None}
    return store.save(after), decline


def _action(payment_method: Object) -> Object:
    """The bank wants the person before anything is charged."""
    return {
        "status": "requires_action",
        "payment_method": payment_method["id"],
        "last_payment_error": None,
        "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}},
    }


def cancel(store: Store, intent_id: str) -> None:
    intent = store.get("payment_intent", intent_id)
    store.save({**intent, "status": "canceled", "canceled_at": store.now, "cancellation_reason": "void_invoice"})


def list_charges(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, customer="customer", payment_intent="payment_intent")
    wanted = {name: params[name] for name in ("payment_intent",) if name in params}
    found = store.find("charge", customer=params.get("customer"), created=params.get("created"), **wanted)
    return listing.page(found, params, "/v1/charges")


def list_payment_intents(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, customer="customer")
    found = store.find("payment_intent", customer=params.get("customer"), created=params.get("created"))
    return listing.page(found, params, "/v1/payment_intents")


def _charge(store: Store, intent: Object, payment_method: Object, decline: str | None) -> Object:
    explained = cards.explain(decline) if decline else {"code": None, "message": None}
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if decline else intent["amount"],
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {**payment_method["billing_details"], "address": _NO_ADDRESS},
        "calculated_statement_descriptor": "CHATNESS SANDBOX",
        "captured": decline is None,
        "created": store.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": explained["code"],
        "failure_message": explained["message"],
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "outcome": _outcome(decline),
        "paid": decline is None,
        "payment_intent": intent["id"],
        "payment_method": payment_method["id"],
        "payment_method_details": {"card": _card_details(payment_method["card"], intent["amount"]), "type": "card"},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "failed" if decline else "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def _outcome(decline: str | None) -> Object:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if decline else "approved_by_network",
        "reason": decline,
        "seller_message": "The bank declined the payment." if decline else "Payment complete.",
        "type": "issuer_declined" if decline else "authorized",
    }


def _card_details(card: Object, amount: int) -> Object:
    same = (
        "brand",
        "checks",
        "country",
        "exp_month",
        "exp_year",
        "fingerprint",
        "funding",
        "last4",
        "regulated_status",
    )
    return {
        **{name: card[name] for name in same},
        "amount_authorized": amount,
        "authorization_code": None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "three_d_secure": None,
        "transaction_link_id": None,
        "wallet": None,
    }


_LIST = {**parameters.LISTING, "customer": str, "created": parameters.MOMENTS}
ROUTES = [
    Route("GET", "/v1/charges", list_charges, {**_LIST, "payment_intent": str}),
    Route("GET", "/v1/charges/<object_id>", retrieve("charge")),
    Route("GET", "/v1/payment_intents", list_payment_intents, _LIST),
    Route("GET", "/v1/payment_intents/<object_id>", retrieve("payment_intent")),
]
