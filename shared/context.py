"""
Who is asking, and for which request. Set at a door or before a handler runs, read by the store and the logs.

A context variable, so that it follows a green thread as well as a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from shared.frozen import changed

Kind = Literal["person", "secret", "service", "operator", "anyone"]


@dataclass(frozen=True, kw_only=True)
class Actor:
    """
    The one who acts.

    :param kind: a signed-in person, an API secret, another service, an operator at the command line, or anyone
    :param id: `acc_…`, `sec_…`, or a service's name; empty for anyone
    :param org_id: the org acted in. A service names it explicitly; it never comes from a client's body
    :param role: `owner` or `member`, for a person
    :param scopes: what a secret may do
    :param session_id: the person's session
    """

    kind: Kind = "anyone"
    id: str = ""
    org_id: str = ""
    role: str = ""
    scopes: tuple[str, ...] = ()
    session_id: str = ""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Actor:
        return cls(**{**value, "scopes": tuple(value.get("scopes", ()))})

    def to_json(self) -> dict[str, Any]:
        return vars(self).copy()  # each message counted takes its actor along, and asdict copies at depth


ANYONE = Actor()


@dataclass(frozen=True, kw_only=True)
class Context:
    """
    :param correlation_id: the id of the request that began it all, the same through every service
    :param causation_id: the id of the event that is being handled, empty for a command
    :param deadline: when the caller stops waiting, in seconds since the epoch; None: nobody waits
    :param if_match: the revisions of which what is changed must have one, see `shared.revisions`; None: any
    :param client: the address that the request came from, of an IPv6 one its network; for throttling only, so it is
        neither kept nor logged. Empty where nobody outside asks
    """

    actor: Actor = ANYONE
    correlation_id: str = ""
    causation_id: str = ""
    deadline: float | None = None
    if_match: tuple[str, ...] | None = None
    client: str = ""


_current: ContextVar[Context] = ContextVar("chatness_context")
_NOBODY = Context()


def current() -> Context:
    return _current.get(_NOBODY)


def enter(context: Context) -> None:
    """Set the context for the rest of this thread, for doors that own their thread."""
    _current.set(context)


@contextmanager
def use(**changes: Any) -> Iterator[Context]:
    """Set parts of the context for a block."""
    context = changed(current(), **changes)
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
