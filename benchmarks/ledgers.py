"""
The ledgers and bots of many orgs over some months, written into `events` and `streams` as quota writes them: the same
bytes, the same hash chains. And beside them, counted by nothing but additions, what the read models must say.
"""

import io
import random
from collections import Counter
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
from shared import clock, database, events, ids

MONTHS = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (7, 8, 9, 10))
ACTOR = {"kind": "secret", "id": "sec_01m82kped67c6q1ct3db3gtb4j"}
META = events.encode({"actor": ACTOR, "causation_id": "", "correlation_id": "req_01m82kped67c6q1ct3db3gtb4j"})
REFUNDED, FROM_CREDITS = 0.02, 0.03  # of the messages
ROWS_AT_ONCE = 20_000

Moment = tuple[datetime, events.Event]


@dataclass
class Expected:
    """
    :param days: by org, period, day and bot: messages, from credits, refunded, given back
    :param months: by org and period: plan, limit, resets, used before them, credits
    :param bots: by org and bot: the reasons to be paused
    """

    days: dict[str, Counter[tuple[str, str, str, str]]] = field(
        default_factory=lambda: {name: Counter() for name in ("messages", "from_credits", "refunded", "given_back")}
    )
    months: dict[tuple[str, str], tuple[str, int, int, int, int]] = field(default_factory=dict)
    bots: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    events: int = 0


def write(home: database.Database, *, orgs: int, messages: int, seed: int = 5) -> Expected:
    """
    :param messages: how many, of all orgs and months together; a tenth of the orgs send half of them
    """
    chance, expected = random.Random(seed), Expected()
    with psycopg2.connect(databases.plain(home.url)) as connection, connection.cursor() as cursor:
        rows, heads = io.StringIO(), io.StringIO()
        for number in range(orgs):
            org_id = ids.new("org")
            share = messages / len(MONTHS) / orgs * (5 if number % 10 == 0 else 5 / 9)
            for stream, facts in _org(org_id, round(share), chance, expected):
                _chain(stream, facts, rows, heads)
                expected.events += len(facts)
            if number % 20 == 19 or number == orgs - 1:
                rows, heads = _copy(cursor, rows, "events"), _copy(cursor, heads, "streams")
    with home.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    return expected


def _org(
    org_id: str, messages: int, chance: random.Random, expected: Expected
) -> Iterator[tuple[str, Sequence[Moment]]]:
    bots = [ids.new("bot") for _ in range(chance.randint(1, 3))]
    yield f"bots-{org_id}", list(_bots(org_id, bots, expected))
    for month in MONTHS:
        facts = sorted(_month(org_id, month, bots, messages, chance, expected), key=lambda one: one[0])
        yield f"ledger-{org_id}-{month:%Y-%m}", facts


def _bots(org_id: str, bots: Sequence[str], expected: Expected) -> Iterator[Moment]:
    for bot_id in bots:
        yield MONTHS[0], BotCreated(org_id=org_id, bot_id=bot_id, name_version=1)
        expected.bots[org_id, bot_id] = []
    yield MONTHS[0], BotPaused(org_id=org_id, bot_id=bots[0], reason="user", reasons=("user",))
    expected.bots[org_id, bots[0]] = ["user"]


def _month(
    org_id: str, month: datetime, bots: Sequence[str], messages: int, chance: random.Random, expected: Expected
) -> Iterator[Moment]:
    period, version = f"{month:%Y-%m}", 1
    yield (
        month,
        PeriodOpened(period=period, plan="starter", limit=2000, max_resets=2, subscription_version=version),
    )
    plan, limit, resets, reset_used, credits = "starter", 2000, 0, 0, 0
    if chance.random() < 0.2:
        version, at = version + 1, _moment(month, chance)
        given = {"subscription_version": version, "action": "upgraded"}
        yield at, LimitChanged(plan="growth", limit=20_000, max_resets=2, **given)
        yield at, UsageReset(generation=1, used_before=7, **given)
        plan, limit, resets, reset_used = "growth", 20_000, 1, 7
    credit_id = ids.new("crd")
    if chance.random() < 0.2:
        at = clock.rfc3339(month)
        yield month, CreditGranted(credit_id=credit_id, messages=500, granted_at=at, expires_at=at, reason_version=1)
        credits = 500
    expected.months[org_id, period] = plan, limit, resets, reset_used, credits
    for _ in range(messages):
        yield from _message(org_id, period, month, chance.choice(bots), credit_id, chance, expected)


def _message(
    org_id: str,
    period: str,
    month: datetime,
    bot_id: str,
    credit_id: str,
    chance: random.Random,
    expected: Expected,
) -> Iterator[Moment]:
    at, message_id = _moment(month, chance), ids.new("msg")
    from_credit = chance.random() < FROM_CREDITS
    recorded = MessageRecorded(message_id=message_id, bot_id=bot_id, credit_id=credit_id if from_credit else "")
    yield at, recorded
    key = org_id, period, f"{at:%Y-%m-%d}", bot_id
    expected.days["messages"][key] += 1
    expected.days["from_credits"][key] += from_credit
    if chance.random() < REFUNDED:
        yield at, MessageRefunded(message_id=message_id, bot_id=bot_id, gives_back=not from_credit)
        expected.days["refunded"][key] += 1
        expected.days["given_back"][key] += not from_credit


def _moment(month: datetime, chance: random.Random) -> datetime:
    return month + timedelta(seconds=chance.uniform(1, 28 * 86400))


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


def _copy(cursor: Any, rows: io.StringIO, table: str) -> io.StringIO:
    rows.seek(0)
    columns = {
        "events": ("stream", "version", "id", "name", "schema", "data", "meta", "recorded_at", "hash"),
        "streams": ("stream", "version", "hash", "erased_at", "archived_at"),
    }[table]
    cursor.copy_from(rows, table, columns=columns)
    return io.StringIO()
