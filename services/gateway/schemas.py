"""Schemas that more than one route uses. Unknown fields are refused: marshmallow's default, and meant."""

from typing import Any

import flask
from marshmallow import INCLUDE, Schema, fields, validate


class Token(fields.String):
    """An id or the like: 1 to 64 letters, digits, `_` and `-`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Regexp(r"[A-Za-z0-9_-]{1,64}\Z", error="Not an id."), **options)


class Moment(fields.String):
    """RFC 3339 in UTC, as the services give it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"metadata": {"format": "date-time"}, **options})


class PictureUrl(fields.String):
    """The public address of a person's picture, of which the services give the key; null without one."""

    def __init__(self) -> None:
        super().__init__(
            required=True,
            allow_none=True,
            attribute="picture",
            metadata={"format": "uri", "description": "of the picture, which anybody may fetch; it dies with it"},
        )

    def _serialize(self, value: Any, *_where: Any, **_options: Any) -> str | None:
        if value is None:
            return None
        public_url: str = flask.current_app.config["SETTINGS"].public_url
        return f"{public_url}/v1/pictures/{value}"


class Fault(Schema):
    pointer = fields.String(metadata={"description": "JSON pointer to the field of the body"})
    parameter = fields.String(metadata={"description": "name of the query parameter"})
    detail = fields.String(required=True)


class Problem(Schema):
    """A refusal, RFC 9457. Some codes add further members, as `resets_at`."""

    class Meta:
        unknown = INCLUDE

    type = fields.URL(required=True, metadata={"description": "where the code is explained"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True, metadata={"description": "for programs; never changes its meaning"})
    instance = fields.String(required=True, metadata={"description": "the Request-Id"})
    errors = fields.List(fields.Nested(Fault), metadata={"description": "with `invalid_fields`"})


class NewMessage(Schema):
    """The wish to send a message."""

    bot_id = Token(required=True)
    id = Token(metadata={"description": "the caller's own id, to ask again with; made if absent"})


class Admission(Schema):
    """A message that was counted."""

    id = fields.String(required=True)
    bot_id = fields.String(required=True)
    period = fields.String(required=True, metadata={"description": "the calendar month in UTC, as 2026-11"})
    used = fields.Integer(required=True, metadata={"description": "of the plan's messages"})
    limit = fields.Integer(required=True, metadata={"description": "the plan's, per month"})
    credits_remaining = fields.Integer(
        required=True, metadata={"description": "extra messages, spent after the plan's own"}
    )
    remaining = fields.Integer(required=True, metadata={"description": "of the plan and of credits together"})


class Message(Admission):
    """A message that was counted, as it was then."""

    refunded_at = Moment(metadata={"format": "date-time", "description": "absent if it was not refunded"})


class Hidden(fields.String):
    """A password or a mailed token: it comes in and never goes out, and is bounded before anybody works on it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(validate=validate.Length(1, 1024), load_only=True, **options)
