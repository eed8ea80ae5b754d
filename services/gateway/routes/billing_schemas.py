"""What the billing routes take and give."""

from marshmallow import Schema, fields, validate

from services.gateway import schemas

TIMING = validate.OneOf(["now", "period_end"])


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


class DoublePayment(Schema):
    plan = fields.String(required=True)
    refunded_cents = fields.Integer(required=True, metadata={"description": "what went back to the card"})
    currency = fields.String(required=True, metadata={"description": "empty if nothing had been paid by card"})
    ended_at = schemas.Moment(required=True)


class Subscription(Schema):
    plan = fields.String(required=True)
    status = fields.String(required=True)
    version = fields.Integer(required=True, metadata={"description": "grows with each change"})
    limits = fields.Nested(Limits, required=True)
    period = fields.Nested(Period, required=True, allow_none=True)
    scheduled_change = fields.Nested(ScheduledChange, required=True, allow_none=True)
    pending_checkout = fields.Nested(PendingCheckout, required=True, allow_none=True)
    payment_problem = fields.Nested(PaymentProblem, required=True, allow_none=True)
    double_payment = fields.Nested(
        DoublePayment,
        required=True,
        allow_none=True,
        metadata={"description": "a second subscription that was canceled and refunded; shown for 30 days"},
    )


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
