"""How a service stands, read from its own database: for the doctor's page and for /metrics."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text


@dataclass(frozen=True, kw_only=True)
class Log:
    """
    :param unsequenced: committed events without a place in the log
    :param unpublished: events of the log that the relay has not published
    """

    epoch: str
    head: int
    unsequenced: int
    unsequenced_seconds: float
    unpublished: int
    unpublished_seconds: float


@dataclass(frozen=True, kw_only=True)
class Inbox:
    """How far one producer's log was applied."""

    epoch: str = ""
    position: int = 0
    hash: bytes = b""
    attempting: int = 0
    attempts: int = 0


@dataclass(frozen=True, kw_only=True)
class Parked:
    events: int = 0
    streams: int = 0
    unreadable: int = 0


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """:param overdue_seconds: for how long the oldest is due"""

    waiting: int = 0
    running: int = 0
    failed: int = 0
    overdue_seconds: float = 0.0


def log(connection: Connection, now: datetime) -> Log:
    """`recorded_at` is on the business clock, `sequenced_at` on the database's."""
    found = """
        SELECT head.epoch, head.position, head.position - head.published AS unpublished,
            (SELECT extract(epoch FROM clock_timestamp() - sequenced_at)
                FROM log WHERE position > head.published ORDER BY position LIMIT 1) AS unpublished_seconds,
            (SELECT count(*) FROM outbox) AS unsequenced,
            (SELECT recorded_at FROM events JOIN (SELECT stream, version FROM outbox ORDER BY id LIMIT 1) AS oldest
                USING (stream, version)) AS recorded_at
        FROM log_head AS head
    """
    row = connection.execute(text(found)).one()
    return Log(
        epoch=row.epoch,
        head=row.position,
        unsequenced=row.unsequenced,
        unsequenced_seconds=_age(row.recorded_at, now),
        unpublished=row.unpublished,
        unpublished_seconds=float(row.unpublished_seconds or 0),
    )


def inboxes(connection: Connection) -> dict[str, Inbox]:
    """By producer."""
    return {row.producer: _inbox(row) for row in connection.execute(text("SELECT * FROM inbox"))}


def parked(connection: Connection) -> dict[str, Parked]:
    """By producer, where there is something."""
    found = """
        SELECT producer, count(*) AS events, count(DISTINCT stream) AS streams,
            count(*) FILTER (WHERE unreadable) AS unreadable
        FROM parked GROUP BY producer
    """
    return {
        row.producer: Parked(events=row.events, streams=row.streams, unreadable=row.unreadable)
        for row in connection.execute(text(found))
    }


def discarded(connection: Connection) -> dict[str, int]:
    """How many parked events were passed over and not replayed since, by producer, where there is one."""
    found = "SELECT producer, count(*) AS events FROM discarded WHERE replay_id IS NULL GROUP BY producer"
    return {row.producer: row.events for row in connection.execute(text(found))}


def jobs(connection: Connection, now: datetime) -> dict[str, Jobs]:
    """By kind, where there is something."""
    found = """
        SELECT kind, count(*) FILTER (WHERE state = 'waiting') AS waiting,
            count(*) FILTER (WHERE state = 'running') AS running,
            count(*) FILTER (WHERE state = 'failed') AS failed,
            min(due_at) FILTER (WHERE state IN ('waiting', 'running')) AS due_at
        FROM jobs WHERE state IN ('waiting', 'running', 'failed') GROUP BY kind
    """
    return {
        row.kind: Jobs(
            waiting=row.waiting, running=row.running, failed=row.failed, overdue_seconds=_age(row.due_at, now)
        )
        for row in connection.execute(text(found))
    }


def _inbox(row: Any) -> Inbox:
    return Inbox(
        epoch=row.epoch,
        position=row.position,
        hash=bytes(row.hash),
        attempting=row.attempting,
        attempts=row.attempts,
    )


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment if moment else timedelta()).total_seconds())
