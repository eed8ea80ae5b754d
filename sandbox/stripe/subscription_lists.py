"""Lists of subscriptions: all that were not canceled, unless a status is asked for."""

from typing import Any

from sandbox.stripe import listing, parameters
from sandbox.stripe.routes import Route
from sandbox.stripe.state import Object, Store

_STATUSES = ("active", "past_due", "unpaid", "canceled", "incomplete", "incomplete_expired", "trialing", "paused")


def list_subscriptions(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, customer="customer", price="price")
    status = params.get("status")
    found = [
        subscription
        for subscription in store.find("subscription", customer=params.get("customer"), created=params.get("created"))
        if _has_status(subscription, status)
        and params.get("price") in (None, subscription["items"]["data"][0]["price"]["id"])
    ]
    return listing.page(found, params, "/v1/subscriptions")


def of_customer(store: Store, customer: Object) -> Object:
    found = [each for each in store.find("subscription", customer=customer["id"]) if _has_status(each, None)]
    return listing.listed(found, f"/v1/customers/{customer['id']}/subscriptions")


def _has_status(subscription: Object, status: str | None) -> bool:
    """Without a status everything but the canceled, as at Stripe; `all` is all."""
    if status is None:
        return bool(subscription["status"] != "canceled")
    return status in ("all", subscription["status"]) or (status == "ended" and subscription["ended_at"] is not None)


ROUTES = [
    Route(
        "GET",
        "/v1/subscriptions",
        list_subscriptions,
        {
            **parameters.LISTING,
            "customer": str,
            "price": str,
            "status": (*_STATUSES, "ended", "all"),
            "created": parameters.MOMENTS,
        },
    ),
]
INCLUDABLES: dict[tuple[str, str], listing.Includable] = {("customer", "subscriptions"): of_customer}
