"""
Usage by month, and by day and bot, as it follows from the ledger: read models, written in the ledger's transaction.
So a look at a month costs the same however many messages it has.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import ARRAY, BigInteger, Text

from services.quota import models
from services.quota.events import LimitChanged, MessageRecorded, MessageRefunded, PeriodOpened, UsageReset
from shared import events

Key = tuple[str, str, str, str]  # org, period, day, bot


def write(session: Session, added: Iterable[tuple[events.Recorded, events.Event]]) -> None:
    """
    What was just appended to ledgers: one statement for all messages, whosever they are.

    The rows are of orgs whose own rows are locked, so that nobody else changes them meanwhile.
    """
    counted: defaultdict[tuple[str, datetime, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for event, fact in added:
        if isinstance(fact, MessageRecorded | MessageRefunded):
            _add(counted[event.stream, event.recorded_at, fact.bot_id], _change(fact))
        else:
            project(session, event, fact)
    if counted:
        _write(session, counted)


def project(session: Session, event: events.Recorded, fact: Any) -> None:
    """
    One event, for a rebuild: the session keeps a day's row, so that a thousand messages of it are one statement.

    A month whose row is missing was opened under an older release; a rebuild makes it.
    """
    org_id, period = whose(event.stream)
    match fact:
        case PeriodOpened():
            opened = {"plan": fact.plan, "message_limit": fact.limit, "resets": 0, "reset_used": 0}
            session.add(models.UsageMonth(org_id=org_id, period=period, **opened))
        case LimitChanged() if month := session.get(models.UsageMonth, (org_id, period)):
            month.plan, month.message_limit = fact.plan, fact.limit
        case UsageReset() if month := session.get(models.UsageMonth, (org_id, period)):
            month.resets = fact.generation
            month.reset_used += fact.used_before
        case MessageRecorded() | MessageRefunded():
            day = _day(session, _key(event.stream, event.recorded_at, fact.bot_id))
            messages, refunded, given_back = _change(fact)
            day.messages += messages
            day.refunded += refunded
            day.given_back += given_back


def whose(stream: str) -> tuple[str, str]:
    """The org and the period of a ledger's stream, `ledger-<org>-<yyyy-mm>`."""
    return stream[len("ledger-") : -len("-yyyy-mm")], stream[-len("yyyy-mm") :]


def _write(session: Session, counted: Mapping[tuple[str, datetime, str], list[int]]) -> None:
    """The day is found once for all messages of a bot in a batch, which are recorded at the same moment."""
    changes: defaultdict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (stream, moment, bot_id), change in counted.items():
        _add(changes[_key(stream, moment, bot_id)], change)
    columns = [*zip(*changes, strict=True), *zip(*changes.values(), strict=True)]
    session.execute(_ADD, dict(zip(_COLUMNS, map(list, columns), strict=True)))


def _add(total: list[int], change: Iterable[int]) -> None:
    for index, number in enumerate(change):
        total[index] += number


def _key(stream: str, moment: datetime, bot_id: str) -> Key:
    return *whose(stream), moment.astimezone(UTC).date().isoformat(), bot_id


def _change(fact: MessageRecorded | MessageRefunded) -> tuple[int, int, int]:
    """By how much it changes the day's messages, refunds, and refunds that gave back."""
    return (1, 0, 0) if isinstance(fact, MessageRecorded) else (0, 1, int(fact.gives_back))


def _day(session: Session, key: Key) -> models.UsageDay:
    day = session.get(models.UsageDay, key)
    if day is None:
        day = models.UsageDay(**dict(zip(_COLUMNS, (*key, 0, 0, 0), strict=True)))
        session.add(day)
        session.flush()  # so that `get` finds it the next time
    return day


_COLUMNS = ("org_id", "period", "day", "bot_id", "messages", "refunded", "given_back")
_ADD = text(f"""
INSERT INTO usage_days AS known ({", ".join(_COLUMNS)})
SELECT * FROM unnest({", ".join(f":{name}" for name in _COLUMNS)})
ON CONFLICT (org_id, period, day, bot_id) DO UPDATE SET
    messages = known.messages + excluded.messages,
    refunded = known.refunded + excluded.refunded,
    given_back = known.given_back + excluded.given_back
""").bindparams(
    *(bindparam(name, type_=ARRAY(Text)) for name in _COLUMNS[:4]),
    *(bindparam(name, type_=ARRAY(BigInteger)) for name in _COLUMNS[4:]),
)
