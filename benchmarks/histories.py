"""
The ledgers and bots of many orgs over some months, written into `events` and `streams` as quota writes them: the same
bytes, the same hash chains. And beside them, counted by nothing but additions, what the read models must say.
"""

import io
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2

from benchmarks import databases
from services.quota.events import (
    BotCreated,
    BotPaused,
    CreditGranted,
    LimitChanged,
    MessageRecorded,
    MessageRefunded,
    PeriodOpened,
    UsageReset,
)
from shared import clock, database, events, ids, tables

MONTHS = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (7, 8, 9, 10))
ACTOR = {"kind": "secret", "id": "sec_01m82kped67c6q1ct3db3gtb4j"}
META = events.encode({"actor": ACTOR, "causation_id": "", "correlation_id": "req_01m82kped67c6q1ct3db3gtb4j"})
REFUNDED, FROM_CREDITS = 0.02, 0.03  # of the messages
UPGRADED, GRANTED = 0.2, 0.2  # of the months
ORGS_AT_ONCE = 20

Moment = tuple[datetime, events.Event]


@dataclass
class Expected:
    """
    :param days: by org, period, day and bot: messages, from credits, refunded, given back
    :param months: by org and period: plan, limit, resets, used before them, credits
    :param bots: by org and bot: the reasons to be paused
    """

    days: defaultdict[tuple[str, str, str, str], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0, 0, 0, 0])
    )
    months: dict[tuple[str, str], tuple[str, int, int, int, int]] = field(default_factory=dict)
    bots: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    events: int = 0


def write(home: database.Database, *, orgs: int, messages: int, seed: int = 5) -> Expected:
    """
    :param messages: how many, of all orgs and months together; a tenth of the orgs send half of them
    """
    chance, expected = random.Random(seed), Expected()  # noqa: S311 the same events in each run
    with psycopg2.connect(databases.plain(home.url)) as connection, connection.cursor() as cursor:
        for first in range(0, orgs, ORGS_AT_ONCE):
            rows, heads = io.StringIO(), io.StringIO()
            for number in range(first, min(first + ORGS_AT_ONCE, orgs)):
                org = _Org(ids.new("org"), [ids.new("bot") for _ in range(chance.randint(1, 3))], chance, expected)
                share = messages / len(MONTHS) / orgs * (5 if number % 10 == 0 else 5 / 9)
                for stream, facts in org.streams(round(share)):
                    _chain(stream, facts, rows, heads)
                    expected.events += len(facts)
            _copy(cursor, rows, tables.Event)
            _copy(cursor, heads, tables.Stream)
    with home.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE events, streams")
    return expected


@dataclass
class _Org:
    org_id: str
    bots: Sequence[str]
    chance: random.Random
    expected: Expected

    def streams(self, messages: int) -> Iterator[tuple[str, Sequence[Moment]]]:
        """:param messages: how many in each month"""
        yield f"bots-{self.org_id}", list(self._roster())
        for month in MONTHS:
            facts = sorted(self._month(month, messages), key=lambda one: one[0])
            yield f"ledger-{self.org_id}-{month:%Y-%m}", facts

    def _roster(self) -> Iterator[Moment]:
        first = self.bots[0]
        for bot_id in self.bots:
            yield MONTHS[0], BotCreated(org_id=self.org_id, bot_id=bot_id, name_version=1)
            self.expected.bots[self.org_id, bot_id] = []
        yield MONTHS[0], BotPaused(org_id=self.org_id, bot_id=first, reason="user", reasons=("user",))
        self.expected.bots[self.org_id, first] = ["user"]

    def _month(self, month: datetime, messages: int) -> Iterator[Moment]:
        period, credit_id = f"{month:%Y-%m}", ids.new("crd")
        yield (
            month,
            PeriodOpened(period=period, plan="starter", limit=2000, max_resets=2, subscription_version=1),
        )
        told: tuple[str, int, int, int, int] = "starter", 2000, 0, 0, 0
        if self.chance.random() < UPGRADED:
            at, given = self._moment(month), {"subscription_version": 2, "action": "upgraded"}
            yield at, LimitChanged(plan="growth", limit=20_000, max_resets=2, **given)
            yield at, UsageReset(generation=1, used_before=7, **given)
            told = "growth", 20_000, 1, 7, 0
        if self.chance.random() < GRANTED:
            at = clock.rfc3339(month)
            given = {"granted_at": at, "expires_at": at, "reason_version": 1}
            yield month, CreditGranted(credit_id=credit_id, messages=500, **given)
            told = *told[:4], 500
        self.expected.months[self.org_id, period] = told
        for _ in range(messages):
            yield from self._message(month, credit_id if self.chance.random() < FROM_CREDITS else "")

    def _message(self, month: datetime, credit_id: str) -> Iterator[Moment]:
        at, message_id, bot_id = self._moment(month), ids.new("msg"), self.chance.choice(self.bots)
        day = self.expected.days[self.org_id, f"{month:%Y-%m}", f"{at:%Y-%m-%d}", bot_id]
        yield at, MessageRecorded(message_id=message_id, bot_id=bot_id, credit_id=credit_id)
        day[0] += 1
        day[1] += credit_id != ""
        if self.chance.random() < REFUNDED:
            yield at, MessageRefunded(message_id=message_id, bot_id=bot_id, gives_back=not credit_id)
            day[2] += 1
            day[3] += not credit_id

    def _moment(self, month: datetime) -> datetime:
        return month + timedelta(seconds=self.chance.uniform(1, 28 * 86400))


def _chain(stream: str, facts: Sequence[Moment], rows: io.StringIO, heads: io.StringIO) -> None:
    hash = events.GENESIS
    for version, (at, fact) in enumerate(facts, 1):
        link = events.record(
            fact, id=ids.new("evt"), stream=stream, version=version, meta=META, at=at, previous_hash=hash
        )
        hash = link.hash
        values = (stream, version, link.id, link.name, link.schema, link.data, META, at.isoformat(), hash)
        rows.write("\t".join(map(_text, values)) + "\n")
    heads.write("\t".join(map(_text, (stream, len(facts), hash))) + "\t\\N\t\\N\n")


def _text(value: Any) -> str:
    """As COPY reads it."""
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def _copy(cursor: Any, rows: io.StringIO, table: Any) -> None:
    rows.seek(0)
    cursor.copy_from(rows, table.__tablename__, columns=table.__table__.columns.keys())
