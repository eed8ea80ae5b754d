"""Usage: the month in numbers, by day and bot, entry by entry, and as it changes; and credits."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flask
from marshmallow import Schema, fields, validate

from services import access
from services.gateway import authentication, pagination, problems, routing, schemas, statements, streams
from shared import context, errors

routes = routing.Routes("usage", "The month in numbers, and credits.")

NO_ORG = {"erased": 404, "org_not_ready": 503}
UNKNOWN = {"unknown_period": 404, **NO_ORG}
STREAM = "text/event-stream"
ASK_SECONDS = 1.7
TRUST_SECONDS = 60.0  # for how long a listener is believed while nobody can be asked about the token


class Period(fields.String):
    def __init__(self) -> None:
        super().__init__(
            load_default="",
            validate=validate.Regexp(r"[0-9]{4}-(0[1-9]|1[0-2])\Z", error="Not a month, as 2026-11."),
            metadata={"description": "the calendar month in UTC, as 2026-11; without it the open one"},
        )


class PeriodQuery(Schema):
    period = Period()


class PeriodPageQuery(pagination.PageQuery):
    period = Period()


class Forecast(Schema):
    runs_out_at = schemas.Moment(
        required=True,
        allow_none=True,
        metadata={
            "format": "date-time",
            "description": "when no message is left at the pace of the last days, rounded up to the hour; null if "
            "they last until `resets_at`, or none is left. The pace: messages less refunds, today and in the seven "
            "days before, over the time since the first of these days with a message, a day at least",
        },
    )


class Usage(Schema):
    period = fields.String(required=True, metadata={"description": "the calendar month in UTC, as 2026-11"})
    used = fields.Integer(
        required=True,
        metadata={"description": "of the plan's messages, since the month's last reset, if it had any"},
    )
    limit = fields.Integer(required=True, metadata={"description": "the plan's, per month"})
    credits_remaining = fields.Integer(
        required=True, metadata={"description": "extra messages, spent after the plan's own"}
    )
    remaining = fields.Integer(required=True, metadata={"description": "of the plan and of credits together"})
    resets_at = schemas.Moment(required=True)
    blocked = fields.Boolean(required=True, metadata={"description": "no message is left, all bots are stopped"})
    forecast = fields.Nested(Forecast, required=True)


class DailyUsage(Schema):
    day = fields.String(required=True, metadata={"format": "date", "description": "in UTC"})
    bot_id = fields.String(required=True, metadata={"description": "of a bot that may be deleted by now"})
    messages = fields.Integer(required=True, metadata={"description": "counted on this day"})
    refunded = fields.Integer(required=True, metadata={"description": "given back on it; not taken off `messages`"})


class Entry(Schema):
    entry = fields.Integer(
        required=True, metadata={"description": "its number in the month, from 1 on, without gaps"}
    )
    at = schemas.Moment(required=True)
    kind = fields.String(
        required=True,
        metadata={
            "description": "`period_opened`, `message`, `refund`, `limit_changed`, `usage_reset`, `credit_granted`, "
            "`credit_carried`, `credit_returned` or `credit_expired`; there may be more"
        },
    )
    change = fields.Integer(required=True, metadata={"description": "of the count of the plan's messages"})
    used = fields.Integer(required=True, metadata={"description": "the count after it"})
    message_id = fields.String(required=True, allow_none=True)
    bot_id = fields.String(required=True, allow_none=True)
    credit_id = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "that the message was taken from, or that this is about"},
    )
    plan = fields.String(required=True, allow_none=True)
    limit = fields.Integer(required=True, allow_none=True)
    action = fields.String(required=True, allow_none=True, metadata={"description": "of the subscription"})
    why = fields.String(required=True, metadata={"description": "in a sentence, for people"})


@routes.operation(
    "GET",
    "/v1/usage",
    permission="usage:read",
    query=PeriodQuery,
    answers={200: Usage},
    refusals=UNKNOWN,
    tagged=True,
)
def get_usage(query: dict[str, Any]) -> Any:
    """Show how much of a month's messages is used; of a month that is over, how it ended."""
    return flask.g.services.quota.get_usage(period=query["period"])


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
    refusals=NO_ORG,
    tagged=True,
)
def list_credits() -> Any:
    """
    List the extra messages that were granted, the first to be spent on top.

    They are spent after the plan's own, outlive months and resets, and are gone once they expire.
    """
    return {"data": flask.g.services.quota.list_credits()}


@routes.operation(
    "GET",
    "/v1/usage/daily",
    permission="usage:read",
    query=PeriodPageQuery,
    answers={200: pagination.page_of(DailyUsage)},
    refusals=UNKNOWN,
)
def list_daily_usage(query: dict[str, Any]) -> dict[str, Any]:
    """List how many messages each bot sent on each day of a month, by day and bot."""
    period, after = _place(query) or (query["period"], "")
    found = flask.g.services.quota.list_daily_usage(period=period, after=after, limit=query["limit"] + 1)
    return _page(query, found, lambda last: f"{last['day']}/{last['bot_id']}")


@routes.operation(
    "GET",
    "/v1/usage/statement",
    permission="usage:read",
    query=PeriodPageQuery,
    answers={200: pagination.page_of(Entry)},
    refusals={**UNKNOWN, "month_archived": 409, "too_many_streams": 429, "no_stream_free": 503},
    produces=(routing.JSON, statements.MEDIA_TYPE),
)
def get_statement(query: dict[str, Any]) -> Any:
    """
    List every entry of a month's ledger in order, what it did to the count, and why.

    With `Accept: text/csv` the whole month comes as one file, whatever `limit` and `cursor` say. A text in it that a
    spreadsheet would take for a formula has an apostrophe before it. A file that breaks off has no proper end.
    """
    if flask.request.accept_mimetypes.best_match([routing.JSON, statements.MEDIA_TYPE]) == statements.MEDIA_TYPE:
        return statements.answer(query["period"])
    period, (after, used) = _place(query) or (query["period"], (0, 0))
    fetch = flask.g.services.quota.list_statement
    found = fetch(period=period, after=after, used=used, limit=query["limit"] + 1)
    return _page(query, found, lambda last: [last["entry"], last["used"]])


@routes.operation(
    "GET",
    "/v1/usage/stream",
    permission="usage:read",
    answers={200: None},
    refusals={"too_many_streams": 429, "no_stream_free": 503},
    produces=(STREAM,),
)
def stream_usage() -> flask.Response:
    """
    Hear of the open month as it changes: server-sent events.

    An event `usage` comes at once and whenever the numbers have changed, once a second at most; its data are what
    `GET /v1/usage` gives. In silence a comment comes every 15 seconds. The stream ends when the token is good no more
    (a revoked secret at once, a session within 20 seconds) and when the gateway stops; connect again then.
    """
    services, org_id = flask.g.services, context.current().actor.org_id
    services.places.take(org_id)
    try:
        listener = services.streams.open(org_id)
    except errors.ServiceError:
        services.places.give_back(org_id)
        raise
    ticket = _Ticket(flask.g.authentication, flask.request.environ["HTTP_AUTHORIZATION"], org_id)

    def sent() -> Iterator[bytes]:
        yield services.streams.greeting()
        yield from listener.hear(ticket.holds)

    def close() -> None:
        services.streams.close(listener)
        services.places.give_back(org_id)

    flask.request.environ["eventlet.minimum_write_chunk_size"] = 0  # nothing is gathered before it is sent
    # The header asks nginx not to keep anything back either.
    response = flask.Response(sent(), content_type=STREAM, headers={"X-Accel-Buffering": "no"})
    response.call_on_close(close)
    return response


def look(quota: Any) -> streams.Look:
    """:param quota: the RPC client"""
    dump = Usage().dump

    def ask(org_ids: Sequence[str]) -> dict[str, bytes]:
        with context.use(actor=authentication.GATEWAY, deadline=None):
            found = quota.watch_usage(org_ids=org_ids)
        return {org_id: _event(dump(usage)) for org_id, usage in found.items()}

    return ask


def _event(data: Any) -> bytes:
    return f"event: usage\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class _Ticket:
    """Whether the token with which a stream began is still good for it."""

    def __init__(self, identification: authentication.Authentication, authorization: str, org_id: str) -> None:
        self._identification = identification
        self._authorization = authorization
        self._org_id = org_id
        self._believed_until = time.monotonic() + TRUST_SECONDS

    def holds(self) -> bool:
        try:
            with context.use(deadline=time.time() + ASK_SECONDS):
                actor = self._identification.identify(self._authorization)
            access.check(actor, "usage:read")
        except errors.Unavailable:
            return time.monotonic() < self._believed_until
        except (problems.Problem, errors.ServiceError):
            return False
        self._believed_until = time.monotonic() + TRUST_SECONDS
        return actor.org_id == self._org_id  # a session can go over to another


def _place(query: dict[str, Any]) -> Any:
    """
    Where this page begins: the period, and the place in it; None at the beginning.

    :raises Problem: 400 `invalid_cursor` if it is one of another period
    """
    place = pagination.position(query)
    if place and query["period"] not in ("", place[0]):
        raise pagination.invalid_cursor()
    return place


def _page(query: dict[str, Any], found: dict[str, Any], place: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """A month goes on while it is read: the cursor holds which one was begun with."""
    items = found["items"][: query["limit"]]
    more = len(found["items"]) > len(items)
    return pagination.page(items, next_position=[found["period"], place(items[-1])] if more else None)
