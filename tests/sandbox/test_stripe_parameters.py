"""
What each call of the sandbox takes, against the SDK's types of parameters: the sandbox may know less than Stripe, and
says so, but never take what Stripe does not, nor do without what Stripe needs.
"""

import sys
import types
import typing
from typing import Any, ForwardRef

import pytest
import stripe.params
import stripe.params.billing_portal
import stripe.params.checkout
import typing_extensions

from sandbox.stripe import api, parameters
from sandbox.stripe.parameters import Required, Unset
from services.billing import account_setup

pytestmark = pytest.mark.pure
NAMES = {
    "POST /v1/products": "ProductCreateParams",
    "GET /v1/products": "ProductListParams",
    "POST /v1/products/<product_id>": "ProductUpdateParams",
    "POST /v1/prices": "PriceCreateParams",
    "GET /v1/prices": "PriceListParams",
    "POST /v1/prices/<price_id>": "PriceUpdateParams",
    "POST /v1/customers": "CustomerCreateParams",
    "GET /v1/customers": "CustomerListParams",
    "POST /v1/customers/<customer_id>": "CustomerUpdateParams",
    "POST /v1/customers/<customer_id>/balance_transactions": "CustomerBalanceTransactionCreateParams",
    "GET /v1/customers/<customer_id>/balance_transactions": "CustomerBalanceTransactionListParams",
    "GET /v1/customers/search": "CustomerSearchParams",
    "POST /v1/payment_methods": "PaymentMethodCreateParams",
    "GET /v1/payment_methods": "PaymentMethodListParams",
    "POST /v1/payment_methods/<payment_method_id>/attach": "PaymentMethodAttachParams",
    "GET /v1/customers/<customer_id>/payment_methods": "CustomerPaymentMethodListParams",
    "GET /v1/charges": "ChargeListParams",
    "GET /v1/payment_intents": "PaymentIntentListParams",
    "POST /v1/refunds": "RefundCreateParams",
    "GET /v1/refunds": "RefundListParams",
    "GET /v1/disputes": "DisputeListParams",
    "GET /v1/invoices": "InvoiceListParams",
    "GET /v1/invoices/<invoice_id>/lines": "InvoiceLineItemListParams",
    "POST /v1/invoices/<invoice_id>/pay": "InvoicePayParams",
    "GET /v1/invoice_payments": "InvoicePaymentListParams",
    "POST /v1/invoices/create_preview": "InvoiceCreatePreviewParams",
    "POST /v1/subscriptions": "SubscriptionCreateParams",
    "GET /v1/subscriptions": "SubscriptionListParams",
    "POST /v1/subscriptions/<subscription_id>": "SubscriptionUpdateParams",
    "DELETE /v1/subscriptions/<subscription_id>": "SubscriptionCancelParams",
    "POST /v1/checkout/sessions": "checkout.SessionCreateParams",
    "GET /v1/checkout/sessions": "checkout.SessionListParams",
    "GET /v1/checkout/sessions/<session_id>/line_items": "checkout.SessionLineItemListParams",
    "POST /v1/billing_portal/sessions": "billing_portal.SessionCreateParams",
    "POST /v1/billing_portal/configurations": "billing_portal.ConfigurationCreateParams",
    "GET /v1/billing_portal/configurations": "billing_portal.ConfigurationListParams",
    "POST /v1/billing_portal/configurations/<configuration_id>": "billing_portal.ConfigurationUpdateParams",
    "GET /v1/events": "EventListParams",
    "POST /v1/webhook_endpoints": "WebhookEndpointCreateParams",
    "GET /v1/webhook_endpoints": "WebhookEndpointListParams",
    "POST /v1/webhook_endpoints/<endpoint_id>": "WebhookEndpointUpdateParams",
}
TAKING = {f"{route.method} {route.path}": route for route in api.ROUTES if route.shape}


class TestCalls:
    def test_are_all_compared(self) -> None:
        assert set(NAMES) == set(TAKING)

    @pytest.mark.parametrize("call", NAMES)
    def test_take_and_need_only_what_stripe_does(self, call: str) -> None:
        assert list(faults(TAKING[call].shape, params(NAMES[call]), "")) == []


class TestTheEventsThatBillingHears:
    def test_are_known_to_stripe(self) -> None:
        shape = {"enabled_events": Required([tuple(account_setup.EVENTS)]), "url": Required(str)}

        assert list(faults(shape, params("WebhookEndpointCreateParams"), "")) == []


class TestFaults:
    def test_sees_what_stripe_does_not_take(self) -> None:
        assert list(faults({"colour": str}, params("CustomerCreateParams"), "")) == ["colour is unknown to Stripe"]

    def test_sees_what_stripe_needs_and_the_sandbox_does_not(self) -> None:
        assert list(faults({}, params("CustomerSearchParams"), "")) == ["query is needed by Stripe"]

    def test_sees_a_word_and_a_type_of_another_kind(self) -> None:
        shape = {
            "proration_behavior": ("none", "some"),
            "items": [{"quantity": str}],
            "cancel_at_period_end": str,
            "default_payment_method": Unset(str),
        }

        assert list(faults(shape, params("SubscriptionUpdateParams"), "")) == [
            "proration_behavior has no some",
            "items.quantity is no str",
            "cancel_at_period_end is no str",
            "default_payment_method cannot be unset",
        ]


def params(name: str) -> Any:
    room, _, class_name = name.rpartition(".")
    return getattr(getattr(stripe.params, room) if room else stripe.params, class_name)


def faults(shape: dict[str, Any], expected: Any, inside: str) -> typing.Iterator[str]:
    known, names = expected.__annotations__, vars(sys.modules[expected.__module__])
    for name, annotation in known.items():
        if _is_needed(annotation) and not isinstance(shape.get(name), Required):
            yield f"{inside}{name} is needed by Stripe"
    for name, own in shape.items():
        if name not in known:
            yield f"{inside}{name} is unknown to Stripe"
        else:
            yield from _differences(own, _choices(known[name], names), f"{inside}{name}", names)


def _differences(own: Any, choices: list[Any], path: str, names: dict[str, Any]) -> typing.Iterator[str]:
    own = own.shape if isinstance(own, Required) else own
    if isinstance(own, Unset):
        if not any("" in typing.get_args(each) for each in choices):
            yield f"{path} cannot be unset"
        own = own.shape
    if isinstance(own, dict):
        hashes = [each for each in choices if typing_extensions.is_typeddict(each)]
        if not hashes:
            yield f"{path} is no hash"
        for each in hashes:
            yield from faults(own, each, f"{path}.")
    elif isinstance(own, list):
        lists = [each for each in choices if typing.get_origin(each) is list]
        if not lists:
            yield f"{path} is no list"
        for each in lists:
            yield from _differences(own[0], _choices(typing.get_args(each)[0], names), path, names)
    elif isinstance(own, tuple):
        words = [word for each in choices for word in typing.get_args(each) if isinstance(word, str)]
        yield from (f"{path} has no {word}" for word in own if word not in words)
    else:
        yield from _scalar(own, choices, path)


def _scalar(own: Any, choices: list[Any], path: str) -> typing.Iterator[str]:
    if own in (parameters.METADATA, parameters.MOMENTS):
        if not any(typing.get_origin(each) is dict or typing_extensions.is_typeddict(each) for each in choices):
            yield f"{path} is no hash"
        return
    kind = int if isinstance(own, range) else own
    if kind not in choices and not (
        kind is str and any(typing.get_origin(each) is typing.Literal for each in choices)
    ):
        yield f"{path} is no {kind.__name__}"


def _is_needed(annotation: Any) -> bool:
    return typing.get_origin(annotation) is not typing.NotRequired


def _choices(annotation: Any, names: dict[str, Any]) -> list[Any]:
    """The types that an annotation allows, without the ways in which it is written."""
    if typing.get_origin(annotation) is typing.NotRequired:
        return _choices(typing.get_args(annotation)[0], names)
    if isinstance(annotation, ForwardRef):
        return _choices(eval(annotation.__forward_arg__, names), names)  # noqa: S307  # the SDK's own words
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [each for part in typing.get_args(annotation) for each in _choices(part, names)]
    return [annotation]
