"""
ETag, If-Match and If-None-Match (RFC 9110, 13): which revision of a thing a client has seen.

The gateway only reads them. Whether If-Match holds is decided by the owning service, in the command's transaction.
"""

import re

import flask

from services.gateway import problems
from shared import revisions

HEADER = re.compile(r'[ \t]*(?:(?:W/)?"[!#-~]*"[ \t]*(?:,[ \t]*|$))+')
TAG = re.compile(r'(W/)?"([!#-~]*)"')
MOST_KNOWN = 20


def tag(shown: object) -> str:
    """The ETag of what is shown."""
    return f'"{revisions.of(shown)}"'


def if_match() -> tuple[str, ...] | None:
    """
    The revisions of which the thing must have one; None: any. A weak tag stands for none: the comparison is strong.

    :raises Problem: 400 `invalid_if_match`
    """
    given = flask.request.environ.get("HTTP_IF_MATCH")
    if given is None or given.strip() == "*":
        return None
    if not HEADER.fullmatch(given):
        detail = 'If-Match is `*`, or a list of ETags as they were given, each in "quotes".'
        raise problems.Problem(status=400, code="invalid_if_match", detail=detail)
    return tuple(value for weak, value in TAG.findall(given) if not weak)


def is_known(tag: str) -> bool:
    """Whether the client has what is shown already, by its If-None-Match. Nonsense asks for nothing."""
    given = flask.request.environ.get("HTTP_IF_NONE_MATCH")
    if given is None:
        return False
    return given.strip() == "*" or tag in (f'"{value}"' for _, value in TAG.findall(given))


def known() -> list[str]:
    """The revisions that the client has, by its If-None-Match; the first few, if it names very many."""
    return [value for _, value in TAG.findall(flask.request.environ.get("HTTP_IF_NONE_MATCH", ""))][:MOST_KNOWN]
