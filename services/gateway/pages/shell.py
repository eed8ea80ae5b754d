"""
What stands around every page of somebody who is signed in: the name behind the circled button, the month behind the
Progress button, the org. A part that is away leaves its place empty; the page itself does not suffer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flask

from shared import context, errors

LOOK_SECONDS = 0.6  # for what stands around a page: it is shown without it sooner than late


@dataclass(frozen=True, kw_only=True)
class Shell:
    """:param usage: as of `quota.get_usage`; None while quota is away, or does not know the org yet"""

    actor: context.Actor
    account: dict[str, Any] | None
    org: dict[str, Any] | None
    usage: dict[str, Any] | None

    @property
    def is_owner(self) -> bool:
        return self.actor.role == "owner"

    @property
    def initials(self) -> str:
        words = (self.account or {}).get("name", "").split()
        return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "?"

    @property
    def percent(self) -> int | None:
        """See `percent_of`."""
        return None if self.usage is None else percent_of(self.usage)


def around() -> Shell | None:
    """None if nobody is signed in."""
    if "shell" not in flask.g:
        flask.g.shell = _ask(context.current().actor)
    shell: Shell | None = flask.g.shell
    return shell


def usage(*, seconds: float | None = None) -> dict[str, Any]:
    """
    The month.

    :param seconds: how long to wait for it, where it only stands beside something else
    :raises ServiceError: as `quota.get_usage`
    """
    if "usage" not in flask.g:
        quota = flask.g.services.quota
        flask.g.usage = (quota.with_timeout(seconds) if seconds else quota).get_usage()
    found: dict[str, Any] = flask.g.usage
    return found


def percent_of(usage: dict[str, Any]) -> int:
    """How much of a month's messages is used, in percent. Only what is used up shows as 100."""
    available = usage["used"] + usage["remaining"]
    return 100 if usage["blocked"] or not available else min(99, 100 * usage["used"] // available)


def _ask(actor: context.Actor) -> Shell | None:
    if actor.kind != "person":
        return None
    accounts = flask.g.services.accounts
    return Shell(
        actor=actor,
        account=_or_nothing(accounts.get_account),
        org=_or_nothing(accounts.get_org),
        usage=_or_nothing(lambda: usage(seconds=LOOK_SECONDS)),
    )


def _or_nothing(ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return ask()
    except errors.ServiceError:
        return None
