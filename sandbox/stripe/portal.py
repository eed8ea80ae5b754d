"""The customer portal: its configurations, and sessions that let one customer in."""

import copy
from typing import Any

from sandbox.stripe import customers, errors, listing, parameters, payment_methods, subscriptions
from sandbox.stripe.parameters import Required, Unset
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store, new_id


def ensure_default_configuration(store: Store) -> None:
    """What a fresh Stripe account has: a portal that shows everything the sandbox can do."""
    if not store.find("billing_portal.configuration", is_default=True):
        store.save({**_configuration(store), "is_default": True})


def create_configuration(store: Store, params: dict[str, Any]) -> Object:
    return store.save(_with(_configuration(store), params))


def update_configuration(store: Store, params: dict[str, Any], configuration_id: str) -> Object:
    before = store.get("billing_portal.configuration", configuration_id)
    if before["is_default"] and params.get("active") is False:
        raise errors.invalid("You cannot deactivate the default configuration.", param="active")
    return store.save({**_with(before, params), "updated": store.now})


def list_configurations(store: Store, params: dict[str, Any]) -> Object:
    wanted = {name: params[name] for name in ("active", "is_default") if name in params}
    found = store.find("billing_portal.configuration", **wanted)
    return listing.page(found, params, "/v1/billing_portal/configurations")


def create_session(store: Store, params: dict[str, Any]) -> Object:
    customer = customers.live(store, params["customer"])
    return_url = params.get("return_url")
    if return_url and not return_url.startswith(("http://", "https://")):
        raise errors.invalid("Not a valid URL", param="return_url", code="url_invalid")
    configuration = _chosen_configuration(store, params)
    secret = new_id("portal", 48)
    session = {
        "id": new_id("bps"),
        "object": "billing_portal.session",
        "configuration": configuration["id"],
        "created": store.now,
        "customer": customer["id"],
        "customer_account": None,
        "flow": None,
        "livemode": False,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": return_url or configuration["default_return_url"],
        "url": f"{store.public_url}/portal/{secret}",
    }
    store.set_setting(secret, session["id"])
    return store.save(session)


def session_by_secret(store: Store, secret: str) -> Object:
    """:raises StripeError: 404 if no session has this secret, or its customer is gone"""
    session = store.get("billing_portal.session", store.setting(secret, ""))
    customers.live(store, session["customer"], status=404)
    return session


def change_card(store: Store, session: Object, number: str) -> None:
    """
    Charge the customer, and every subscription that has a card of its own, to a new card.

    :raises StripeError: 402 if the card is declined
    """
    card = payment_methods.from_number(store, number)
    card = payment_methods.attach_to(store, card, session["customer"])
    payment_methods.make_default(store, card)
    for subscription in current_subscriptions(store, session):
        subscriptions.update(store, {"default_payment_method": card["id"]}, subscription["id"])


def set_cancel_at_period_end(store: Store, session: Object, subscription_id: str, wanted: bool) -> None:
    subscription = store.get("subscription", subscription_id)
    if subscription["customer"] != session["customer"]:
        raise errors.missing("subscription", subscription_id)
    subscriptions.update(store, {"cancel_at_period_end": wanted}, subscription_id)


def current_subscriptions(store: Store, session: Object) -> list[Object]:
    found = store.find("subscription", customer=session["customer"])
    return [subscription for subscription in found if subscription["status"] not in subscriptions.ENDED]


def card_in_use(store: Store, session: Object) -> Object | None:
    """The card that the next charge goes to."""
    customer = store.get("customer", session["customer"])
    chosen = [each["default_payment_method"] for each in current_subscriptions(store, session)]
    chosen.append(customer["invoice_settings"]["default_payment_method"])
    found = next((each for each in chosen if each), None)
    return store.lookup(found) if found else None


def _chosen_configuration(store: Store, params: dict[str, Any]) -> Object:
    if params.get("configuration"):
        wanted = params["configuration"]
        chosen = store.get("billing_portal.configuration", wanted, param="configuration", status=400)
        if not chosen["active"]:
            raise errors.invalid(f"The configuration {wanted} is inactive.", param="configuration")
        return chosen
    return store.find("billing_portal.configuration", is_default=True)[0]


def _with(configuration: Object, params: dict[str, Any]) -> Object:
    configuration = copy.deepcopy(configuration)
    for name in ("active", "default_return_url", "name"):
        if name in params:
            configuration[name] = params[name]
    configuration["metadata"] = parameters.merged(configuration["metadata"], params)
    configuration["business_profile"].update(params.get("business_profile") or {})
    for name, feature in (params.get("features") or {}).items():
        configuration["features"][name].update(feature)
    return configuration


def _configuration(store: Store) -> Object:
    return {
        "id": new_id("bpc"),
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": {
            "headline": None,
            "privacy_policy_url": None,
            "terms_of_service_url": None,
        },
        "created": store.now,
        "default_return_url": None,
        "features": {
            "customer_update": {"allowed_updates": [], "enabled": False},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True, "payment_method_configuration": None},
            "subscription_cancel": {
                "cancellation_reason": {"enabled": False, "options": []},
                "enabled": True,
                "mode": "at_period_end",
                "proration_behavior": "none",
            },
            "subscription_pause": {
                "duration": {
                    "interval_options": [{"interval": "month", "interval_count": 1}],
                    "type": "interval_options",
                },
                "enabled": False,
            },
            "subscription_update": {
                "billing_cycle_anchor": None,
                "default_allowed_updates": [],
                "enabled": False,
                "proration_behavior": "none",
                "schedule_at_period_end": {"conditions": []},
                "trial_update_behavior": "end_trial",
            },
        },
        "is_default": False,
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": {},
        "name": None,
        "updated": store.now,
    }


_ON_OFF = {"enabled": Required(bool)}
_CONFIGURATION = {
    "name": Unset(str),
    "default_return_url": Unset(str),
    "business_profile": {"headline": Unset(str), "privacy_policy_url": str, "terms_of_service_url": str},
    "metadata": parameters.METADATA,
}
_FEATURES = {
    "customer_update": {
        **_ON_OFF,
        "allowed_updates": Unset([("address", "email", "name", "phone", "shipping", "tax_id")]),
    },
    "invoice_history": _ON_OFF,
    "payment_method_update": _ON_OFF,
    "subscription_cancel": {**_ON_OFF, "mode": ("at_period_end",), "proration_behavior": ("none",)},
    "subscription_pause": {"enabled": bool},
    "subscription_update": {
        **_ON_OFF,
        "default_allowed_updates": Unset([("price", "promotion_code", "quantity")]),
        "proration_behavior": ("always_invoice", "create_prorations", "none"),
    },
}
ROUTES = [
    Route(
        "POST",
        "/v1/billing_portal/sessions",
        create_session,
        {"customer": Required(str), "return_url": str, "configuration": str, "locale": str},
    ),
    Route(
        "POST",
        "/v1/billing_portal/configurations",
        create_configuration,
        {**_CONFIGURATION, "features": Required(_FEATURES)},
    ),
    Route(
        "GET",
        "/v1/billing_portal/configurations",
        list_configurations,
        {**parameters.LISTING, "active": bool, "is_default": bool},
    ),
    Route("GET", "/v1/billing_portal/configurations/<object_id>", retrieve("billing_portal.configuration")),
    Route(
        "POST",
        "/v1/billing_portal/configurations/<configuration_id>",
        update_configuration,
        {**_CONFIGURATION, "active": bool, "features": _FEATURES},
    ),
]
