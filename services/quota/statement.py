"""
The statement of a month: every entry of its ledger in order, what it did to the count, and why.

It is read from the events themselves, a part at a time: the count goes on from the entry before.
"""

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.quota import boundary, ledger, reports
from services.quota.events import (
    CATALOGUE,
    CreditCarried,
    CreditExpired,
    CreditGranted,
    CreditReturned,
    LimitChanged,
    MessageRecorded,
    MessageRefunded,
    PeriodOpened,
    UsageReset,
)
from shared import clock, errors, events, store, tables

KINDS = {
    PeriodOpened: "period_opened",
    MessageRecorded: "message",
    MessageRefunded: "refund",
    LimitChanged: "limit_changed",
    UsageReset: "usage_reset",
    CreditGranted: "credit_granted",
    CreditCarried: "credit_carried",
    CreditReturned: "credit_returned",
    CreditExpired: "credit_expired",
}
DETAILS = ("message_id", "bot_id", "plan", "limit", "action")
COLUMNS = (
    *("entry", "at", "kind", "change", "used", "message_id", "bot_id", "credit_id"),
    *("plan", "limit", "action", "why"),
)
CARRIED_OVER = {
    "max_resets": "; usage carries over, because the plan's resets of this month are used up",
    "earlier_month": "; usage carries over, because the change took effect in an earlier month",
}


def check(session: Session, org_id: str, period: str) -> None:
    """
    :raises NotFound: `unknown_period`
    :raises Conflict: `month_archived`
    """
    reports.check(session, org_id, period)
    head = session.get(tables.Stream, boundary.ledger_stream(org_id, period))
    if head is not None and head.archived_at is not None:
        raise errors.Conflict("month_archived", f"The entries of {period} are in an archive.")


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
        found.append(entry(store.recorded(row), used=used))
        used = found[-1]["used"]
    return found


def entry(event: events.Recorded, *, used: int) -> dict[str, Any]:
    """
    One event of a month's ledger as its statement has it: COLUMNS.

    :param used: the count before it
    """
    fact = event.fact(CATALOGUE)
    after = ledger.evolve(ledger.Month(used=used), fact).used
    return {
        "entry": event.version,
        "at": clock.rfc3339(event.recorded_at),
        "kind": KINDS.get(type(fact)) or _words(type(fact).__name__),
        "change": after - used,
        "used": after,
        **{name: getattr(fact, name, None) for name in DETAILS},
        "credit_id": getattr(fact, "credit_id", "") or None,
        "why": why(fact),
    }


def why(fact: Any) -> str:
    """In a sentence."""
    match fact:
        case PeriodOpened():
            return f"The month began on the plan {fact.plan or 'none'}, with {fact.limit} messages."
        case MessageRecorded(credit_id=""):
            return "The message was admitted."
        case MessageRecorded():
            return "The message was admitted, and taken from a credit."
        case MessageRefunded() if fact.gives_back:
            return "The message could not be sent, and was given back."
        case MessageRefunded():
            return (
                "The message could not be sent; it came from a credit, or its count is over or was reset, so that "
                "nothing is given back to the count."
            )
        case LimitChanged():
            reason = f"The subscription was {_words(fact.action, ' ')}"
            return f"{reason}: {fact.limit} messages a month{CARRIED_OVER.get(fact.carried_over, '')}."
        case UsageReset():
            return (
                f"The subscription was {_words(fact.action, ' ')}: the count begins anew, after {fact.used_before}."
            )
        case CreditGranted() | CreditCarried() | CreditReturned() | CreditExpired():
            return _why_credit(fact)
        case _:
            return f"{_words(type(fact).__name__, ' ').capitalize()}."


def _why_credit(fact: CreditGranted | CreditCarried | CreditReturned | CreditExpired) -> str:
    match fact:
        case CreditGranted():
            return f"A credit of {fact.messages} extra messages was granted; they expire at {fact.expires_at}."
        case CreditCarried():
            return (
                f"A credit came over from the month before, with {fact.remaining} of {fact.messages} messages left."
            )
        case CreditReturned():
            return "The message could not be sent, and was given back to its credit."
        case CreditExpired():
            return f"The credit expired, with {fact.unused} messages left."


def _words(name: str, between: str = "_") -> str:
    """`CreditGranted` and `fell_back` in words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", between, name).lower()
