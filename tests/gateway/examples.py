"""A site for the tests: some routes that only it has, whose its tokens are, and its settings."""

from collections.abc import Callable
from typing import Any

import flask
from marshmallow import Schema, fields

from services.gateway import api_secret, app, authentication, pagination, routing
from services.gateway.routes import operations
from services.gateway.settings import Settings
from shared import clock, config, context, errors


def _secret(randomness: str) -> str:
    """The same in every process, unlike a generated one."""
    unchecked = "chs_test_" + randomness.rjust(32, "0")
    return unchecked + api_secret.checksum(unchecked)


SECRET = _secret("1")
READER = _secret("2")
OWNER = "session-of-an-owner"
MEMBER = "session-of-a-member"

IDENTITIES: dict[str, dict[str, Any]] = {
    SECRET: {"secret_id": "sec_1", "org_id": "org_1", "scopes": ["messages:write"], "expires_at": None},
    READER: {"secret_id": "sec_2", "org_id": "org_1", "scopes": ["bots:read"], "expires_at": None},
    OWNER: {"account_id": "acc_1", "org_id": "org_1", "role": "owner", "session_id": "ses_1", "expires_at": None},
    MEMBER: {"account_id": "acc_2", "org_id": "org_1", "role": "member", "session_id": "ses_2", "expires_at": None},
}
BY_FINGERPRINT = {api_secret.fingerprint(token): identity for token, identity in IDENTITIES.items()}

REFUSALS: dict[str, Exception] = {
    "invalid": errors.Invalid("name_too_long", "Too long.", {"limit": 80}),
    "forbidden": errors.Forbidden("not_allowed", "No."),
    "not_found": errors.NotFound("not_found", "There is none."),
    "conflict": errors.Conflict("bot_paused", "It is paused."),
    "monthly": errors.LimitReached("message_limit_reached", "All used.", {"resets_at": "2026-12-01T00:00:00Z"}),
    "throttled": errors.LimitReached("rate_limited", "Too often.", {"retry_after_seconds": 12}),
    "away": errors.Unavailable("service_unavailable", "quota does not answer."),
    "bug": ZeroDivisionError("the password is hunter2"),
}

routes = routing.Routes("examples", "Routes that only these tests have.")


class Thing(Schema):
    id = fields.String(required=True)
    org_id = fields.String(required=True)
    command_id = fields.String(required=True)


@routes.operation("GET", "/v1/refusals/<name>", permission=routing.ANYONE, answers={200: Thing})
def refuse(name: str) -> None:
    """Refuse."""
    raise REFUSALS[name]


@routes.operation("POST", "/v1/things", permission=routing.ANY_TOKEN, answers={201: Thing})
def make_thing() -> routing.Answer:
    """Make a thing."""
    made = {"id": "thing_1", "org_id": context.current().actor.org_id, "command_id": routing.command_id(), "key": "x"}
    return routing.Answer(data=made, location="/v1/things/thing_1")


@routes.operation(
    "GET",
    "/v1/things",
    permission="bots:read",
    query=pagination.PageQuery,
    answers={200: pagination.page_of(Thing)},
)
def list_things(query: dict[str, Any]) -> dict[str, Any]:
    """List things, of which there are 120."""
    first = pagination.position(query) or 0
    numbers = range(first, min(120, first + query["limit"]))
    items = [{"id": str(number), "org_id": "org_1", "command_id": "cmd_1"} for number in numbers]
    return pagination.page(items, next_position=numbers.stop if numbers.stop < 120 else None)


@routes.operation("GET", "/v1/things/<thing_id>", permission=routing.ANY_TOKEN, answers={200: Thing}, tagged=True)
def get_thing(thing_id: str) -> dict[str, str]:
    """Show a thing."""
    return {"id": thing_id, "org_id": "org_1", "command_id": "cmd_1"}


@routes.operation(
    "PATCH",
    "/v1/things/<thing_id>",
    permission=routing.ANY_TOKEN,
    answers={200: Thing},
    tagged=True,
    conditional=True,
)
def change_thing(thing_id: str) -> dict[str, str]:
    """Show which revisions it must have."""
    wanted = context.current().if_match
    return {"id": "any" if wanted is None else " ".join(wanted), "org_id": "org_1", "command_id": "cmd_1"}


@routes.operation(
    "PUT", "/v1/things/<thing_id>", permission="invitation:accept", token_optional=True, answers={200: Thing}
)
def take_thing(thing_id: str) -> dict[str, str]:
    """Take a thing, with a token or without."""
    return {"id": thing_id, "org_id": context.current().actor.org_id, "command_id": context.current().actor.kind}


@routes.operation("DELETE", "/v1/things/<thing_id>", permission="org:manage", answers={204: None})
def remove_thing(thing_id: str) -> None:
    """Remove a thing."""


def settings(**environ: str) -> Settings:
    needed = {
        "AMQP_URI": "amqp://guest:guest@127.0.0.1:1",
        "PUBLIC_URL": "https://api.example.com/",
        "CURSOR_KEY": "a key for tests that is no secret",
    }
    return config.load(Settings, {**needed, **environ})


def verify(sha256: str) -> dict[str, Any]:
    if sha256 not in BY_FINGERPRINT:
        raise errors.NotFound("not_found", "Nobody's.")
    return BY_FINGERPRINT[sha256]


def do_not_answer(sha256: str) -> dict[str, Any]:
    raise errors.Unavailable("service_unavailable", f"accounts does not answer about {sha256}.")


def make_app(settings: Settings, *, verify_session: Callable[..., dict[str, Any]] = verify) -> flask.Flask:
    identification = authentication.Authentication(
        verify_secret=verify,
        verify_session=verify_session,
        note_use=lambda _secret_id: None,
        memory=authentication.Memory(),
        secret_seconds=30,
        session_seconds=5,
        now=clock.Clock().now,
    )
    groups = [routes, operations.routes]
    return app.create(settings, services=None, authentication=identification, groups=groups)
