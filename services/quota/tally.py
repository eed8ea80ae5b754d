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
from shared import bulk, events, read_models

MESSAGES = MessageRecorded, MessageRefunded

Key = tuple[str, str, str, str]  # org, period, day, bot
Change = tuple[int, int, int, int]

KEY = ("org_id", "period", "day", "bot_id")
NUMBERS = ("messages", "from_credits", "refunded", "given_back")


def project_all(session: Session, added: read_models.Added) -> None:
    bulk.run(session, days(added))
    months(session, added)


def days(added: read_models.Added) -> bulk.Statement:
    """
    The messages among what is appended to ledgers: one statement for all, whosever they are.

    The rows are of orgs whose own rows are locked, so that nobody else changes them meanwhile.
    """
    counted: defaultdict[tuple[str, datetime, str], list[int]] = defaultdict(lambda: [0] * len(NUMBERS))
    for event, fact in added:
        if isinstance(fact, MESSAGES):
            _add(counted[event.stream, event.recorded_at, fact.bot_id], _change(fact))
    # The day is found once for all messages of a bot in a batch, which are recorded at the same moment.
    changes: defaultdict[Key, list[int]] = defaultdict(lambda: [0] * len(NUMBERS))
    for (stream, moment, bot_id), change in counted.items():
        _add(changes[_key(stream, moment, bot_id)], change)
    return bulk.add(models.UsageDay, [_row(key, change) for key, change in changes.items()])


def months(session: Session, added: read_models.Added) -> None:
    """
    The rest of what was appended to ledgers, which is rare.

    A month whose row is missing was opened under an older release; a rebuild makes it.
    """
    rest = [(event, fact) for event, fact in added if not isinstance(fact, MESSAGES)]
    read_models.fold(session, models.UsageMonth, rest, key=_month_of, evolve=_evolve_month)


def whose(stream: str) -> tuple[str, str]:
    """The org and the period of a ledger's stream, `ledger-<org>-<yyyy-mm>`."""
    return stream[len("ledger-") : -len("-yyyy-mm")], stream[-len("yyyy-mm") :]


def _month_of(event: events.Recorded, _fact: Any) -> tuple[str, str]:
    return whose(event.stream)


def _evolve_month(month: read_models.Row | None, event: events.Recorded, fact: Any) -> read_models.Row | None:
    if isinstance(fact, PeriodOpened):
        org_id, period = whose(event.stream)
        opened = {"plan": fact.plan, "message_limit": fact.limit, "resets": 0, "reset_used": 0, "credits": 0}
        return {"org_id": org_id, "period": period, **opened}
    return month and {**month, **_changes_of(month, fact)}


def _changes_of(month: read_models.Row, fact: Any) -> read_models.Row:
    match fact:
        case LimitChanged():
            return {"plan": fact.plan, "message_limit": fact.limit}
        case UsageReset():
            return {"resets": fact.generation, "reset_used": month["reset_used"] + fact.used_before}
        case CreditGranted():
            return {"credits": month["credits"] + fact.messages}
        case CreditCarried():
            return {"credits": month["credits"] + fact.remaining}
        case CreditReturned():
            return {"credits": month["credits"] + 1}
        case CreditExpired():
            return {"credits": month["credits"] - fact.unused}
        case _:
            return {}


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


def _of_stream(stream: str) -> read_models.Row:
    return dict(zip(("org_id", "period"), whose(stream), strict=True))


def _of_fact(fact: MessageRecorded | MessageRefunded) -> read_models.Row:
    return {"bot_id": fact.bot_id, **dict(zip(NUMBERS, _change(fact), strict=True))}


DAYS = read_models.Counting(
    facts=MESSAGES,
    blind_to="message_id",
    table=models.UsageDay,
    of_stream=_of_stream,
    day="day",
    of_fact=_of_fact,
)
