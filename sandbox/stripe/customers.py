"""Customers, and the credit balance they have with us: negative cents are credit, as at Stripe."""

import secrets
from typing import Any

from sandbox.stripe import errors, events, listing, parameters
from sandbox.stripe.parameters import Required, Unset
from sandbox.stripe.routes import Route, retrieve
from sandbox.stripe.state import Object, Store, new_id

_COPIED = ("email", "name", "description", "phone", "address", "shipping", "tax_exempt", "preferred_locales")
_ADDRESS_LINES = ("city", "country", "line1", "line2", "postal_code", "state")


def create(store: Store, params: dict[str, Any]) -> Object:
    customer: Object = {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": store.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": secrets.token_hex(4).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    store.save(_with(customer, params))
    events.record(store, "customer.created", customer)
    if params.get("balance"):
        adjust_balance(store, customer["id"], params["balance"], kind="adjustment")
    return store.get("customer", customer["id"])


def live(store: Store, customer_id: str, *, param: str = "customer", status: int = 400) -> Object:
    """:raises StripeError: resource_missing if there is no such customer, or it is deleted"""
    customer = store.get("customer", customer_id, param=param, status=status)
    if customer.get("deleted"):
        raise errors.missing("customer", customer_id, param=param, status=status)
    return customer


def list_customers(store: Store, params: dict[str, Any]) -> Object:
    found = [
        customer
        for customer in store.find("customer", created=params.get("created"))
        if not customer.get("deleted") and params.get("email") in (None, customer["email"])
    ]
    return listing.page(found, params, "/v1/customers")


def update(store: Store, params: dict[str, Any], customer_id: str) -> Object:
    before = live(store, customer_id, param="id", status=404)
    if params.get("balance") is not None and params["balance"] != before["balance"]:
        before = adjust_balance(store, customer_id, params["balance"] - before["balance"], kind="adjustment")
    after = {**before, "invoice_settings": dict(before["invoice_settings"])}
    payment_method = (params.get("invoice_settings") or {}).get("default_payment_method")
    if payment_method and store.get("payment_method", payment_method)["customer"] != customer_id:
        message = f"The customer does not have a payment method with the ID {payment_method}."
        raise errors.invalid(message, param="invoice_settings[default_payment_method]", code="resource_missing")
    return events.changed(store, "customer.updated", before, _with(after, params))


def adjust_balance(
    store: Store, customer_id: str, amount: int, *, kind: str, invoice: str | None = None, note: str | None = None
) -> Object:
    """The customer with `amount` cents added to the balance, and a transaction that says why."""
    before = store.get("customer", customer_id)
    after = {**before, "balance": before["balance"] + amount}
    after["currency"] = before["currency"] or "usd"
    store.save(
        {
            "id": new_id("cbtxn"),
            "object": "customer_balance_transaction",
            "amount": amount,
            "checkout_session": None,
            "created": store.now,
            "credit_note": None,
            "currency": after["currency"],
            "customer": customer_id,
            "customer_account": None,
            "description": note,
            "ending_balance": after["balance"],
            "invoice": invoice,
            "livemode": False,
            "metadata": {},
            "type": kind,
        }
    )
    return events.changed(store, "customer.updated", before, after)


def create_balance_transaction(store: Store, params: dict[str, Any], customer_id: str) -> Object:
    customer = live(store, customer_id, param="customer", status=404)
    if customer["currency"] is None:
        store.save({**customer, "currency": params["currency"]})
    elif customer["currency"] != params["currency"]:
        raise errors.invalid(f"The customer's currency is {customer['currency']}.", param="currency")
    adjust_balance(store, customer_id, params["amount"], kind="adjustment", note=params.get("description"))
    newest = store.find("customer_balance_transaction", customer=customer_id)[0]
    return store.save({**newest, "metadata": parameters.merged({}, params)})


def list_balance_transactions(store: Store, params: dict[str, Any], customer_id: str) -> Object:
    live(store, customer_id, param="customer", status=404)
    found = store.find("customer_balance_transaction", customer=customer_id)
    return listing.page(found, params, f"/v1/customers/{customer_id}/balance_transactions")


def _with(customer: Object, params: dict[str, Any]) -> Object:
    customer.update({name: params[name] for name in _COPIED if name in params})
    if customer["address"] is not None:
        customer["address"] = {line: customer["address"].get(line) for line in _ADDRESS_LINES}
    customer["invoice_settings"].update(params.get("invoice_settings") or {})
    customer["metadata"] = parameters.merged(customer["metadata"], params)
    return customer


_ADDRESS = dict.fromkeys(_ADDRESS_LINES, str)
_CUSTOMER = {
    "email": str,
    "name": str,
    "description": str,
    "phone": str,
    "address": Unset(_ADDRESS),
    "shipping": Unset({"name": Required(str), "phone": str, "address": Required(_ADDRESS)}),
    "tax_exempt": Unset(("none", "exempt", "reverse")),
    "preferred_locales": [str],
    "balance": int,
    "metadata": parameters.METADATA,
    "invoice_settings": {"default_payment_method": str, "footer": str},
}
ROUTES = [
    Route("POST", "/v1/customers", create, _CUSTOMER),
    Route(
        "GET",
        "/v1/customers",
        list_customers,
        {**parameters.LISTING, "email": str, "created": parameters.MOMENTS},
    ),
    Route("GET", "/v1/customers/<object_id>", retrieve("customer")),
    Route("POST", "/v1/customers/<customer_id>", update, _CUSTOMER),
    Route(
        "POST",
        "/v1/customers/<customer_id>/balance_transactions",
        create_balance_transaction,
        {
            "amount": Required(int),
            "currency": Required(str),
            "description": str,
            "metadata": parameters.METADATA,
        },
    ),
    Route(
        "GET",
        "/v1/customers/<customer_id>/balance_transactions",
        list_balance_transactions,
        parameters.LISTING,
    ),
]
