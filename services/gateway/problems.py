"""
Every refusal as an RFC 9457 problem document: one place where an exception becomes a status, a code and a body.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import werkzeug
from werkzeug import exceptions

from shared import context, errors, logs

MEDIA_TYPE = "application/problem+json"

log = logs.logger(__name__)


@dataclass(kw_only=True, eq=False)  # not frozen: Python writes the traceback onto an exception
class Problem(Exception):
    """
    A refusal of the gateway's own, before any service was asked.

    :param code: for programs, as `malformed_json`
    :param detail: for people: what was wrong and what to do
    :param details: further members of the document
    """

    status: int
    code: str
    detail: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def invalid_fields(faults: list[dict[str, str]]) -> Problem:
    """:param faults: `{pointer, detail}` for a field of the body, `{parameter, detail}` for one of the query"""
    return Problem(
        status=422,
        code="invalid_fields",
        detail="Some fields cannot be accepted; see errors.",
        details={"errors": faults},
    )


def from_exception(exception: Exception) -> Problem:
    """What to answer to this exception. One that nobody foresaw is logged here and stays hidden."""
    match exception:
        case Problem():
            return exception
        case errors.ServiceError():
            return _from_service(exception)
        case exceptions.HTTPException():
            return _from_werkzeug(exception)
        case _:
            log.error("request failed", exc_info=exception)
            return Problem(status=500, code="internal_error", detail="Something went wrong here. It has been logged.")


def response(problem: Problem, *, public_url: str) -> werkzeug.Response:
    document = {
        "type": f"{public_url}/docs/errors#{problem.code}",
        "title": problem.code.replace("_", " ").capitalize(),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "instance": context.current().correlation_id,
    }
    body = json.dumps({**problem.details, **document}, separators=(",", ":"))
    return werkzeug.Response(body, problem.status, problem.headers, content_type=MEDIA_TYPE)


OTHERWISE = {
    "invalid_cursor": 400,  # as of the lists whose cursors are our own
    "invalid_webhook": 400,  # Stripe's own documentation asks for it
    "wrong_credentials": 401,
    "card_declined": 402,
    "authentication_required": 402,
    "precondition_failed": 412,
}
"""The few refusals whose HTTP status is not that of their kind."""


def _from_service(error: errors.ServiceError) -> Problem:
    return Problem(
        status=OTHERWISE.get(error.code, error.status),
        code=error.code,
        detail=error.message,
        details=error.details,
        headers=_retry_after(error),
    )


def _retry_after(error: errors.ServiceError) -> dict[str, str]:
    """The monthly limit carries no `retry_after_seconds`: its `resets_at` is a date, and trying again is useless."""
    seconds = error.details.get("retry_after_seconds", 1 if isinstance(error, errors.Unavailable) else None)
    if seconds is None:
        return {}
    if error.code == "rate_limited":
        return {"Retry-After": str(seconds), "RateLimit": f'"tries";r=0;t={seconds}'}
    return {"Retry-After": str(seconds)}


EVERYWHERE = {
    "bad_request": 400,
    "not_found": 404,
    "method_not_allowed": 405,
    "address_too_long": 414,
    "headers_too_large": 431,
    "http_version_not_supported": 505,
}
"""What no route has to itself."""

_BY_STATUS = {
    404: ("not_found", "There is no such route, or no such thing, or it is not yours."),
    405: ("method_not_allowed", "The route has other methods; see Allow."),
    413: ("body_too_large", "The body is larger than this route accepts."),
    414: ("address_too_long", "The address is longer than 8 KiB."),
    431: ("headers_too_large", "A header is longer than 8 KiB, or there are more than 100, or 64 KiB of them."),
    505: ("http_version_not_supported", "This server speaks HTTP/1.1."),
}


def from_status(status: int, detail: str | None = None) -> Problem:
    """What is refused before it reaches the app."""
    code, usual = _BY_STATUS.get(status, ("bad_request", "This is no request in HTTP/1.1."))
    return Problem(status=status, code=code, detail=detail or usual)


def _from_werkzeug(error: exceptions.HTTPException) -> Problem:
    """werkzeug's own refusals: no such route, wrong method, too large. Its HTML is not kept."""
    status = error.code or 500
    code, detail = _BY_STATUS.get(status, ("bad_request", error.description or error.name))
    methods = error.valid_methods if isinstance(error, exceptions.MethodNotAllowed) else None
    headers = {"Allow": ", ".join(sorted(methods))} if methods else {}
    return Problem(status=status, code=code, detail=detail, headers=headers)
