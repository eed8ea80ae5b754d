"""Bots: what sends messages, and may be paused."""

from typing import Any

import flask
from marshmallow import Schema, fields, validate

from services.gateway import pagination, routing, schemas

routes = routing.Routes("bots", "What sends messages.")

UNKNOWN = {"unknown_bot": 404}


class NewBot(Schema):
    name = fields.String(required=True, validate=validate.Length(1, 100))


class Bot(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    state = fields.String(
        required=True,
        validate=validate.OneOf(["running", "paused", "stopped"]),
        metadata={"description": "paused for a reason of its own; stopped while the org has no message left"},
    )
    pause_reasons = fields.List(
        fields.String(validate=validate.OneOf(["user", "plan"])),
        required=True,
        metadata={"description": "`user`: somebody paused it; `plan`: the plan has no room for it"},
    )
    created_at = schemas.Moment(required=True)


@routes.operation(
    "GET",
    "/v1/bots",
    permission="bots:read",
    query=pagination.PageQuery,
    answers={200: pagination.page_of(Bot)},
    refusals={"erased": 404},
)
def list_bots(query: dict[str, Any]) -> dict[str, Any]:
    """List the org's bots, oldest first."""
    after = pagination.position(query) or ""
    return pagination.page_after(
        query, lambda limit: flask.g.services.quota.list_bots(after=after, limit=limit), key="id"
    )


@routes.operation(
    "POST",
    "/v1/bots",
    permission="bots:write",
    body=NewBot,
    answers={201: Bot},
    refusals={"bot_limit": 409, "too_many_bots": 409, "invalid_name": 422, **routing.COMMAND},
    tagged=True,
)
def create_bot(body: dict[str, Any]) -> routing.Answer:
    """Make a bot; it runs at once."""
    bot = flask.g.services.quota.create_bot(command_id=routing.command_id(), name=body["name"])
    return routing.Answer(data=bot, location=f"/v1/bots/{bot['id']}")


@routes.operation(
    "GET", "/v1/bots/<bot_id>", permission="bots:read", answers={200: Bot}, refusals=UNKNOWN, tagged=True
)
def get_bot(bot_id: str) -> Any:
    """Show one bot."""
    return flask.g.services.quota.get_bot(bot_id=bot_id)


@routes.operation(
    "PATCH",
    "/v1/bots/<bot_id>",
    permission="bots:write",
    body=NewBot,
    answers={200: Bot},
    refusals={"invalid_name": 422, **UNKNOWN, **routing.COMMAND},
    tagged=True,
    conditional=True,
)
def rename_bot(bot_id: str, body: dict[str, Any]) -> Any:
    """Give a bot another name."""
    return flask.g.services.quota.rename_bot(command_id=routing.command_id(), bot_id=bot_id, name=body["name"])


@routes.operation(
    "DELETE",
    "/v1/bots/<bot_id>",
    permission="bots:write",
    answers={204: None},
    refusals={**UNKNOWN, **routing.COMMAND},
    conditional=True,
)
def delete_bot(bot_id: str) -> None:
    """Delete a bot. What it sent stays counted."""
    flask.g.services.quota.delete_bot(command_id=routing.command_id(), bot_id=bot_id)


@routes.operation(
    "POST",
    "/v1/bots/<bot_id>/pause",
    permission="bots:write",
    answers={200: Bot},
    refusals={"bot_already_paused": 409, **UNKNOWN, **routing.COMMAND},
)
def pause_bot(bot_id: str) -> Any:
    """Pause a bot. Nothing but a person lets it run again."""
    return flask.g.services.quota.pause_bot(command_id=routing.command_id(), bot_id=bot_id)


@routes.operation(
    "POST",
    "/v1/bots/<bot_id>/resume",
    permission="bots:write",
    answers={200: Bot},
    refusals={"bot_limit": 409, "bot_already_running": 409, **UNKNOWN, **routing.COMMAND},
)
def resume_bot(bot_id: str) -> Any:
    """Let a bot run again, whatever it was paused for."""
    return flask.g.services.quota.resume_bot(command_id=routing.command_id(), bot_id=bot_id)
