"""Checkout: a session that a person pays on a page of the sandbox, and that starts a subscription."""

from typing import Any

from sandbox.stripe import (
    customers,
    errors,
    events,
    listing,
    parameters,
    payment_methods,
    products,
    subscription_object,
    subscriptions,
)
from sandbox.stripe.parameters import Required
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store, new_id

LIFETIME_SECONDS = 24 * 3600
SHORTEST_SECONDS = 30 * 60


def create(store: Store, params: dict[str, Any]) -> Object:
    if len(params["line_items"]) != 1:
        raise errors.invalid("The Stripe sandbox has exactly one item per subscription.", param="line_items")
    line = params["line_items"][0]
    price = products.subscribable(store, line["price"], "line_items[0][price]")
    customer = customers.live(store, params["customer"]) if params.get("customer") else None
    if customer and params.get("customer_email"):
        raise errors.invalid("You may only specify one of these parameters: customer, customer_email.")
    _check_urls(params)
    expires_at = params.get("expires_at", store.now + LIFETIME_SECONDS)
    if not SHORTEST_SECONDS <= expires_at - store.now <= LIFETIME_SECONDS:
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from now."
        raise errors.invalid(message, param="expires_at")
    session = _session(
        store, price, params, quantity=line.get("quantity", 1), customer=customer, expires_at=expires_at
    )
    _remember(store, session, price, line, params)
    return store.save(session)


def list_sessions(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, customer="customer", subscription="subscription")
    wanted = {name: params[name] for name in ("status", "subscription") if name in params}
    found = store.find("checkout.session", customer=params.get("customer"), **wanted)
    return listing.page(found, params, "/v1/checkout/sessions")


def expire(store: Store, _params: dict[str, Any], session_id: str) -> Object:
    session = store.get("checkout.session", session_id)
    if session["status"] != "open":
        message = f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {session["status"]}.'
        raise errors.invalid(message)
    return expire_session(store, session)


def expire_session(store: Store, session: Object) -> Object:
    after = store.save({**session, "status": "expired", "url": None})
    events.record(store, "checkout.session.expired", after)
    return after


def complete(store: Store, session: Object, *, number: str, email: str | None, authenticated: bool) -> Object:
    """
    What a person's click on Pay does.

    :param number: the card's, as typed
    :raises StripeError: 402 if the card is declined; 400 if the session is not open any more, or its customer deleted
    """
    if session["status"] != "open":
        raise errors.invalid(f"This Checkout Session is already {session['status']}.")
    order = store.setting(f"order:{session['id']}", None)
    customer = customers.live(store, session["customer"]) if session["customer"] else None
    customer_id = (customer or customers.create(store, {"email": email}))["id"]
    card = payment_methods.attach_to(store, payment_methods.from_number(store, number), customer_id)
    price = products.subscribable(store, order["price"], "line_items[0][price]")
    opened = subscription_object.new(
        store, customer_id, price, quantity=order["quantity"], metadata=order["metadata"]
    )
    opened["default_payment_method"] = card["id"]
    subscription = subscriptions.start(store, opened, authenticated=authenticated)
    return _completed(store, session, subscription)


def line_items(store: Store, session: Object) -> Object:
    order = store.setting(f"order:{session['id']}", None)
    price = store.get("price", order["price"])
    item = {
        "id": f"li_{session['id'][-24:]}",
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": session["amount_subtotal"],
        "amount_tax": 0,
        "amount_total": session["amount_total"],
        "currency": session["currency"],
        "description": store.get("product", price["product"])["name"],
        "metadata": {},
        "price": price,
        "quantity": order["quantity"],
    }
    return listing.listed([item], f"/v1/checkout/sessions/{session['id']}/line_items")


def list_line_items(store: Store, params: dict[str, Any], session_id: str) -> Object:
    found = line_items(store, store.get("checkout.session", session_id))
    return listing.page(found["data"], params, found["url"])


def _completed(store: Store, session: Object, subscription: Object) -> Object:
    customer = store.get("customer", subscription["customer"])
    after = {
        **session,
        "customer": customer["id"],
        "customer_details": _details(customer),
        "invoice": subscription["latest_invoice"],
        "payment_status": "paid",
        "status": "complete",
        "subscription": subscription["id"],
        "url": None,
    }
    store.save(after)
    events.record(store, "checkout.session.completed", after)
    return after


def _details(customer: Object) -> Object:
    return {
        "address": customer["address"],
        "business_name": None,
        "email": customer["email"],
        "individual_name": None,
        "name": customer["name"],
        "phone": customer["phone"],
        "tax_exempt": customer["tax_exempt"],
        "tax_ids": [],
    }


def _remember(store: Store, session: Object, price: Object, line: Object, params: dict[str, Any]) -> None:
    """What the session's object does not show: what will be bought, and the subscription's metadata."""
    metadata = parameters.merged({}, params.get("subscription_data") or {})
    order = {"price": price["id"], "quantity": line.get("quantity", 1), "metadata": metadata}
    store.set_setting(f"order:{session['id']}", order)


def _check_urls(params: dict[str, Any]) -> None:
    for name in ("success_url", "cancel_url"):
        if params.get(name) and not params[name].startswith(("http://", "https://")):
            raise errors.invalid("Not a valid URL", param=name, code="url_invalid")


def _session(
    store: Store,
    price: Object,
    params: dict[str, Any],
    *,
    quantity: int,
    customer: Object | None,
    expires_at: int,
) -> Object:
    session_id = new_id("cs_test", 58)
    amount = price["unit_amount"] * quantity
    return {
        "id": session_id,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": amount,
        "amount_total": amount,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": store.now,
        "currency": price["currency"],
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": customer["id"] if customer else None,
        "customer_account": None,
        "customer_creation": None if customer else "always",
        "customer_details": _details(customer) if customer else None,
        "customer_email": params.get("customer_email"),
        "discounts": None,
        "expires_at": expires_at,
        "integration_identifier": None,
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": None,
        "managed_payments": {"enabled": False},
        "metadata": parameters.merged({}, params),
        "mode": "subscription",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always",
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{store.public_url}/checkout/{session_id}",
        "wallet_options": None,
    }


ROUTES = [
    Route(
        "POST",
        "/v1/checkout/sessions",
        create,
        {
            "mode": Required(("subscription",)),
            "line_items": Required([{"price": Required(str), "quantity": parameters.QUANTITY}]),
            "success_url": Required(str),
            "cancel_url": str,
            "customer": str,
            "customer_email": str,
            "client_reference_id": str,
            "expires_at": int,
            "metadata": parameters.METADATA,
            "subscription_data": {"metadata": parameters.METADATA},
        },
    ),
    Route(
        "GET",
        "/v1/checkout/sessions",
        list_sessions,
        {
            **parameters.LISTING,
            "customer": str,
            "subscription": str,
            "status": ("open", "complete", "expired"),
        },
    ),
    Route("GET", "/v1/checkout/sessions/<object_id>", retrieve("checkout.session")),
    Route("POST", "/v1/checkout/sessions/<session_id>/expire", expire),
    Route("GET", "/v1/checkout/sessions/<session_id>/line_items", list_line_items, parameters.LISTING),
]
INCLUDABLES: dict[tuple[str, str], listing.Includable] = {("checkout.session", "line_items"): line_items}
