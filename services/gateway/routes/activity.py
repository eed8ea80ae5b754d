"""The org's audit trail: who did what, when, with what."""

from typing import Any

import flask
from marshmallow import Schema, fields, validate

from services.gateway import activity, pagination, routing, schemas
from services.gateway.pages import happenings

routes = routing.Routes("activity", "The org's audit trail, for its owner.")


class Doer(Schema):
    kind = fields.String(
        required=True,
        validate=validate.OneOf(["person", "secret", "service", "operator", "system", "anyone"]),
        metadata={
            "description": "`person` in a session, `secret` for a program of the org, `service` for another one of "
            "ours that it uses, `operator` for our support, `system` for what follows by itself, `anyone` for "
            "somebody without a token, as with a mailed link"
        },
    )
    id = fields.String(required=True, allow_none=True, metadata={"description": "of the account or the secret"})
    name = fields.String(
        required=True, allow_none=True, metadata={"description": "as it is now; null of a former member"}
    )
    session_id = fields.String(
        required=True, allow_none=True, metadata={"description": "in which a person did it, if that is known"}
    )


class Subject(Schema):
    kind = fields.String(required=True, metadata={"description": "`account`, `secret`, `bot` or `credit`"})
    id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True, metadata={"description": "as it is now"})


class Happening(Schema):
    id = fields.String(required=True, metadata={"description": "of the event that recorded it"})
    at = schemas.Moment(required=True)
    what = fields.String(
        required=True,
        metadata={"description": f"{', '.join(f'`{what}`' for what in happenings.WORDS)}; there may be more"},
    )
    actor = fields.Nested(Doer, required=True)
    subject = fields.Nested(
        Subject, required=True, allow_none=True, metadata={"description": "what it happened to; null: the org"}
    )
    details = fields.Dict(
        keys=fields.String(), required=True, metadata={"description": "what else is known of it, by what it is"}
    )


@routes.operation(
    "GET",
    "/v1/activity",
    permission="activity:read",
    query=pagination.PageQuery,
    answers={200: pagination.page_of(Happening)},
    refusals={"erased": 404},
)
def list_activity(query: dict[str, Any]) -> dict[str, Any]:
    """
    List what happened in the org, the newest first: who did what, when, and with what.

    Messages are not in it: the usage statement has each of them. What is done is in the list at once.
    """
    before = pagination.position(query)
    rows, place = activity.page(flask.g.services, before=before, limit=query["limit"])
    return pagination.page(rows, next_position=place)
