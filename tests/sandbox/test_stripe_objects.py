"""The sandbox's objects against the examples that Stripe publishes, and the SDK's types where those leave room."""

import json
import types
import typing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe
import stripe.billing_portal
import stripe.checkout

from tests.sandbox import stripe_process

EXAMPLES = json.loads((Path(__file__).parent / "fixtures" / "stripe_examples.json").read_text())["resources"]
EXAMPLES["event"]["data"]["object"] = {}  # any object; the example happens to hold a plan
EXAMPLES["payment_method"]["metadata"] = {}  # any names; the example happens to have one
CLASSES: dict[str, Any] = {
    "billing_portal.configuration": stripe.billing_portal.Configuration,
    "billing_portal.session": stripe.billing_portal.Session,
    "charge": stripe.Charge,
    "checkout.session": stripe.checkout.Session,
    "customer": stripe.Customer,
    "customer_balance_transaction": stripe.CustomerBalanceTransaction,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "price": stripe.Price,
    "product": stripe.Product,
    "refund": stripe.Refund,
    "subscription": stripe.Subscription,
    "webhook_endpoint": stripe.WebhookEndpoint,
}
OLDER_THAN_THE_API = {
    "invoice.subscription": "2025-03-31.basil moved it into invoice.parent.subscription_details",
    "charge.refunds": "2022-11-15 leaves it out unless it is expanded",
}


@pytest.fixture
def objects(sandbox: stripe_process.Sandbox, client: stripe.StripeClient) -> dict[str, list[dict[str, Any]]]:
    """Everything the sandbox knows after it has been used in every way, by kind."""
    subscription = sandbox.subscribe("price_growth")
    item = subscription["items"].data[0].id
    update = {"items": [{"id": item, "price": "price_starter"}], "proration_behavior": "always_invoice"}
    client.v1.subscriptions.update(subscription.id, update)
    customer = subscription.customer
    session = {
        "mode": "subscription",
        "line_items": [{"price": "price_growth", "quantity": 1}],
        "success_url": "https://example.com/paid",
    }
    paid = client.v1.checkout.sessions.create({**session, "customer": customer})
    requests.post(paid.url or "", data={"number": "4242424242424242"}, allow_redirects=False, timeout=10)
    client.v1.checkout.sessions.create(session)
    client.v1.billing_portal.sessions.create({"customer": customer, "return_url": "https://example.com/"})
    charge = client.v1.charges.list({"customer": customer}).data[0]
    client.v1.refunds.create({"charge": charge.id, "amount": 100})
    sandbox.knob("disputes", {"charge": charge.id})
    sandbox.use_card(customer, "pm_card_chargeCustomerFail")
    update = {
        "items": [{"id": item, "price": "price_growth"}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "pending_if_incomplete",
    }
    client.v1.subscriptions.update(subscription.id, update)
    known = requests.get(f"{sandbox.address}/_sandbox/state", timeout=10).json()
    return dict(known)


class TestObjects:
    def test_have_the_keys_and_types_of_stripes_examples(self, objects: dict[str, list[dict[str, Any]]]):
        problems = [
            problem
            for kind, expected in CLASSES.items()
            for each in objects[kind]
            for problem in differences(each, EXAMPLES[kind], expected, kind)
        ]

        assert not problems, "\n".join(sorted(set(problems)))

    def test_are_all_compared(self, objects: dict[str, list[dict[str, Any]]]):
        assert set(objects) - {"kept_line"} == set(CLASSES)

    def test_that_are_only_included_have_their_keys_and_types(
        self, sandbox: stripe_process.Sandbox, client: stripe.StripeClient
    ):
        session = client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": "price_growth", "quantity": 1}],
                "success_url": "https://example.com/paid",
                "expand": ["line_items"],
            }
        )

        line = json.loads(session.last_response.body)["line_items"]["data"][0]

        assert list(differences(line, EXAMPLES["item"], stripe.LineItem, "item")) == []

    def test_have_the_keys_of_a_deletion_when_deleted(self, client: stripe.StripeClient):
        customer = client.v1.customers.create({})
        endpoint = client.v1.webhook_endpoints.create({"url": "https://example.com", "enabled_events": ["*"]})

        deleted = client.v1.customers.delete(customer.id).to_dict()
        deleted_endpoint = client.v1.webhook_endpoints.delete(endpoint.id).to_dict()

        assert set(deleted) == set(EXAMPLES["deleted_customer"])
        assert set(deleted_endpoint) == set(EXAMPLES["deleted_webhook_endpoint"])


class TestDifferences:
    def test_sees_a_missing_key_and_a_wrong_type(self):
        example = {"id": "cus_1", "balance": 0, "livemode": False}

        found = differences({"id": 5, "balance": True}, example, stripe.Customer, "customer")

        assert set(found) == {
            "customer.balance: bool, not int",
            "customer.id: int, not str",
            "customer.livemode is missing",
            "customer.created is missing, newer than the example",
            "customer.object is missing, newer than the example",
        }

    def test_sees_a_null_that_the_sdk_does_not_allow(self):
        assert "customer.id: null" in differences({"id": None}, {"id": "cus_1"}, stripe.Customer, "customer")

    def test_sees_what_lies_where_the_example_has_nothing(self):
        value = {"expires_at": None, "colour": "red", "subscription_items": [{"id": 1}]}

        found = differences(value, None, stripe.Subscription.PendingUpdate, "pending_update")

        assert "pending_update.expires_at: null" in found
        assert "pending_update.colour is unknown" in found
        assert "pending_update.subscription_items[].id: int, not <class 'str'>" in found
        assert "pending_update.subscription_items[].price is missing" in found

    def test_sees_a_key_that_the_sdk_does_not_know(self):
        found = differences({"id": "in_1", "charge": "ch_1"}, {"id": "in_1"}, stripe.Invoice, "invoice")

        assert "invoice.charge is unknown" in found


def differences(value: Any, example: Any, annotation: Any, path: str) -> list[str]:
    """How a value differs in keys and JSON types from an example; the SDK's annotation allows nulls and additions."""
    if value is None:
        return [] if example is None or allows_none(annotation) else [f"{path}: null"]
    if example is None or example in ({}, []):
        return by_annotation(value, annotation, path)
    if type(value) is not type(example):
        return [f"{path}: {type(value).__name__}, not {type(example).__name__}"]
    if isinstance(value, list):
        inner = element_of(annotation)
        return [each for item in value for each in differences(item, example[0], inner, f"{path}[]")]
    return by_key(value, example, annotation, path) if isinstance(value, dict) else []


def by_key(value: dict[str, Any], example: dict[str, Any], annotation: Any, path: str) -> list[str]:
    known = fields_of(annotation)
    found = [
        f"{path}.{key} is missing"
        for key in example
        if key not in value and f"{path}.{key}" not in OLDER_THAN_THE_API
    ]
    if known:
        found += [f"{path}.{key} is unknown" for key in value if key not in example and key not in known]
        found += [
            f"{path}.{key} is missing, newer than the example"
            for key in known
            if key not in value and key not in example and not allows_none(known[key])
        ]
    for key in value.keys() & example.keys():
        found += differences(value[key], example[key], known.get(key), f"{path}.{key}")
    return found


def by_annotation(value: Any, annotation: Any, path: str) -> list[str]:
    """The example shows nothing, so the SDK's type decides."""
    choices = alternatives(annotation)
    json_types = {json_type(each) for each in choices}
    if annotation is None:
        return []
    if type(value) not in json_types:
        return [f"{path}: {type(value).__name__}, not {annotation}"]
    if isinstance(value, list):
        inner = element_of(annotation)
        return [each for item in value for each in by_annotation(item, inner, f"{path}[]")]
    return by_fields(value, annotation, path) if isinstance(value, dict) else []


def by_fields(value: dict[str, Any], annotation: Any, path: str) -> list[str]:
    """Every field that the SDK knows and does not call optional must be there, and no other."""
    known = fields_of(CLASSES.get(value.get("object", ""), annotation))
    if not known:
        return []
    found = [f"{path}.{name} is unknown" for name in value if name not in known]
    found += [f"{path}.{name} is missing" for name in known if name not in value and not allows_none(known[name])]
    for name in value.keys() & known.keys():
        if value[name] is not None:
            found += by_annotation(value[name], known[name], f"{path}.{name}")
        elif not allows_none(known[name]):
            found.append(f"{path}.{name}: null")
    return found


def json_type(annotation: Any) -> type:
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return type(typing.get_args(annotation)[0])
    if annotation in (str, int, bool, float):
        return typing.cast(type, annotation)
    if annotation is Decimal:
        return str
    return list if origin is list else dict


def alternatives(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [each for each in typing.get_args(annotation) if each is not type(None)]
    return [annotation]


def allows_none(annotation: Any) -> bool:
    return type(None) in typing.get_args(annotation)


def element_of(annotation: Any) -> Any:
    """What a list of this annotation holds."""
    for each in alternatives(annotation):
        if typing.get_args(each):
            return typing.get_args(each)[0]
    return None


def fields_of(annotation: Any) -> dict[str, Any]:
    """The annotated fields of an SDK class, or none where there is no class."""
    for each in alternatives(annotation):
        if isinstance(each, str | typing.ForwardRef):
            name = each if isinstance(each, str) else each.__forward_arg__
            return fields_of(getattr(stripe, name, None))
        origin = typing.get_origin(each)
        if origin is stripe.ListObject:
            return {"object": str, "data": list[typing.get_args(each)[0]], "has_more": bool, "url": str}
        if origin is None and isinstance(each, type) and issubclass(each, stripe.StripeObject):
            return {name: known for name, known in each.__annotations__.items() if name != "OBJECT_NAME"}
    return {}
