"""Plans, the subscription, invoices, and what Stripe tells us."""

import base64
import time
from typing import Any

import eventlet
import flask
from marshmallow import Schema

from services.gateway import pagination, problems, routing, webhooks
from services.gateway.routes import billing_schemas
from shared import errors

routes = routing.Routes("billing", "Plans, the subscription and its invoices. For the org's owner.")

CHANGE_SECONDS = 10.5  # billing waits 1.5 s for its turn, and 8 s for Stripe
REQUEST_SECONDS = 12.0  # and quota is waited for at the end
APPLIED_SECONDS = 1.0
LOOK_SECONDS = 0.03
WEBHOOK_BYTES = 1_000_000

REFUSALS = {
    "card_declined": 402,
    "authentication_required": 402,
    "plan_unchanged": 409,
    "payment_due": 409,
    "change_scheduled": 409,
    "change_in_progress": 409,
    "stripe_refused": 409,
    "unknown_plan": 422,
    "upgrade_is_immediate": 422,
    "invalid_at": 422,
    "stripe_unavailable": 503,
    "change_interrupted": 503,
    **routing.COMMAND,
}


@routes.operation("GET", "/v1/plans", permission=routing.ANYONE, answers={200: billing_schemas.Plans})
def list_plans() -> dict[str, Any]:
    """List the plans, the smallest first."""
    return {"data": flask.g.services.billing.list_plans()}


@routes.operation(
    "GET",
    "/v1/subscription",
    permission="billing:manage",
    answers={200: billing_schemas.ShownSubscription},
    refusals={"org_not_ready": 503},
    tagged=True,
    shows_more=True,
)
def get_subscription() -> routing.Answer:
    """Show the org's plan, its limits, and what is scheduled or owed."""
    subscription = flask.g.services.billing.get_subscription()
    resets_left = flask.g.services.quota.get_usage()["resets_left"]
    return routing.Answer(data={**subscription, "resets_left": resets_left}, tagged=subscription)


@routes.operation(
    "PUT",
    "/v1/subscription",
    permission="billing:manage",
    body=billing_schemas.Change,
    answers={200: billing_schemas.Changed, 202: billing_schemas.Changed},
    refusals=REFUSALS,
    tagged=True,
    conditional=True,
    seconds=REQUEST_SECONDS,
)
def change_plan(body: dict[str, Any]) -> routing.Answer:
    """
    Change the plan.

    An upgrade is paid first: a declined card changes nothing. The first paid plan needs a card: 202 with the
    `checkout_url` where it is given.
    """
    billing = flask.g.services.billing.with_timeout(CHANGE_SECONDS)
    return _outcome(billing.change_plan(command_id=routing.command_id(), **body))


@routes.operation(
    "DELETE",
    "/v1/subscription",
    permission="billing:manage",
    query=billing_schemas.CancelQuery,
    answers={200: billing_schemas.Changed, 202: billing_schemas.Changed},
    refusals=REFUSALS,
    tagged=True,
    conditional=True,
    seconds=REQUEST_SECONDS,
)
def cancel_subscription(query: dict[str, Any]) -> routing.Answer:
    """Go back to Free, at the end of the paid period or now."""
    billing = flask.g.services.billing.with_timeout(CHANGE_SECONDS)
    return _outcome(billing.cancel(command_id=routing.command_id(), **query))


@routes.operation(
    "DELETE",
    "/v1/subscription/scheduled-change",
    permission="billing:manage",
    answers={200: billing_schemas.Changed, 202: billing_schemas.Changed},
    refusals={**REFUSALS, "nothing_scheduled": 409},
    tagged=True,
    conditional=True,
    seconds=REQUEST_SECONDS,
)
def withdraw_change() -> routing.Answer:
    """Withdraw what is scheduled; the plan stays."""
    billing = flask.g.services.billing.with_timeout(CHANGE_SECONDS)
    return _outcome(billing.withdraw_change(command_id=routing.command_id()))


@routes.operation(
    "GET",
    "/v1/subscription/changes/<change_id>",
    permission="billing:manage",
    answers={200: billing_schemas.ChangeStatus},
    refusals={"unknown_change": 404},
    tagged=True,
)
def get_change(change_id: str) -> Any:
    """Show what became of a change that was answered with 202."""
    return flask.g.services.billing.get_change(change_id=change_id)


@routes.operation(
    "POST",
    "/v1/subscription/preview",
    permission="billing:manage",
    body=billing_schemas.Change,
    answers={200: billing_schemas.Preview},
    refusals=REFUSALS,
    seconds=REQUEST_SECONDS,
)
def preview_change(body: dict[str, Any]) -> Any:
    """Show what a change would cost and do, without doing it."""
    return flask.g.services.billing.with_timeout(CHANGE_SECONDS).preview(**body)


@routes.operation(
    "GET",
    "/v1/invoices",
    permission="billing:manage",
    query=pagination.PageQuery,
    answers={200: pagination.page_of(billing_schemas.Invoice)},
    refusals={"stripe_refused": 409, "stripe_unavailable": 503},
    seconds=REQUEST_SECONDS,
)
def list_invoices(query: dict[str, Any]) -> dict[str, Any]:
    """List the org's invoices as Stripe keeps them, the newest first."""
    billing = flask.g.services.billing.with_timeout(CHANGE_SECONDS)
    found = billing.list_invoices(limit=query["limit"], after=pagination.position(query) or "")
    invoices = found["invoices"]
    return pagination.page(invoices, next_position=invoices[-1]["id"] if found["has_more"] else None)


@routes.operation(
    "POST",
    "/v1/billing-portal",
    permission="billing:manage",
    answers={200: billing_schemas.Url},
    refusals={"no_customer": 409, "stripe_refused": 409, "stripe_unavailable": 503},
    seconds=REQUEST_SECONDS,
)
def open_portal() -> Any:
    """Give the address where the card is changed. Whoever has it is let in: do not keep it."""
    return flask.g.services.billing.with_timeout(CHANGE_SECONDS).open_portal(command_id=routing.command_id())


@routes.operation(
    "POST",
    "/v1/stripe/webhook",
    permission=routing.ANYONE,
    answers={200: Schema},
    refusals={"invalid_webhook": 400, "body_too_large": 413},
    body_bytes=WEBHOOK_BYTES,
    seconds=webhooks.SECONDS,
)
def receive_webhook() -> dict[str, Any]:
    """For Stripe. The signature is checked on the raw body; what it is about is fetched from Stripe afterwards."""
    signature = flask.request.headers.get("Stripe-Signature", "")
    payload = base64.b64encode(routing.read_body()).decode()
    item = {"payload": payload, "signature": signature}
    flask.g.services.webhooks.admit(item, deadline=routing.deadline())
    return {}


def _outcome(answer: dict[str, Any]) -> routing.Answer:
    match answer["outcome"]:
        case "changed":
            applied = limits_applied(answer["version"])
            changed = {"subscription": answer["subscription"], "limits_applied": applied}
            return routing.Answer(data=changed, tagged=answer["subscription"])
        case "checkout":
            return routing.Answer(status=202, data={"checkout_url": answer["checkout_url"]})
        case "pending":
            status_url = f"/v1/subscription/changes/{answer['change_id']}"
            return routing.Answer(status=202, data={"status_url": status_url}, location=status_url)
        case outcome:
            raise problems.Problem(status=500, code="internal_error", detail=f"billing answered {outcome}")


def limits_applied(version: int) -> bool:
    """Wait a moment for quota to have heard of the change, so that the next request counts by it."""
    deadline = time.monotonic() + APPLIED_SECONDS
    quota = flask.g.services.quota.with_timeout(APPLIED_SECONDS)
    try:
        while quota.get_subscription_version() < version:
            if time.monotonic() > deadline:
                return False
            eventlet.sleep(LOOK_SECONDS)
    except errors.Unavailable:
        return False  # the change is made all the same; quota will hear of it
    return True
