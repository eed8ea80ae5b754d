"""One call of the API: who asks, with which key, what it does, and the answer as Stripe would give it."""

import base64
import json
import logging
import time
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.stripe import (
    checkout,
    collection,
    customer_deletion,
    customer_search,
    customers,
    errors,
    events,
    idempotency,
    invoices,
    listing,
    parameters,
    payment_methods,
    payments,
    portal,
    previews,
    products,
    refunds,
    subscription_lists,
    subscriptions,
    webhooks,
)
from sandbox.stripe.idempotency import Answer
from sandbox.stripe.machine import Machine
from sandbox.stripe.routes import Route
from sandbox.stripe.state import Object, Store, new_id

ROUTES = [
    *products.ROUTES,
    *customers.ROUTES,
    *customer_search.ROUTES,
    *customer_deletion.ROUTES,
    *payment_methods.ROUTES,
    *payments.ROUTES,
    *refunds.ROUTES,
    *invoices.ROUTES,
    *collection.ROUTES,
    *previews.ROUTES,
    *subscriptions.ROUTES,
    *subscription_lists.ROUTES,
    *checkout.ROUTES,
    *portal.ROUTES,
    *events.ROUTES,
    *webhooks.ROUTES,
]
INCLUDABLES = {
    **invoices.INCLUDABLES,
    **refunds.INCLUDABLES,
    **subscription_lists.INCLUDABLES,
    **checkout.INCLUDABLES,
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Call:
    """
    :param names: what the path names, such as the customer's id
    :param form: the body of a POST, the query of any other method; form-encoded
    :param key: the idempotency key of a POST
    :param version: of the API, where the call names one
    """

    route: Route
    names: dict[str, str]
    path: str
    form: str
    authorization: str | None
    key: str | None
    version: str | None = None
    request_id: str = field(default_factory=lambda: new_id("req", 14))

    @property
    def fingerprint(self) -> str:
        return idempotency.fingerprint(self.path, self.form)


@dataclass(frozen=True)
class Outcome:
    """
    :param lost: the work is done, but its answer gets lost on the way
    :param headers: beside those that every answer has
    """

    answer: Answer
    replayed: bool = False
    lost: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def answer(machine: Machine, call: Call) -> Outcome:
    """The answer to a call; errors are answers, too."""
    try:
        authenticate(call.authorization)
        _check_headers(call)
        with machine.in_flight.hold(call.key):
            return _answer_under_fault(machine, call)
    except errors.StripeError as refusal:
        return Outcome(refused(refusal, call.request_id))
    except Exception:
        log.exception("%s %s", call.route.method, call.route.path)
        return Outcome(refused(errors.broken(), call.request_id))


def authenticate(authorization: str | None) -> None:
    """:raises StripeError: 401 unless it carries a secret or restricted key of test mode"""
    scheme, _, credentials = (authorization or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            credentials = base64.b64decode(credentials).decode().partition(":")[0]
        except ValueError:
            credentials = ""
    if not credentials:
        raise errors.unauthenticated(None)
    if not credentials.startswith(("sk_test_", "rk_test_")):
        raise errors.unauthenticated(credentials)


def _check_headers(call: Call) -> None:
    """:raises StripeError: 400 for another version of the API, whose objects would look otherwise"""
    if call.version not in (None, events.API_VERSION):
        message = f"Invalid Stripe API version: {call.version}. The Stripe sandbox speaks {events.API_VERSION} only."
        raise errors.invalid(message)
    if call.key is not None and not 0 < len(call.key) <= idempotency.LONGEST_KEY:
        raise errors.invalid(f"Idempotency keys have between 1 and {idempotency.LONGEST_KEY} characters.")


def refused(refusal: errors.StripeError, request_id: str) -> Answer:
    return Answer(refusal.status, _text(refusal.body(request_id)), request_id)


def _answer_under_fault(machine: Machine, call: Call) -> Outcome:
    fault = machine.faults.take(call.route.method, call.path)
    if fault is None:
        return _answer_once(machine, call)
    if fault.kind == "status":
        return replace(_failed(machine, call, fault.status), headers=fault.headers)
    if fault.kind == "slow":
        time.sleep(fault.seconds)
        return _answer_once(machine, call)
    return replace(_answer_once(machine, call), lost=True)


def _failed(machine: Machine, call: Call, status: int) -> Outcome:
    """A failure that a test asked for. One within the work is kept under the key, as any first answer is."""
    given = refused(errors.injected(status), call.request_id)
    if status == idempotency.KEPT_FAILURE and call.key is not None:
        with machine.transaction() as store:
            if idempotency.recall(store, call.key, call.fingerprint) is None:
                _remembered(store, call, given)
    return Outcome(given)


def _answer_once(machine: Machine, call: Call) -> Outcome:
    """Do the work, or replay what it answered when its key was new."""
    if call.key is not None:
        with machine.transaction() as store:
            stored = idempotency.recall(store, call.key, call.fingerprint)
        if stored is not None:
            return Outcome(stored, replayed=True)
    params = parameters.check(parameters.decode(call.form), {**call.route.shape, "expand": [str]})
    try:
        with machine.transaction(request_id=call.request_id, key=call.key) as store:
            return Outcome(_remembered(store, call, _work(store, call, params)))
    except errors.StripeError as refusal:
        with machine.transaction() as store:
            return Outcome(_remembered(store, call, refused(refusal, call.request_id)))


def _work(store: Store, call: Call, params: dict[str, Any]) -> Answer:
    paths = params.pop("expand", None) or []
    try:
        body: Object = call.route.handler(store, params, **call.names)
    except errors.StripeError as refusal:
        if refusal.keeps_changes:
            return refused(refusal, call.request_id)
        raise
    return Answer(200, _text(listing.expand(store, body, paths, INCLUDABLES)), call.request_id)


def _remembered(store: Store, call: Call, given: Answer) -> Answer:
    if call.key is not None:
        idempotency.remember(store, call.key, call.fingerprint, given)
    return given


def _text(body: Object) -> str:
    return json.dumps(body, indent=2)
