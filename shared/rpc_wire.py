"""
What travels in a remote call. The messages are as nameko writes them, so that plain nameko works at either end.

Knows neither nameko nor eventlet, because the client for plain threads shares it.
"""

import json
import math
import time
from dataclasses import replace
from typing import Any

import amqp

from shared import context, errors, ids

EXCHANGE = "nameko-rpc"
FOREIGN = f"{EXCHANGE}."  # and the caller's name: the exchange of a caller that is not one of our own processes
CONTENT_TYPE = "application/json"
PATIENCE_SECONDS = 10.0  # of a caller who says nothing of a deadline, as plain nameko does
CLIENT_LENGTH = 45  # of the longest address in IPv6
TRANSIENT = 1  # AMQP's delivery mode for a message that is never written to disk: it may hold a password

# The error every bug becomes. It says nothing of the bug: its text may hold anything.
INTERNAL_ERROR = {
    "exc_type": "RemoteError",
    "exc_path": "nameko.exceptions.RemoteError",
    "exc_args": [],
    "value": "internal_error",
}

_REFUSALS = {
    f"{kind.__module__}.{kind.__name__}": kind
    for kind in (
        errors.Invalid,
        errors.Forbidden,
        errors.NotFound,
        errors.Conflict,
        errors.LimitReached,
        errors.Unavailable,
    )
}


class RemoteBug(Exception):
    """The other service failed in a way it did not mean to. What happened is in its log, never in its answer."""


class Unreadable(Exception):
    """A message that is no JSON object, or does not claim to be one."""


def request(arguments: dict[str, Any], *, reply_to: str, correlation_id: str, deadline: float) -> amqp.Message:
    """A call that expires in the queue when its caller has stopped waiting, on behalf of the current actor."""
    now = context.current()
    headers: dict[str, Any] = {"nameko.actor": now.actor.to_json(), "nameko.deadline": deadline}
    if now.correlation_id:
        headers["nameko.correlation_id"] = now.correlation_id
    if now.if_match is not None:
        headers["nameko.if_match"] = list(now.if_match)
    if now.client:
        headers["nameko.client"] = now.client
    milliseconds_left = max(1, int((deadline - time.time()) * 1000))
    return _message(
        {"args": [], "kwargs": arguments},
        application_headers=headers,
        reply_to=reply_to,
        correlation_id=correlation_id,
        expiration=str(milliseconds_left),
    )


def reply(*, correlation_id: str | None, result: Any = None, error: dict[str, Any] | None = None) -> amqp.Message:
    """
    The answer to a request.

    :raises TypeError, ValueError: if the result is not made of JSON values
    """
    return _message({"result": result, "error": error}, correlation_id=correlation_id)


def refusal(error: errors.ServiceError) -> dict[str, Any]:
    """A refusal in nameko's form. Its own `serialize` would turn the numbers among the details into strings."""
    kind = type(error)
    return {
        "exc_type": kind.__name__,
        "exc_path": f"{kind.__module__}.{kind.__name__}",
        "exc_args": [error.code, error.message, error.details],
        "value": str(error),
    }


def foreign_exchange(caller: str) -> str:
    return FOREIGN + caller


def deadline_after(timeout_seconds: float) -> float:
    """
    When a call made now must be over: after its own time, or when whoever asked us stops waiting, if that is earlier.

    :raises Unavailable: if nobody waits any more
    """
    now = time.time()
    outer = context.current().deadline
    if outer is not None and outer <= now:
        raise errors.Unavailable("deadline_passed", "The time for this request is used up.")
    return min(now + timeout_seconds, outer if outer is not None else math.inf)


def unavailable(service: str) -> errors.Unavailable:
    return errors.Unavailable("service_unavailable", f"The service {service!r} does not answer.")


def read(message: amqp.Message, content_type: str = CONTENT_TYPE) -> dict[str, Any]:
    """
    The JSON object in a message.

    :raises Unreadable: without a word of the content
    """
    claimed = str(message.properties.get("content_type", "")).partition(";")[0].strip()
    if claimed != content_type:
        raise Unreadable("its content type is not accepted")
    try:
        body = json.loads(message.body)
    except (ValueError, RecursionError):
        raise Unreadable("its body is not JSON") from None
    if not isinstance(body, dict):
        raise Unreadable("its body is not a JSON object")
    return body


def read_reply(answer: amqp.Message, *, called: str) -> Any:
    """
    The result in an answer.

    :raises ServiceError: the refusal that the service sent
    :raises RemoteBug: for any other error, and for an answer that is none
    """
    try:
        body = read(answer)
        error = body.get("error")
        if not error:
            return body["result"]
        refused = _REFUSALS[error["exc_path"]](*error["exc_args"])
    except (Unreadable, KeyError, TypeError):
        raise RemoteBug(f"{called} failed") from None
    raise refused


def read_context(headers: dict[str, Any], *, exchange: str) -> context.Context:
    """
    Who asks, for which request and until when, from the headers of a request; what is missing gets a default.

    :param exchange: on which the request was published. Only our own processes may write to ours, and each foreign
        caller only to its own, so RabbitMQ answers for it, as nobody does for a header
    :raises Invalid: if a header is not of its type
    :raises Forbidden: `not_your_actor` for a foreign caller that says it is somebody else
    """
    deadline = headers.get("nameko.deadline", time.time() + PATIENCE_SECONDS)
    correlation_id = headers.get("nameko.correlation_id") or ids.new("req")
    if not (isinstance(deadline, int | float) and math.isfinite(deadline)):
        raise errors.Invalid("invalid_context", "The deadline is not a number of seconds.")
    client = headers.get("nameko.client") or ""
    if not _is_printable(client) or len(client) > CLIENT_LENGTH:
        raise errors.Invalid("invalid_context", "The client is the address of one.")
    if not _is_printable(correlation_id) or len(correlation_id) > 200:
        raise errors.Invalid("invalid_context", "The correlation id has at most 200 printable characters.")
    return context.Context(
        actor=_actor_on(exchange, headers.get("nameko.actor") or {}),
        correlation_id=correlation_id,
        deadline=deadline,
        if_match=_read_revisions(headers.get("nameko.if_match")),
        client=client,
    )


def _actor_on(exchange: str, claimed: Any) -> context.Actor:
    if exchange == EXCHANGE:
        return _read_actor(claimed)
    if not exchange.startswith(FOREIGN):
        raise errors.Forbidden("unknown_caller", f"Nobody calls on the exchange {exchange!r}.")
    caller = context.Actor(kind="service", id=exchange.removeprefix(FOREIGN))
    actor = _read_actor({"kind": caller.kind, "id": caller.id, **claimed} if isinstance(claimed, dict) else claimed)
    if actor != replace(caller, org_id=actor.org_id):
        raise errors.Forbidden("not_your_actor", f"{caller.id!r} acts as itself, in an org that it names.")
    return actor


def _read_actor(value: Any) -> context.Actor:
    try:
        actor = context.Actor.from_json(value)
    except TypeError:
        raise errors.Invalid("invalid_context", "The actor is not an actor.") from None
    texts = (actor.kind, actor.id, actor.org_id, actor.role, actor.session_id, *actor.scopes)
    if not all(map(_is_printable, texts)):
        raise errors.Invalid("invalid_context", "The actor is not an actor.")
    return actor


def _is_printable(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _read_revisions(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(revision, str) for revision in value):
        raise errors.Invalid("invalid_context", "The revisions are not a list of strings.")
    return tuple(value)


def _message(body: dict[str, Any], **properties: Any) -> amqp.Message:
    return amqp.Message(
        json.dumps(body, allow_nan=False, separators=(",", ":")).encode(),
        content_type=CONTENT_TYPE,
        content_encoding="utf-8",
        delivery_mode=TRANSIENT,
        **{name: value for name, value in properties.items() if value is not None},
    )
