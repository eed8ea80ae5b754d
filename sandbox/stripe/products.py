"""Products and their prices: monthly recurring, licensed, per unit."""

import tomllib
from pathlib import Path
from typing import Any

from sandbox.stripe import errors, events, listing, parameters
from sandbox.stripe.parameters import Required, Unset
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store, new_id


def load_catalogue(store: Store, file: Path) -> None:
    """
    Products and prices of the plans that have a `lookup_key`, under ids derived from the plan's.

    A plan that is there already is left alone; one whose price differs gets a new price, which takes the lookup key.
    """
    for plan in tomllib.loads(file.read_text())["plans"]:
        if "lookup_key" in plan:
            _load_plan(store, plan)


def _load_plan(store: Store, plan: dict[str, Any]) -> None:
    product_id = f"prod_{plan['id']}"
    if store.lookup(product_id) is None:
        store.save(_product(store, product_id, plan["name"]))
    current = store.find("price", lookup_key=plan["lookup_key"])
    wanted = (plan["price_cents"], plan["currency"].lower())
    if current and (current[0]["unit_amount"], current[0]["currency"]) == wanted:
        return
    for old in current:
        store.save({**old, "lookup_key": None})
    price_id = new_id("price") if current else f"price_{plan['id']}"
    store.save({**_price(store, price_id, product_id, *wanted), "lookup_key": plan["lookup_key"]})


def create_product(store: Store, params: dict[str, Any]) -> Object:
    if params.get("id") and store.lookup(params["id"]):
        raise errors.invalid("Product already exists.", param="id", code="resource_already_exists")
    product = _product(store, params.get("id") or new_id("prod"), params["name"])
    store.save(_with(product, params, "active", "description"))
    events.record(store, "product.created", product)
    return product


def list_products(store: Store, params: dict[str, Any]) -> Object:
    found = [
        product
        for product in store.find("product")
        if params.get("active") in (None, product["active"])
        and (params.get("ids") is None or product["id"] in params["ids"])
    ]
    return listing.page(found, params, "/v1/products")


def update_product(store: Store, params: dict[str, Any], product_id: str) -> Object:
    before = store.get("product", product_id)
    after = {**before, "updated": store.now}
    _with(after, params, "active", "description", "name", "default_price")
    return events.changed(store, "product.updated", before, after)


def create_price(store: Store, params: dict[str, Any]) -> Object:
    if (params.get("product") is None) == (params.get("product_data") is None):
        raise errors.invalid("Give exactly one of product and product_data.", param="product")
    if params.get("product_data"):
        product_id = create_product(store, params["product_data"])["id"]
    else:
        product_id = store.get("product", params["product"], param="product", status=400)["id"]
    price = _price(store, new_id("price"), product_id, params["unit_amount"], params["currency"])
    _take_lookup_key(store, price, params)
    store.save(_with(price, params, "active", "nickname"))
    events.record(store, "price.created", price)
    return price


def list_prices(store: Store, params: dict[str, Any]) -> Object:
    listing.known(store, params, product="product")
    found = [
        price
        for price in store.find("price")
        if params.get("active") in (None, price["active"])
        and params.get("product") in (None, price["product"])
        and (params.get("lookup_keys") is None or price["lookup_key"] in params["lookup_keys"])
    ]
    return listing.page(found, params, "/v1/prices")


def update_price(store: Store, params: dict[str, Any], price_id: str) -> Object:
    before = store.get("price", price_id)
    after = dict(before)
    if params.get("active") is False and store.get("product", before["product"])["default_price"] == price_id:
        message = "This price cannot be archived because it is the default price of its product."
        raise errors.invalid(message, param="active")
    _take_lookup_key(store, after, params)
    _with(after, params, "active", "nickname")
    return _changed(store, before, after)


def subscribable(store: Store, price_id: str, param: str) -> Object:
    """:raises StripeError: 400 if there is no such price, or it is archived"""
    price = store.get("price", price_id, param=param, status=400)
    if not price["active"]:
        message = f"The price specified is inactive. This field only accepts active prices. ({price_id})"
        raise errors.invalid(message, param=param)
    return price


def plan(price: Object) -> Object:
    """The price in the older shape that subscription items still carry beside it."""
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": "month",
        "interval_count": 1,
        "livemode": False,
        "metadata": price["metadata"],
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def _product(store: Store, product_id: str, name: str) -> Object:
    return {
        "id": product_id,
        "object": "product",
        "active": True,
        "created": store.now,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": store.now,
        "url": None,
    }


def _price(store: Store, price_id: str, product_id: str, unit_amount: int, currency: str) -> Object:
    return {
        "id": price_id,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": store.now,
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": product_id,
        "recurring": {
            "interval": "month",
            "interval_count": 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        },
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring",
        "unit_amount": unit_amount,
        "unit_amount_decimal": str(unit_amount),
    }


def _take_lookup_key(store: Store, price: Object, params: dict[str, Any]) -> None:
    """:raises StripeError: 400 if another price has the key and it was not asked to be transferred"""
    if "lookup_key" not in params:
        return
    for other in store.find("price", lookup_key=params["lookup_key"]) if params["lookup_key"] else []:
        if other["id"] == price["id"]:
            continue
        if not params.get("transfer_lookup_key"):
            message = f"A price (`{other['id']}`) already uses that lookup key."
            raise errors.invalid(message, param="lookup_key", code="resource_already_exists")
        _changed(store, other, {**other, "lookup_key": None})
    price["lookup_key"] = params["lookup_key"]


def _changed(store: Store, before: Object, after: Object) -> Object:
    """Subscriptions show their price as it is now: one that was replaced has no lookup key any more."""
    for subscription in store.find("subscription"):
        items = subscription["items"]["data"]
        if any(item["price"]["id"] == after["id"] for item in items):
            for item in items:
                if item["price"]["id"] == after["id"]:
                    item.update(price=after, plan=plan(after))
            store.save(subscription)
    return events.changed(store, "price.updated", before, after)


def _with(body: Object, params: dict[str, Any], *names: str) -> Object:
    body.update({name: params[name] for name in names if name in params})
    body["metadata"] = parameters.merged(body["metadata"], params)
    return body


_PRODUCT = {"active": bool, "metadata": parameters.METADATA}
_NEW_PRODUCT = {**_PRODUCT, "id": str, "name": Required(str)}
_PRICE = {
    "active": bool,
    "lookup_key": str,
    "transfer_lookup_key": bool,
    "nickname": str,
    "metadata": parameters.METADATA,
}
_RECURRING = {"interval": Required(("month",)), "interval_count": range(1, 2), "usage_type": ("licensed",)}
ROUTES = [
    Route("POST", "/v1/products", create_product, {**_NEW_PRODUCT, "description": str}),
    Route("GET", "/v1/products", list_products, {**parameters.LISTING, "active": bool, "ids": [str]}),
    Route("GET", "/v1/products/<object_id>", retrieve("product")),
    Route(
        "POST",
        "/v1/products/<product_id>",
        update_product,
        {**_PRODUCT, "description": Unset(str), "name": str, "default_price": str},
    ),
    Route(
        "POST",
        "/v1/prices",
        create_price,
        {
            **_PRICE,
            "currency": Required(str),
            "unit_amount": Required(parameters.AMOUNT),
            "recurring": Required(_RECURRING),
            "product": str,
            "product_data": _NEW_PRODUCT,
        },
    ),
    Route(
        "GET",
        "/v1/prices",
        list_prices,
        {**parameters.LISTING, "active": bool, "product": str, "lookup_keys": [str]},
    ),
    Route("GET", "/v1/prices/<object_id>", retrieve("price")),
    Route("POST", "/v1/prices/<price_id>", update_price, _PRICE),
]
