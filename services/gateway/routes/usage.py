"""Usage: the month in numbers, and credits."""

from typing import Any

import flask
from marshmallow import Schema, fields

from services.gateway import routing, schemas

routes = routing.Routes("usage", "The month in numbers, and credits.")


class Usage(Schema):
    period = fields.String(required=True, metadata={"description": "the calendar month in UTC, as 2026-11"})
    used = fields.Integer(required=True)
    limit = fields.Integer(required=True, metadata={"description": "the plan's, per month"})
    credits_remaining = fields.Integer(
        required=True, metadata={"description": "extra messages, spent after the plan's own"}
    )
    remaining = fields.Integer(required=True, metadata={"description": "of the plan and of credits together"})
    resets_at = schemas.Moment(required=True)
    blocked = fields.Boolean(required=True, metadata={"description": "no message is left, all bots are stopped"})


@routes.operation(
    "GET",
    "/v1/usage",
    permission="usage:read",
    answers={200: Usage},
    refusals={"org_not_ready": 503},
    tagged=True,
)
def get_usage() -> Any:
    """Show how much of this month's messages is used."""
    return flask.g.services.quota.get_usage()


class Credit(Schema):
    id = fields.String(required=True)
    messages = fields.Integer(required=True, metadata={"description": "how many were granted"})
    remaining = fields.Integer(required=True, metadata={"description": "how many of them are left"})
    granted_at = schemas.Moment(required=True)
    expires_at = schemas.Moment(required=True)


class Credits(Schema):
    data = fields.List(fields.Nested(Credit), required=True)


@routes.operation(
    "GET",
    "/v1/credits",
    permission="usage:read",
    answers={200: Credits},
    refusals={"org_not_ready": 503},
    tagged=True,
)
def list_credits() -> Any:
    """
    List the extra messages that were granted, the first to be spent on top.

    They are spent after the plan's own, outlive months and resets, and are gone once they expire.
    """
    return {"data": flask.g.services.quota.list_credits()}
