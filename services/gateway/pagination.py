"""
Pages of a list: `{"data": […], "next_cursor": "…" or null}`, everywhere.

A cursor is opaque to the client: the position after the last item, signed together with the list it belongs to, so
that it can be neither made up nor carried to another org or route.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import flask
from marshmallow import Schema, fields, validate

from services.gateway import problems
from shared import context

_SIGNATURE_BYTES = 16


class PageQuery(Schema):
    """Which part of a list."""

    limit = fields.Integer(load_default=50, validate=validate.Range(1, 100))
    cursor = fields.String(
        load_default=None,
        allow_none=False,
        validate=validate.Length(1, 1000),
        metadata={"description": "`next_cursor` of the page before"},
    )


def page_of(item: type[Schema]) -> type[Schema]:
    """The schema of a page of these items."""
    members: dict[str, fields.Field[Any]] = {
        "data": fields.List(fields.Nested(item), required=True),
        "next_cursor": fields.String(
            required=True, allow_none=True, metadata={"description": "null on the last page"}
        ),
    }
    return Schema.from_dict(members, name=f"{item.__name__}Page")


def page(items: list[Any], *, next_position: Any) -> dict[str, Any]:
    """:param next_position: JSON for `position` to give back at the next request; None on the last page"""
    cursor = None if next_position is None else seal(next_position, key=_key(), scope=_scope())
    return {"data": items, "next_cursor": cursor}


def page_after(query: dict[str, Any], fetch: Callable[[int], list[Any]], *, key: str) -> dict[str, Any]:
    """
    A page of a list whose position is a member of its items.

    :param fetch: takes how many items; one more than the page holds is asked for, to know whether there are more
    """
    found = fetch(query["limit"] + 1)
    items = found[: query["limit"]]
    return page(items, next_position=items[-1][key] if len(found) > len(items) else None)


def position(query: dict[str, Any]) -> Any:
    """
    Where this page begins, as `page` was told; None at the beginning.

    :raises Problem: 400 `invalid_cursor`
    """
    return query["cursor"] and unseal(query["cursor"], key=_key(), scope=_scope())


def seal(position: Any, *, key: bytes, scope: str) -> str:
    """:param scope: the list that the cursor is good for"""
    payload = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_signature(payload, key, scope) + payload).decode().rstrip("=")


def unseal(cursor: str, *, key: bytes, scope: str) -> Any:
    """:raises Problem: 400 `invalid_cursor`"""
    try:
        sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_cursor() from error
    signature, payload = sealed[:_SIGNATURE_BYTES], sealed[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(signature, _signature(payload, key, scope)):
        raise invalid_cursor()
    return json.loads(payload)


def invalid_cursor() -> problems.Problem:
    detail = "The cursor is not one of this list. Begin again without a cursor."
    return problems.Problem(status=400, code="invalid_cursor", detail=detail)


def _signature(payload: bytes, key: bytes, scope: str) -> bytes:
    return hmac.digest(key, scope.encode() + b"\0" + payload, hashlib.sha256)[:_SIGNATURE_BYTES]


def _key() -> bytes:
    key: bytes = flask.current_app.config["SETTINGS"].cursor_key
    return key


def _scope() -> str:
    return f"{context.current().actor.org_id} {flask.request.path}"
