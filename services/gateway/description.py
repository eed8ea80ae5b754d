"""
A route as its decorator describes it, and what follows from that without anybody saying it: the refusals that many
routes have in common, and the headers of requests and answers, as the OpenAPI document shows them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import marshmallow

from services import suspension
from services.gateway import pagination

ANYONE = "anyone"
ANY_TOKEN = "any token"  # noqa: S105

COMMAND = {"erased": 404, "idempotency_in_progress": 409, "changed_meanwhile": 409, "idempotency_key_reused": 422}
"""What every command may answer, because it is done once per Idempotency-Key."""

TOKEN_PATTERN = "^[A-Za-z0-9_-]{1,64}$"  # noqa: S105
ANSWER_SECONDS = 1.7  # all that a request may wait for services: that one is away is said within 2 s
KEY_PATTERN = "^[!-~]{1,255}$"
JSON = "application/json"

Schema = type[marshmallow.Schema]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """
    :param permission: a name of `access.PERMISSIONS`, or ANY_TOKEN, or ANYONE
    :param token_optional: whether it is done for somebody without a token too, whom the permission then must let in
    :param answers: schema by status, the usual one first; None: an answer without a body
    :param body: the view gets the checked JSON object as `body`
    :param query: the view gets the checked query parameters as `query`
    :param refusals: status by code: those that this route adds to the common ones
    :param body_bytes: how large a body may be here, where it is not the setting's
    :param takes: the media types of a body that is no JSON, and that the view reads itself
    :param seconds: how long the services may take in all, where somebody outside is waited for
    :param tagged: whether the answer is a resource with an ETag
    :param shows_more: whether it shows more than its ETag is made of, so that it is never answered with 304
    :param conditional: whether the command looks at If-Match; see `shared.revisions`
    :param produces: the media types of its answer, the usual one first; of one that is not JSON the view makes it all
    """

    method: str
    rule: str
    permission: str
    answers: Mapping[int, Schema | None]
    body: Schema | None = None
    query: Schema | None = None
    refusals: Mapping[str, int] = field(default_factory=dict)
    body_bytes: int | None = None
    takes: Sequence[str] = ()
    seconds: float = ANSWER_SECONDS
    tagged: bool = False
    shows_more: bool = False
    conditional: bool = False
    token_optional: bool = False
    produces: Sequence[str] = (JSON,)

    @property
    def all_refusals(self) -> dict[str, int]:
        return {**_common_refusals(self), **self.refusals}

    @property
    def may_be_known(self) -> bool:
        """Whether it looks at If-None-Match."""
        return self.tagged and self.method == "GET" and not self.shows_more

    @property
    def other_media(self) -> list[str]:
        """Those of its media types that are described as a text, and no more."""
        return [media for media in self.produces if media != JSON]

    @property
    def has_body(self) -> bool:
        """Whether any of its answers has one."""
        return self.produces != (JSON,) or any(schema is not None for schema in self.answers.values())


def _common_refusals(operation: Operation) -> dict[str, int]:
    refusals = {
        "bad_request": 400,
        "address_too_long": 414,
        "headers_too_large": 431,
        "internal_error": 500,
        "service_unavailable": 503,
        "deadline_passed": 503,
        "database_unavailable": 503,
    }
    refusals |= _refusals_of_who_asks(operation)
    if "<" in operation.rule:
        refusals |= {"not_found": 404}
    if operation.has_body:
        refusals |= {"not_acceptable": 406}
    if operation.body or operation.body_bytes:
        refusals |= {"request_timeout": 408, "body_too_large": 413}
    if operation.body:
        refusals |= {"malformed_json": 400, "malformed_text": 400, "unsupported_media_type": 415}
    if operation.takes:
        refusals |= {"unsupported_media_type": 415}
    if operation.query:
        refusals |= {"malformed_text": 400}
    if operation.query and issubclass(operation.query, pagination.PageQuery):
        refusals |= {"invalid_cursor": 400}
    if operation.body or operation.query:
        refusals |= {"invalid_fields": 422}
    if operation.method != "GET":
        refusals |= {"invalid_idempotency_key": 400}
    if operation.conditional:
        refusals |= {"invalid_if_match": 400, "precondition_failed": 412}
    return refusals


def _refusals_of_who_asks(operation: Operation) -> dict[str, int]:
    refusals: dict[str, int] = {}
    if operation.permission != ANYONE:
        refusals |= (
            {"invalid_token": 401} if operation.token_optional else {"token_required": 401, "invalid_token": 401}
        )
    if operation.permission not in {ANYONE, ANY_TOKEN} and not operation.token_optional:
        refusals |= {"insufficient_scope": 403, "not_allowed": 403, "owner_only": 403}
    if suspension.is_refused(operation.method, operation.rule):
        refusals |= {"org_suspended": 403}
    return refusals


def text_or_bytes(media: str) -> dict[str, str]:
    """The schema of a body that is no JSON."""
    return {"type": "string", "format": "binary"} if media.startswith("image/") else {"type": "string"}


def codes_by_status(refusals: Mapping[str, int]) -> dict[int, list[str]]:
    return {
        status: [f"`{code}`" for code, its_status in refusals.items() if its_status == status]
        for status in sorted(set(refusals.values()))
    }


def parameters(operation: Operation) -> list[dict[str, Any]]:
    """The request's headers."""
    found = []
    if operation.method != "GET":
        text = "The same key from the same caller does it once, and gets the same answer again, for 24 hours."
        found.append(_header_parameter("Idempotency-Key", text, pattern=KEY_PATTERN, example="2f1c9c0e-order-17"))
    if operation.conditional:
        text = "The ETag that was read, or `*`: change it only if it still has this one, else 412."
        found.append(_header_parameter("If-Match", text, pattern=IF_MATCH_PATTERN, example='"9f86d081884c7d65"'))
    if operation.may_be_known:
        text = "An ETag that is known already: 304 if it is still the one."
        found.append(_header_parameter("If-None-Match", text, example='"9f86d081884c7d65"'))
    return found


IF_MATCH_PATTERN = r'^(\*|(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*)$'


def _header_parameter(name: str, description: str, *, example: str, pattern: str = "") -> dict[str, Any]:
    schema = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"in": "header", "name": name, "description": description, "schema": schema, "example": example}


def answer_headers(operation: Operation, status: int) -> dict[str, Any]:
    """The headers of an answer that is no refusal."""
    headers = dict(EVERY_ANSWER)
    if status == 201:
        headers["Location"] = _header("where the new thing is found", format="uri-reference")
    if operation.tagged and status in (200, 201):
        headers["ETag"] = _header("the revision of what is shown, for If-Match", pattern='^"[0-9a-f]{32}"$')
    return headers


def refusal_headers(status: int) -> dict[str, Any]:
    headers = dict(EVERY_ANSWER)
    if status == 401:
        headers["WWW-Authenticate"] = _header("how to authenticate", required=False)
    if status == 503:
        headers["Retry-After"] = _header("after how many seconds to ask again", type="integer", minimum=0)
    if status == 429:
        text = "after how many seconds to ask again; not with `message_limit_reached`: its `resets_at` is a date"
        headers["Retry-After"] = _header(text, required=False, type="integer", minimum=0)
        headers["RateLimit"] = _header(
            "with `rate_limited`: none is left (`r`) for so many seconds (`t`)", required=False
        )
    return headers


def _header(description: str, *, required: bool = True, **schema: Any) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string", **schema}}


EVERY_ANSWER = {
    "Request-Id": _header("names the request in our logs; a given one is kept", pattern="^[A-Za-z0-9_.-]{1,64}$")
}
