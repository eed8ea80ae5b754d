"""Plans, the subscription, invoices, and what Stripe tells us."""

import base64
import time
from typing import Any

import eventlet
import flask
from marshmallow import Schema, fields, validate

from services.gateway import pagination, problems, routing, schemas

routes = routing.Routes("billing", "Plans, the subscription and its invoices. For the org's owner.")

CHANGE_SECONDS = 10.5  # billing waits 1.5 s for its turn, and 8 s for Stripe
APPLIED_SECONDS = 1.0
LOOK_SECONDS = 0.02
WEBHOOK_BYTES = 1_000_000

TIMING = validate.OneOf(["now", "period_end"])
REFUSALS = {
    "card_declined": 402,
    "authentication_required": 402,
    "plan_unchanged": 409,
    "payment_due": 409,
    "change_scheduled": 409,
    "change_in_progress": 409,
    "change_refused": 409,
    "unknown_plan": 422,
    "upgrade_is_immediate": 422,
    "invalid_at": 422,
    "stripe_unavailable": 503,
    "change_interrupted": 503,
    **routing.COMMAND,
}


class Plan(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    price_cents = fields.Integer(required=True)
    currency = fields.String(required=True)
    messages_per_month = fields.Integer(required=True)
    bots = fields.Integer(required=True)
    rank = fields.Integer(required=True)
    max_resets_per_month = fields.Integer(required=True)


class Plans(Schema):
    data = fields.List(fields.Nested(Plan), required=True)


class Limits(Schema):
    messages = fields.Integer(required=True)
    bots = fields.Integer(required=True)


class Period(Schema):
    starts_at = schemas.Moment(required=True)
    ends_at = schemas.Moment(required=True)


class ScheduledChange(Schema):
    plan = fields.String(required=True)
    takes_effect_at = schemas.Moment(required=True)


class PendingCheckout(Schema):
    plan = fields.String(required=True)
    checkout_url = fields.String(required=True)
    expires_at = schemas.Moment(required=True)


class PaymentProblem(Schema):
    plan = fields.String(required=True)
    since = schemas.Moment(required=True)
    grace_until = schemas.Moment(required=True)
    payment_url = fields.String(required=True, allow_none=True)


class Subscription(Schema):
    plan = fields.String(required=True)
    status = fields.String(required=True)
    version = fields.Integer(required=True, metadata={"description": "grows with each change"})
    limits = fields.Nested(Limits, required=True)
    period = fields.Nested(Period, required=True, allow_none=True)
    scheduled_change = fields.Nested(ScheduledChange, required=True, allow_none=True)
    pending_checkout = fields.Nested(PendingCheckout, required=True, allow_none=True)
    payment_problem = fields.Nested(PaymentProblem, required=True, allow_none=True)


class ShownSubscription(Subscription):
    resets_left = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "how many changes of plan still reset this month's usage"},
    )


class Change(Schema):
    plan = fields.String(required=True, validate=validate.Length(1, 64))
    at = fields.String(
        validate=TIMING,
        metadata={"description": "an upgrade: now; a downgrade: now if absent; Free: period_end if absent"},
    )


class CancelQuery(Schema):
    at = fields.String(validate=TIMING, metadata={"description": "period_end if absent"})


class Changed(Schema):
    subscription = fields.Nested(Subscription)
    limits_applied = fields.Boolean(metadata={"description": "whether quota counts by the new limits already"})
    checkout_url = fields.String(metadata={"description": "202: where to pay first"})
    status_url = fields.String(metadata={"description": "202: Stripe is slow; what becomes of it is shown here"})


class ChangeStatus(Schema):
    id = fields.String(required=True)
    status = fields.String(
        required=True, validate=validate.OneOf(["pending", "done", "checkout", "declined", "given_up"])
    )
    plan = fields.String(required=True)
    at = fields.String(required=True)
    code = fields.String(required=True, allow_none=True)
    payment_url = fields.String(required=True, allow_none=True)
    checkout_url = fields.String(required=True, allow_none=True)


class NextInvoice(Schema):
    at = schemas.Moment(required=True)
    amount_cents = fields.Integer(required=True)


class Preview(Schema):
    plan = fields.String(required=True)
    at = fields.String(required=True)
    effective_at = schemas.Moment(required=True)
    currency = fields.String(required=True)
    price_today_cents = fields.Integer(required=True)
    credit_cents = fields.Integer(required=True)
    next_invoice = fields.Nested(NextInvoice, required=True, allow_none=True)
    limits = fields.Nested(Limits, required=True)


class Invoice(Schema):
    id = fields.String(required=True)
    number = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    total_cents = fields.Integer(required=True)
    amount_due_cents = fields.Integer(required=True)
    currency = fields.String(required=True)
    created_at = schemas.Moment(required=True)
    url = fields.String(required=True, allow_none=True, metadata={"description": "the invoice's page at Stripe"})
    pdf_url = fields.String(required=True, allow_none=True)


class Url(Schema):
    url = fields.String(required=True)


@routes.operation("GET", "/v1/plans", permission=routing.ANYONE, answers={200: Plans})
def list_plans() -> dict[str, Any]:
    """List the plans, the smallest first."""
    return {"data": flask.g.services.billing.list_plans()}


@routes.operation("GET", "/v1/subscription", permission="billing:manage", answers={200: ShownSubscription})
def get_subscription() -> dict[str, Any]:
    """Show the org's plan, its limits, and what is scheduled or owed."""
    subscription = flask.g.services.billing.get_subscription()
    return {**subscription, "resets_left": flask.g.services.quota.get_usage()["resets_left"]}


@routes.operation(
    "PUT",
    "/v1/subscription",
    permission="billing:manage",
    body=Change,
    answers={200: Changed, 202: Changed},
    refusals=REFUSALS,
)
def change_plan(body: dict[str, Any]) -> routing.Answer:
    """
    Change the plan.

    An upgrade is paid first: a declined card changes nothing. The first paid plan needs a card: 202 with the
    `checkout_url` where it is given.
    """
    billing = flask.g.services.billing.with_timeout(CHANGE_SECONDS)
    return _outcome(billing.change_plan(command_id=flask.g.command_id, **body))


@routes.operation(
    "DELETE",
    "/v1/subscription",
    permission="billing:manage",
    query=CancelQuery,
    answers={200: Changed, 202: Changed},
    refusals=REFUSALS,
)
def cancel_subscription(query: dict[str, Any]) -> routing.Answer:
    """Go back to Free, at the end of the paid period or now."""
    billing = flask.g.services.billing.with_timeout(CHANGE_SECONDS)
    return _outcome(billing.cancel(command_id=flask.g.command_id, **query))


@routes.operation(
    "DELETE",
    "/v1/subscription/scheduled-change",
    permission="billing:manage",
    answers={200: Changed, 202: Changed},
    refusals={**REFUSALS, "nothing_scheduled": 409},
)
def withdraw_change() -> routing.Answer:
    """Withdraw what is scheduled; the plan stays."""
    billing = flask.g.services.billing.with_timeout(CHANGE_SECONDS)
    return _outcome(billing.withdraw_change(command_id=flask.g.command_id))


@routes.operation(
    "GET",
    "/v1/subscription/changes/<change_id>",
    permission="billing:manage",
    answers={200: ChangeStatus},
    refusals={"unknown_change": 404},
)
def get_change(change_id: str) -> Any:
    """Show what became of a change that was answered with 202."""
    return flask.g.services.billing.get_change(change_id=change_id)


@routes.operation(
    "POST",
    "/v1/subscription/preview",
    permission="billing:manage",
    body=Change,
    answers={200: Preview},
    refusals=REFUSALS,
)
def preview_change(body: dict[str, Any]) -> Any:
    """Show what a change would cost and do, without doing it."""
    return flask.g.services.billing.with_timeout(CHANGE_SECONDS).preview(**body)


@routes.operation(
    "GET",
    "/v1/invoices",
    permission="billing:manage",
    query=pagination.PageQuery,
    answers={200: pagination.page_of(Invoice)},
    refusals={"stripe_unavailable": 503},
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
    answers={200: Url},
    refusals={"no_customer": 409, "stripe_unavailable": 503},
)
def open_portal() -> Any:
    """Give the address where the card is changed. Whoever has it is let in: do not keep it."""
    return flask.g.services.billing.with_timeout(CHANGE_SECONDS).open_portal()


@routes.operation(
    "POST",
    "/v1/stripe/webhook",
    permission=routing.ANYONE,
    answers={200: Schema},
    refusals={"invalid_webhook": 400, "body_too_large": 413},
    body_bytes=WEBHOOK_BYTES,
)
def receive_webhook() -> dict[str, Any]:
    """For Stripe. The signature is checked on the raw body; what it is about is fetched from Stripe afterwards."""
    signature = flask.request.headers.get("Stripe-Signature", "")
    payload = base64.b64encode(routing.read_body()).decode()
    flask.g.services.billing.receive_webhook(payload=payload, signature=signature)
    return {}


def _outcome(answer: dict[str, Any]) -> routing.Answer:
    match answer["outcome"]:
        case "changed":
            applied = _limits_applied(answer["version"])
            return routing.Answer(data={"subscription": answer["subscription"], "limits_applied": applied})
        case "checkout":
            return routing.Answer(status=202, data={"checkout_url": answer["checkout_url"]})
        case "pending":
            status_url = f"/v1/subscription/changes/{answer['change_id']}"
            return routing.Answer(status=202, data={"status_url": status_url}, location=status_url)
        case outcome:
            raise problems.Problem(status=500, code="internal_error", detail=f"billing answered {outcome}")


def _limits_applied(version: int) -> bool:
    """Wait a moment for quota to have heard of the change, so that the next request counts by it."""
    deadline = time.monotonic() + APPLIED_SECONDS
    while flask.g.services.quota.get_usage()["subscription_version"] < version:
        if time.monotonic() > deadline:
            return False
        eventlet.sleep(LOOK_SECONDS)
    return True
