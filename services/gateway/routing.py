"""
The one decorator of every route. It says all there is to say about a route: who may, what comes in, what goes out and
which refusals are to be expected. From it come both the OpenAPI document and what happens at a request.

flask-smorest's own decorators write the documentation; at a request they are not in the way, because they would
cost as much as the rest of it together.
"""

import functools
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import eventlet
import flask
import flask_smorest  # type: ignore[import-untyped]
import marshmallow
import werkzeug
from werkzeug import exceptions

from services import access
from services.gateway import bodies, problems, schemas
from shared import context, ids

ANYONE = "anyone"
ANY_TOKEN = "any token"  # noqa: S105
ANSWER_SECONDS = 1.7  # all that a request may wait for services: that one is away is said within 2 s

COMMAND = {"idempotency_in_progress": 409, "changed_meanwhile": 409, "idempotency_key_reused": 422}
"""What every command may answer, because it is done once per Idempotency-Key."""

Schema = type[marshmallow.Schema]
View = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """
    What a view returns if it has more to say than the data.

    :param status: one of the route's; None: the first
    :param location: where the thing that was made is found
    """

    data: Any = None
    status: int | None = None
    location: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """
    A route as its decorator describes it.

    :param permission: a name of `access.PERMISSIONS`, or ANY_TOKEN, or ANYONE
    :param answers: schema by status, the usual one first; None: an answer without a body
    :param body: the view gets the checked JSON object as `body`
    :param query: the view gets the checked query parameters as `query`
    :param refusals: status by code: those that this route adds to the common ones
    :param body_bytes: how large a body may be here, where it is not the setting's
    :param seconds: how long the services may take in all, where somebody outside is waited for
    """

    method: str
    rule: str
    permission: str
    answers: Mapping[int, Schema | None]
    body: Schema | None = None
    query: Schema | None = None
    refusals: Mapping[str, int] = field(default_factory=dict)
    body_bytes: int | None = None
    seconds: float = ANSWER_SECONDS

    @property
    def all_refusals(self) -> dict[str, int]:
        return {**_common_refusals(self), **self.refusals}


def actor() -> context.Actor:
    """Who asks; see `authentication`."""
    return context.current().actor


def deadline() -> float:
    """When this request is to be answered, in seconds since the epoch."""
    until = context.current().deadline
    return math.inf if until is None else until


class Routes(flask_smorest.Blueprint):  # type: ignore[misc]
    """A group of routes."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, name, description=description)

    def operation(self, method: str, rule: str, **description: Any) -> Callable[[View], View]:
        """Make a view an operation: its first line of documentation is the summary, the rest the description."""
        operation = Operation(method=method, rule=rule, **description)

        def decorate(view: View) -> View:
            door = _door(view, operation)
            door.__dict__["_apidoc"] = self._documented(view, operation)._apidoc
            self.add_url_rule(rule, view.__name__, door, methods=[method])
            return view

        return decorate

    def _documented(self, view: View, operation: Operation) -> Any:
        """The view as flask-smorest's decorators would make it; only what they note on it is used."""
        documented: Any = self.doc(
            operationId=view.__name__,
            security=[] if operation.permission == ANYONE else [{"token": []}],
            **{"x-permission": operation.permission, "x-codes": operation.all_refusals},
        )(view)
        if operation.body:
            documented = self.arguments(operation.body)(documented)
        if operation.query:
            documented = self.arguments(operation.query, location="query")(documented)
        for status, schema in operation.answers.items():
            documented = self.response(status, schema)(documented)
        for status, codes in _codes_by_status(operation.all_refusals).items():
            documented = self.alt_response(
                status, schema=schemas.Problem, content_type=problems.MEDIA_TYPE, description=", ".join(codes)
            )(documented)
        return documented


def _codes_by_status(refusals: Mapping[str, int]) -> dict[int, list[str]]:
    return {
        status: [f"`{code}`" for code, its_status in refusals.items() if its_status == status]
        for status in sorted(set(refusals.values()))
    }


def _common_refusals(operation: Operation) -> dict[str, int]:
    refusals = {"internal_error": 500, "service_unavailable": 503}
    if operation.permission != ANYONE:
        refusals |= {"token_required": 401, "invalid_token": 401}
    if operation.permission not in {ANYONE, ANY_TOKEN}:
        refusals |= {"insufficient_scope": 403, "not_allowed": 403, "owner_only": 403}
    if operation.body:
        refusals |= {
            "malformed_json": 400,
            "malformed_text": 400,
            "request_timeout": 408,
            "body_too_large": 413,
            "unsupported_media_type": 415,
        }
    if operation.body or operation.query:
        refusals |= {"invalid_fields": 422}
    if operation.method == "POST":
        refusals |= {"invalid_idempotency_key": 400}
    return refusals


def _door(view: View, operation: Operation) -> View:
    """What Flask calls: authenticate, authorise, check, ask the view, render. Schemas are made once, here."""
    permission = operation.permission
    usual_status = next(iter(operation.answers))
    dumps = {status: schema().dump if schema else None for status, schema in operation.answers.items()}
    load_body = operation.body().load if operation.body else None
    load_query = operation.query().load if operation.query else None

    @functools.wraps(view)
    def door(**arguments: Any) -> werkzeug.Response:
        _start_the_clock(operation.seconds)
        if permission != ANYONE:
            _admit(permission)
        flask.g.command_id = _command_id()
        if operation.body_bytes:
            flask.request.max_content_length = operation.body_bytes
        if load_body:
            arguments["body"] = _checked_body(load_body)
        if load_query:
            arguments["query"] = _checked_query(load_query)
        answer = view(**arguments)
        if isinstance(answer, werkzeug.Response):
            return answer
        if not isinstance(answer, Answer):
            answer = Answer(data=answer)
        status = answer.status or usual_status
        return _render(answer, status, dumps[status])

    return door


def _start_the_clock(seconds: float) -> None:
    context.enter(replace(context.current(), deadline=min(deadline(), time.time() + seconds)))


def _admit(permission: str) -> None:
    """Enter the one who asks into the context, if they may."""
    actor = flask.g.authentication.identify(flask.request.environ.get("HTTP_AUTHORIZATION"))
    context.enter(replace(context.current(), actor=actor))
    if permission != ANY_TOKEN:
        access.check(actor, permission)


_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


def _command_id() -> str:
    """The same for the same Idempotency-Key; whose it is and for which route is the owning service's to add."""
    key: str | None = flask.request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return ids.new("cmd")
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        detail = "An Idempotency-Key is 1 to 255 visible ASCII characters."
        raise problems.Problem(status=400, code="invalid_idempotency_key", detail=detail)
    return key


def _checked_body(load: Callable[[Any], Any]) -> Any:
    if flask.request.mimetype != "application/json":
        detail = "The body must be JSON, with Content-Type: application/json."
        raise problems.Problem(status=415, code="unsupported_media_type", detail=detail)
    value = bodies.load(read_body())
    try:
        return load(value)
    except marshmallow.ValidationError as error:
        raise bodies.invalid_body(error) from error


def read_body() -> bytes:
    """The whole body, in the time a client has to send it, however it drips in."""
    seconds = flask.current_app.config["SETTINGS"].socket_seconds
    too_slow = problems.Problem(status=408, code="request_timeout", detail="The body did not arrive in time.")
    started = time.time()
    with eventlet.Timeout(seconds, too_slow):
        raw = flask.request.get_data(cache=False)
    # The client's own time is not the services'.
    context.enter(replace(context.current(), deadline=deadline() + time.time() - started))
    if flask.request.content_length is None and len(raw) == flask.request.max_content_length:
        raise exceptions.RequestEntityTooLarge  # of a chunked body, werkzeug silently leaves out what is beyond
    return raw


def _checked_query(load: Callable[[Any], Any]) -> Any:
    try:
        parameters = flask.request.args.to_dict()
        bodies.check_text(parameters)
        return load(parameters)
    except marshmallow.ValidationError as error:
        raise bodies.invalid_query(error) from error


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _render(answer: Answer, status: int, dump: Callable[[Any], Any] | None) -> werkzeug.Response:
    headers = dict(answer.headers)
    if answer.location:
        headers["Location"] = answer.location
    if dump is None:
        return flask.Response(status=status, headers=headers)
    return flask.Response(_encode(dump(answer.data)), status, headers, content_type="application/json")
