"""The Stripe account itself, for `chatness stripe setup`: what is in it, and the steps of `account_setup`, done."""

import time
from typing import Any, assert_never

import stripe

from services.billing import account_setup
from services.billing.account_setup import (
    Account,
    ActivatePrice,
    CreateEndpoint,
    CreatePortal,
    CreatePrice,
    CreateProduct,
    Endpoint,
    NotePlan,
    Portal,
    Price,
    Product,
    Step,
    UpdateEndpoint,
    UpdatePortal,
    UpdateProduct,
)
from services.billing.settings import AccountSettings
from services.billing.stripe_calls import calling, noted

PATIENCE_SECONDS = 60.0  # nobody else waits for it
MOST = 100  # a page of a list; no account of ours has more of these


def look(settings: AccountSettings) -> Account:
    """:raises Away, Refused: see `stripe_calls`"""
    sold = account_setup.sold(settings.plans)
    url = f"{settings.public_url}{account_setup.WEBHOOK_PATH}"
    with calling(settings, until=time.monotonic() + PATIENCE_SECONDS) as client:
        prices = {plan.lookup_key: _price(client, plan.lookup_key) for plan in sold}
        known = {key: price for key, price in prices.items() if price is not None}
        ids = {account_setup.product_id(plan) for plan in sold} | {price.product_id for price in known.values()}
        return Account(
            prices=known, products=_products(client, ids), portal=_portal(client), endpoint=_at(client, url)
        )


def do(settings: AccountSettings, step: Step) -> str:
    """
    Safe to be lost on the way: each has the SDK's own idempotency key for its tries, and the next `look` sees it.

    :returns: the signing secret of a new webhook endpoint, which Stripe shows this once; else empty
    :raises Away, Refused: see `stripe_calls`
    """
    wanted: Any
    with calling(settings, until=time.monotonic() + PATIENCE_SECONDS) as client:
        match step:
            case CreateProduct():
                client.v1.products.create({"id": step.product_id, "name": step.name})
            case UpdateProduct():
                client.v1.products.update(step.product_id, {"name": step.name, "active": True})
            case NotePlan():
                client.v1.prices.update(step.price_id, {"metadata": {account_setup.PLAN: step.plan_id}})
            case ActivatePrice():
                client.v1.prices.update(step.price_id, {"active": True})
            case CreatePrice():
                client.v1.prices.create(_new_price(step))
            case CreatePortal():
                wanted = {**_features(step.return_url), "metadata": {account_setup.MARK: "portal"}}
                client.v1.billing_portal.configurations.create(wanted)
            case UpdatePortal():
                wanted = {**_features(step.return_url), "active": True}
                client.v1.billing_portal.configurations.update(step.configuration_id, wanted)
            case CreateEndpoint():
                return _create_endpoint(client, step)
            case UpdateEndpoint():
                wanted = {"enabled_events": sorted(step.events), "disabled": False}
                client.v1.webhook_endpoints.update(step.endpoint_id, wanted)
            case _:
                assert_never(step)
    return ""


def _price(client: stripe.StripeClient, lookup_key: str) -> Price | None:
    """Archived ones too: they keep their lookup key."""
    found = client.v1.prices.list({"lookup_keys": [lookup_key], "limit": 1}).data
    if not found:
        return None
    price = found[0]
    interval = ""
    if price.recurring:
        count = price.recurring.interval_count
        interval = price.recurring.interval if count == 1 else f"{count} {price.recurring.interval}s"
    return Price(
        id=price.id,
        product_id=price.product if isinstance(price.product, str) else price.product.id,
        cents=price.unit_amount,
        currency=price.currency,
        interval=interval,
        active=price.active,
        plan=noted(price.metadata, account_setup.PLAN),
    )


def _products(client: stripe.StripeClient, ids: set[str]) -> dict[str, Product]:
    found = client.v1.products.list({"ids": sorted(ids), "limit": MOST}).data
    return {each.id: Product(id=each.id, name=each.name, active=each.active) for each in found}


def _portal(client: stripe.StripeClient) -> Portal | None:
    found = client.v1.billing_portal.configurations.list({"limit": MOST}).data
    ours = next((each for each in found if noted(each.metadata, account_setup.MARK)), None)
    if ours is None:
        return None
    features = ours.features.to_dict()
    return Portal(
        id=ours.id,
        active=ours.active,
        return_url=ours.default_return_url or "",
        features={name: bool((features.get(name) or {}).get("enabled")) for name in account_setup.FEATURES},
    )


def _at(client: stripe.StripeClient, url: str) -> Endpoint | None:
    """One that works rather than one that is disabled."""
    found = [each for each in client.v1.webhook_endpoints.list({"limit": MOST}).data if each.url == url]
    if not found:
        return None
    chosen = next((each for each in found if each.status == "enabled"), found[0])
    return Endpoint(id=chosen.id, enabled=chosen.status == "enabled", events=frozenset(chosen.enabled_events))


def _new_price(step: CreatePrice) -> Any:
    plan = step.plan
    return {
        "product": step.product_id,
        "currency": plan.currency.lower(),
        "unit_amount": plan.price_cents,
        "recurring": {"interval": "month"},
        "lookup_key": plan.lookup_key,
        "transfer_lookup_key": True,
        "metadata": {account_setup.PLAN: plan.id},
    }


def _features(return_url: str) -> Any:
    features = {name: {"enabled": is_on} for name, is_on in account_setup.FEATURES.items()}
    return {"default_return_url": return_url, "features": features}


def _create_endpoint(client: stripe.StripeClient, step: CreateEndpoint) -> str:
    wanted: Any = {
        "url": step.url,
        "enabled_events": sorted(account_setup.EVENTS),
        "description": "chatness",
        "metadata": {account_setup.MARK: "webhook"},
    }
    return client.v1.webhook_endpoints.create(wanted).secret or ""
