"""API secrets: made here, shown once, and known elsewhere by their SHA-256 alone."""

from typing import Any

import flask
from marshmallow import Schema, fields, validate

from services import access
from services.gateway import issuing, pagination, routing, schemas

routes = routing.Routes("secrets", "API secrets, with which programs of the org ask.")

MOST_OVERLAP_SECONDS = 7 * 86_400


class NewSecret(Schema):
    name = fields.String(required=True, validate=validate.Length(1, 100))
    scopes = fields.List(
        fields.String(validate=validate.OneOf(access.SCOPES)),
        validate=validate.Length(1),
        metadata={"description": "what it may do; `messages:write` alone if absent"},
    )
    expires_at = schemas.Moment(allow_none=True)


class Rotation(Schema):
    overlap_seconds = fields.Integer(
        strict=True,
        validate=validate.Range(0, MOST_OVERLAP_SECONDS),
        metadata={"description": "for how long the value before works too; a day if absent, 0: it ends at once"},
    )


class FormerValue(Schema):
    hint = fields.String(required=True)
    works_until = schemas.Moment(required=True)


class Secret(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    hint = fields.String(required=True, metadata={"description": "how the value begins and ends"})
    scopes = fields.List(fields.String(), required=True)
    made_by = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(["active", "expired", "revoked"]))
    revoked_reason = fields.String(
        required=True, allow_none=True, metadata={"description": "`person`, or null where it is not revoked"}
    )
    created_at = schemas.Moment(required=True)
    expires_at = schemas.Moment(required=True, allow_none=True)
    rotated_at = schemas.Moment(
        required=True,
        allow_none=True,
        metadata={"format": "date-time", "description": "when it got its present value"},
    )
    last_used_at = schemas.Moment(
        required=True, allow_none=True, metadata={"format": "date-time", "description": "exact to an hour"}
    )
    former = fields.Nested(
        FormerValue,
        required=True,
        allow_none=True,
        metadata={"description": "the value before it, while both work"},
    )


class ShownSecret(Secret):
    secret = fields.String(required=True, metadata={"description": "the value, shown this once"})


@routes.operation(
    "GET",
    "/v1/secrets",
    permission="secrets:list",
    query=pagination.PageQuery,
    answers={200: pagination.page_of(Secret)},
)
def list_secrets(query: dict[str, Any]) -> dict[str, Any]:
    """List the org's secrets, oldest first, the revoked and expired ones too."""
    after = pagination.position(query) or ""
    return pagination.page_after(
        query, lambda limit: flask.g.services.secrets.list_secrets(after=after, limit=limit), key="id"
    )


@routes.operation(
    "POST",
    "/v1/secrets",
    permission="secrets:add",
    body=NewSecret,
    answers={201: ShownSecret},
    refusals={
        "secret_limit": 409,
        "secret_already_created": 409,
        "invalid_name": 422,
        "invalid_expires_at": 422,
        **routing.COMMAND,
    },
)
def create_secret(body: dict[str, Any]) -> routing.Answer:
    """
    Add a secret. Its value is in this answer and nowhere else.

    Asked again with the same Idempotency-Key it says that it exists: the value is not kept. Rotate it to get another.
    """
    made = issuing.issue(routing.command_id(), **body)
    return routing.Answer(data=made, location=f"/v1/secrets/{made['id']}")


@routes.operation(
    "POST",
    "/v1/secrets/<secret_id>/rotation",
    permission="secrets:rotate",
    body=Rotation,
    answers={201: ShownSecret},
    refusals={
        "unknown_secret": 404,
        "secret_revoked": 409,
        "secret_expired": 409,
        "secret_already_rotated": 409,
        **routing.COMMAND,
    },
)
def rotate_secret(secret_id: str, body: dict[str, Any]) -> routing.Answer:
    """
    Give a secret another value. It is in this answer and nowhere else.

    Until the overlap ends the value before works too, and counts against the same quota; if the secret is rotated
    again before that, only the newest two work. Asked again with the same Idempotency-Key it says that it was done.
    """
    rotated = issuing.rotate(routing.command_id(), secret_id=secret_id, **body)
    return routing.Answer(data=rotated, location=f"/v1/secrets/{secret_id}")


@routes.operation(
    "DELETE",
    "/v1/secrets/<secret_id>",
    permission="secrets:revoke",
    answers={204: None},
    refusals={"unknown_secret": 404, **routing.COMMAND},
)
def revoke_secret(secret_id: str) -> None:
    """Revoke a secret: it is refused from now on."""
    flask.g.services.secrets.revoke_secret(command_id=routing.command_id(), secret_id=secret_id)
    flask.g.authentication.forget_secrets()
