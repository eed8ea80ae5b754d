"""
Usage by month, and by day and bot, as it follows from the ledger: read models, written in the ledger's transaction.
So a look at a month costs the same however many messages it has.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from services.quota import models
from services.quota.events import (
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
from shared import bulk, events

Added = Sequence[tuple[events.Recorded, events.Event]]
Key = tuple[str, str, str, str]  # org, period, day, bot
Change = tuple[int, int, int, int]

KEY = ("org_id", "period", "day", "bot_id")
NUMBERS = ("messages", "from_credits", "refunded", "given_back")


def days(added: Added) -> bulk.Statement:
    """
    The messages among what is appended to ledgers: one statement for all, whosever they are.

    The rows are of orgs whose own rows are locked, so that nobody else changes them meanwhile.
    """
    counted: defaultdict[tuple[str, datetime, str], list[int]] = defaultdict(lambda: [0] * len(NUMBERS))
    for event, fact in added:
        if isinstance(fact, MessageRecorded | MessageRefunded):
            _add(counted[event.stream, event.recorded_at, fact.bot_id], _change(fact))
    # The day is found once for all messages of a bot in a batch, which are recorded at the same moment.
    changes: defaultdict[Key, list[int]] = defaultdict(lambda: [0] * len(NUMBERS))
    for (stream, moment, bot_id), change in counted.items():
        _add(changes[_key(stream, moment, bot_id)], change)
    return bulk.add(models.UsageDay, [_row(key, change) for key, change in changes.items()])


def months(session: Session, added: Added) -> None:
    """The rest of what was appended to ledgers, which is rare."""
    for event, fact in added:
        if not isinstance(fact, MessageRecorded | MessageRefunded):
            project(session, event, fact)


def project(session: Session, event: events.Recorded, fact: Any) -> None:
    """
    One event, for a rebuild: the session keeps a day's row, so that a thousand messages of it are one statement.

    A month whose row is missing was opened under an older release; a rebuild makes it.
    """
    org_id, period = whose(event.stream)
    match fact:
        case PeriodOpened():
            opened = {"plan": fact.plan, "message_limit": fact.limit, "resets": 0, "reset_used": 0, "credits": 0}
            session.add(models.UsageMonth(org_id=org_id, period=period, **opened))
        case MessageRecorded() | MessageRefunded():
            day = _day(session, _key(event.stream, event.recorded_at, fact.bot_id))
            for name, number in zip(NUMBERS, _change(fact), strict=True):
                setattr(day, name, getattr(day, name) + number)
        case _:
            session.flush()  # so that `get` finds a month that was opened just now
            if month := session.get(models.UsageMonth, (org_id, period)):
                _change_month(month, fact)


def whose(stream: str) -> tuple[str, str]:
    """The org and the period of a ledger's stream, `ledger-<org>-<yyyy-mm>`."""
    return stream[len("ledger-") : -len("-yyyy-mm")], stream[-len("yyyy-mm") :]


def _change_month(month: models.UsageMonth, fact: Any) -> None:
    match fact:
        case LimitChanged():
            month.plan, month.message_limit = fact.plan, fact.limit
        case UsageReset():
            month.resets = fact.generation
            month.reset_used += fact.used_before
        case CreditGranted():
            month.credits += fact.messages
        case CreditCarried():
            month.credits += fact.remaining
        case CreditReturned():
            month.credits += 1
        case CreditExpired():
            month.credits -= fact.unused


def _add(total: list[int], change: Sequence[int]) -> None:
    for index, number in enumerate(change):
        total[index] += number


def _key(stream: str, moment: datetime, bot_id: str) -> Key:
    return *whose(stream), moment.astimezone(UTC).date().isoformat(), bot_id


def _change(fact: MessageRecorded | MessageRefunded) -> Change:
    """By how much it changes the day's numbers."""
    if isinstance(fact, MessageRecorded):
        return 1, int(fact.credit_id != ""), 0, 0
    return 0, 0, 1, int(fact.gives_back)


def _row(key: Key, numbers: Sequence[int]) -> dict[str, Any]:
    return dict(zip((*KEY, *NUMBERS), (*key, *numbers), strict=True))


def _day(session: Session, key: Key) -> models.UsageDay:
    day = session.get(models.UsageDay, key)
    if day is None:
        day = models.UsageDay(**_row(key, [0] * len(NUMBERS)))
        session.add(day)
        session.flush()  # so that `get` finds it the next time
    return day
