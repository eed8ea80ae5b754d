"""
The statement of a month: every entry of its ledger in order, what it did to the count, and why.

It is read from the events themselves, a part at a time: the count goes on from the entry before.
"""

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.quota import boundary, ledger
from services.quota.events import (
    CATALOGUE,
    LimitChanged,
    MessageRecorded,
    MessageRefunded,
    PeriodOpened,
    UsageReset,
)
from shared import clock, store, tables

KINDS = {
    PeriodOpened: "period_opened",
    MessageRecorded: "message",
    MessageRefunded: "refund",
    LimitChanged: "limit_changed",
    UsageReset: "usage_reset",
}
CARRIED_OVER = {
    "max_resets": "; usage carries over, because the plan's resets of this month are used up",
    "earlier_month": "; usage carries over, because the change took effect in an earlier month",
}


def entries(session: Session, org_id: str, period: str, *, after: int, used: int, limit: int) -> list[dict[str, Any]]:
    """
    :param after: the number of the last entry that was read; 0: none
    :param used: the count that stood there
    """
    stream = boundary.ledger_stream(org_id, period)
    event = tables.Event
    wanted = select(event).where(event.stream == stream, event.version > after)
    found: list[dict[str, Any]] = []
    for row in session.scalars(wanted.order_by(event.version).limit(limit)):
        fact = store.recorded(row).fact(CATALOGUE)
        before, used = used, ledger.evolve(ledger.Month(used=used), fact).used
        found.append(
            {
                "entry": row.version,
                "at": clock.rfc3339(row.recorded_at),
                "kind": KINDS.get(type(fact)) or _words(type(fact).__name__),
                "change": used - before,
                "used": used,
                **{name: getattr(fact, name, None) for name in ("message_id", "bot_id", "plan", "limit", "action")},
                "why": why(fact),
            }
        )
    return found


def why(fact: Any) -> str:
    """In a sentence."""
    match fact:
        case PeriodOpened():
            return f"The month began on the plan {fact.plan or 'none'}, with {fact.limit} messages."
        case MessageRecorded():
            return "The message was admitted."
        case MessageRefunded() if fact.gives_back:
            return "The message could not be sent, and was given back."
        case MessageRefunded():
            return "The message could not be sent; its count is over or was reset, so that nothing is given back."
        case LimitChanged():
            reason = f"The subscription was {_words(fact.action, ' ')}"
            return f"{reason}: {fact.limit} messages a month{CARRIED_OVER.get(fact.carried_over, '')}."
        case UsageReset():
            return (
                f"The subscription was {_words(fact.action, ' ')}: the count begins anew, after {fact.used_before}."
            )
        case _:
            return f"{_words(type(fact).__name__, ' ').capitalize()}."


def _words(name: str, between: str = "_") -> str:
    """`CreditGranted` and `fell_back` in words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", between, name).lower()
