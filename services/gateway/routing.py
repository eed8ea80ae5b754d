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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import eventlet
import flask
import flask_smorest  # type: ignore[import-untyped]
import marshmallow
import werkzeug
from eventlet import wsgi
from werkzeug import exceptions
from werkzeug.datastructures import Headers

from services import access
from services.gateway import bodies, description, preconditions, problems, schemas
from shared import context, ids
from shared.frozen import changed

ANYONE = description.ANYONE
ANY_TOKEN = description.ANY_TOKEN
COMMAND = description.COMMAND
JSON = description.JSON

View = Callable[..., Any]

PROBLEM = schemas.Problem()
USUAL_ACCEPT = {None, "", "*/*"}
TAGGED = {200, 201}
CHARSETS = {"utf-8", "utf8"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """
    What a view returns if it has more to say than the data.

    :param status: one of the route's; None: the first
    :param location: where the thing that was made is found
    :param tagged: what the ETag is made of, where it is not the data
    """

    data: Any = None
    status: int | None = None
    location: str | None = None
    tagged: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


def actor() -> context.Actor:
    """Who asks; see `authentication`."""
    return context.current().actor


def command_id() -> str:
    """The same for the same Idempotency-Key; whose it is and for which route is the owning service's to add."""
    key: str | None = flask.g.idempotency_key
    return key or ids.new("cmd")


def deadline() -> float:
    """When this request is to be answered, in seconds since the epoch."""
    until = context.current().deadline
    return math.inf if until is None else until


def remaining_seconds() -> float:
    """How much is left until then."""
    return max(0.0, deadline() - time.time())


class Ready(flask.Response):
    """An answer whose headers are as they go out: werkzeug would go through them once more, for a path's sake."""

    def get_wsgi_headers(self, _environ: Any) -> Headers:
        return self.headers


class Routes(flask_smorest.Blueprint):  # type: ignore[misc]
    """A group of routes."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(name, name, description=description)

    def operation(self, method: str, rule: str, **described: Any) -> Callable[[View], View]:
        """Make a view an operation: its first line of documentation is the summary, the rest the description."""
        operation = description.Operation(method=method, rule=rule, **described)

        def decorate(view: View) -> View:
            door = _door(view, operation)
            door.__dict__["_apidoc"] = self._documented(view, operation)._apidoc
            self.add_url_rule(rule, view.__name__, door, methods=[method])
            return view

        return decorate

    def _documented(self, view: View, operation: description.Operation) -> Any:
        """The view as flask-smorest's decorators would make it; only what they note on it is used."""
        documented: Any = self.doc(
            operationId=view.__name__,
            security=_security(operation),
            **{"x-permission": operation.permission, "x-codes": operation.all_refusals},
        )(view)
        if operation.body:
            documented = self.arguments(operation.body)(documented)
        if operation.takes:
            content = {media: {"schema": description.text_or_bytes(media)} for media in operation.takes}
            documented = self.doc(requestBody={"required": True, "content": content})(documented)
        if operation.query:
            documented = self.arguments(operation.query, location="query")(documented)
        for status, schema in operation.answers.items():
            headers = description.answer_headers(operation, status)
            documented = self.response(status, schema, headers=headers)(documented)
        for media in operation.other_media:
            status = next(iter(operation.answers))
            headers = description.answer_headers(operation, status)
            text = description.text_or_bytes(media)
            documented = self.response(status, text, content_type=media, headers=headers)(documented)
        if operation.may_be_known:
            headers = description.answer_headers(operation, 200)
            documented = self.alt_response(304, description="It is still the one of If-None-Match.", headers=headers)(
                documented
            )
        # As `alt_response` notes them; it would copy all that was noted before, for each of a dozen refusals.
        responses = documented._apidoc["response"]["responses"]
        for status, codes in description.codes_by_status(operation.all_refusals).items():
            refused = {"schema": PROBLEM, "description": ", ".join(codes), "content_type": problems.MEDIA_TYPE}
            headers = description.refusal_headers(status)
            responses.setdefault(status, []).append({**refused, "headers": headers} if headers else refused)
        arguments = documented._apidoc.setdefault("arguments", {})
        arguments["parameters"] = [*arguments.get("parameters", []), *description.parameters(operation)]
        return documented


def _security(operation: description.Operation) -> list[dict[str, list[str]]]:
    """As OpenAPI has it: an empty one beside another says that it goes without."""
    if operation.permission == ANYONE:
        return []
    return [{"token": []}, *([{}] if operation.token_optional else [])]


def _door(view: View, operation: description.Operation) -> View:
    """What Flask calls: authenticate, authorise, check, ask the view, render. Schemas are made once, here."""
    permission, may_lack_token = operation.permission, operation.token_optional
    usual_status = next(iter(operation.answers))
    speaks_json, is_command = operation.has_body, operation.method != "GET"
    dumps = {status: schema().dump if schema else None for status, schema in operation.answers.items()}
    load_body = operation.body().load if operation.body else None
    load_query = operation.query().load if operation.query else None

    @functools.wraps(view)
    def door(**arguments: Any) -> werkzeug.Response:
        start_the_clock(operation.seconds)
        if permission != ANYONE and (not may_lack_token or "HTTP_AUTHORIZATION" in flask.request.environ):
            _admit(permission)
        if speaks_json:
            _check_accept(operation.produces)
        if is_command:
            flask.g.idempotency_key = _idempotency_key()
        if operation.conditional:
            context.enter(changed(context.current(), if_match=preconditions.if_match()))
        if operation.takes:
            _check_media(flask.request, operation.takes)
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
        if operation.tagged and status in TAGGED:
            return _render_tagged(answer, status, dumps[status])
        return _render(answer, status, dumps[status])

    return door


def start_the_clock(seconds: float) -> None:
    """Let the services take so long in all."""
    context.enter(changed(context.current(), deadline=min(deadline(), time.time() + seconds)))


def give_back_time(since: float) -> None:
    """What has passed since then was the client's time, or our own; the services get it once more."""
    context.enter(changed(context.current(), deadline=deadline() + time.time() - since))


def _admit(permission: str) -> None:
    """Enter the one who asks into the context, if they may."""
    actor = flask.g.authentication.identify(flask.request.environ.get("HTTP_AUTHORIZATION"))
    context.enter(changed(context.current(), actor=actor))
    if permission != ANY_TOKEN:
        access.check(actor, permission)


def _check_accept(produces: Sequence[str]) -> None:
    """:raises Problem: 406 `not_acceptable` to whoever wants something else"""
    accepted = flask.request.environ.get("HTTP_ACCEPT")
    if accepted in USUAL_ACCEPT or accepted in produces:
        return
    if not any(flask.request.accept_mimetypes[media] > 0 for media in produces):
        detail = f"This answers in {' or '.join(produces)} only; see Accept."
        raise problems.Problem(status=406, code="not_acceptable", detail=detail)


_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")


def _idempotency_key() -> str | None:
    """:raises Problem: 400 `invalid_idempotency_key`"""
    key: str | None = flask.request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        detail = "An Idempotency-Key is 1 to 255 visible ASCII characters."
        raise problems.Problem(status=400, code="invalid_idempotency_key", detail=detail)
    return key


def _checked_body(load: Callable[[Any], Any]) -> Any:
    _check_content(flask.request)
    value = bodies.load(read_body())
    try:
        return load(value)
    except marshmallow.ValidationError as error:
        raise bodies.invalid_body(error) from error


def _check_content(request: flask.Request) -> None:
    """:raises Problem: 415 `unsupported_media_type`"""
    if request.mimetype != "application/json":
        raise _unsupported("The body must be JSON, with Content-Type: application/json.")
    if request.mimetype_params.get("charset", "utf-8").lower() not in CHARSETS:
        raise _unsupported("JSON is written in UTF-8.")
    _check_encoding(request)


def _check_media(request: flask.Request, takes: Sequence[str]) -> None:
    """The same of a body that is no JSON. What it really is, is for the view to see."""
    if request.mimetype not in takes:
        raise _unsupported(f"The body must be one of {', '.join(takes)}, and its Content-Type say which.")
    _check_encoding(request)


def _check_encoding(request: flask.Request) -> None:
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise _unsupported("The body must not be compressed: no Content-Encoding is understood.")


def _unsupported(detail: str) -> problems.Problem:
    return problems.Problem(status=415, code="unsupported_media_type", detail=detail)


def read_body(*, keep: bool = False) -> bytes:
    """
    The whole body, in the time a client has to send it, however it drips in.

    :param keep: so that Flask can read it again, as a form
    """
    seconds = flask.current_app.config["SETTINGS"].socket_seconds
    too_slow = problems.Problem(status=408, code="request_timeout", detail="The body did not arrive in time.")
    started = time.time()
    most = flask.request.max_content_length
    in_chunks = flask.request.content_length is None
    if in_chunks and most is not None:
        flask.request.max_content_length = most + 1  # werkzeug silently leaves out what is beyond
    try:
        with eventlet.Timeout(seconds, too_slow):
            raw = flask.request.get_data(cache=keep)
    except TimeoutError:
        raise too_slow from None
    except (wsgi.ChunkReadError, OSError) as error:
        detail = "The body broke off, or its chunks make no sense."
        raise problems.Problem(status=400, code="bad_request", detail=detail) from error
    give_back_time(started)
    if in_chunks and most is not None and len(raw) > most:
        raise exceptions.RequestEntityTooLarge
    return raw


def _checked_query(load: Callable[[Any], Any]) -> Any:
    given = flask.request.args
    twice = [name for name, values in given.lists() if len(values) > 1]
    if twice:
        raise problems.invalid_fields([{"parameter": name, "detail": "It stands there twice."} for name in twice])
    parameters = given.to_dict()
    bodies.check_text(parameters)
    try:
        return load(parameters)
    except marshmallow.ValidationError as error:
        raise bodies.invalid_query(error) from error


_encode = json.JSONEncoder(separators=(",", ":")).encode


def _render_tagged(answer: Answer, status: int, dump: Callable[[Any], Any] | None) -> werkzeug.Response:
    """
    With an ETag, and 304 to whoever has it already.

    Where the tag is made of a part, the rest may have changed: then the whole is shown.
    """
    tag = preconditions.tag(answer.data if answer.tagged is None else answer.tagged)
    if flask.request.method in {"GET", "HEAD"} and answer.tagged is None and preconditions.is_known(tag):
        return _render(changed(answer, headers={"ETag": tag}), 304, None)
    return _render(changed(answer, headers={**answer.headers, "ETag": tag}), status, dump)


def _render(answer: Answer, status: int, dump: Callable[[Any], Any] | None) -> werkzeug.Response:
    headers = dict(answer.headers)
    if answer.location:
        headers["Location"] = answer.location
    if dump is None:
        return flask.Response(status=status, headers=headers)
    body = _encode(dump(answer.data)).encode()
    headers["Content-Length"] = str(len(body))
    return Ready(body, status, headers, content_type="application/json")
