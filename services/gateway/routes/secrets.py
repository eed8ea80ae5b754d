"""API secrets: made here, shown once, and known elsewhere by their SHA-256 alone."""

from typing import Any

import flask
from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from services import access
from services.gateway import api_secret, issuing, pagination, routing, schemas

routes = routing.Routes("secrets", "API secrets, with which programs of the org ask.")

MOST_OVERLAP_SECONDS = 7 * 86_400
MOST_LEAKS = 100


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


class Leak(Schema):
    """Comes in lists only."""

    token = schemas.Hidden(required=True)
    url = fields.URL(
        schemes=["http", "https"],
        require_tld=False,
        validate=validate.Length(max=2048),
        metadata={"description": "where it was found; the org is shown it"},
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "many": True})

    @validates_schema(pass_collection=True)
    def check_length(self, leaks: list[Any], **_options: Any) -> None:
        if not 1 <= len(leaks) <= MOST_LEAKS:
            raise ValidationError(f"1 to {MOST_LEAKS} leaks.")


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
        required=True, allow_none=True, metadata={"description": "`person`, `leaked`, or null if it is not revoked"}
    )
    leak_url = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "where a value of it was found in public, if whoever found it said so"},
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
    secret = fields.String(
        required=True,
        metadata={"description": "the value, shown this once", "pattern": f"^{api_secret.PATTERN}$"},
    )


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
    flask.g.authentication.revoke_secret(secret_id)


@routes.operation(
    "POST", "/v1/secret-leaks", permission=routing.ANYONE, body=Leak, answers={202: Schema}, refusals=routing.COMMAND
)
def report_leaks(body: list[dict[str, str]]) -> dict[str, Any]:
    """
    Report API secrets that were found where others can read them, 1 to 100 in one list.

    A secret that is good is revoked at once, and its owner mailed; if the value found is one that was replaced by
    rotation, that value is ended and the secret goes on. The answer is the same whether it is a secret or not.
    """
    leaks = [
        {"sha256": api_secret.fingerprint(leak["token"]), "url": api_secret.blotted(leak.get("url", ""))}
        for leak in body
        if api_secret.is_well_formed(leak["token"])
    ]
    if leaks:
        flask.g.services.secrets.report_leaks(command_id=routing.command_id(), leaks=leaks)
    return {}
