"""What a look into one service's database sees: the figures of the doctor's page and of `consumers status`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from shared import clock, database, migrate


@dataclass(frozen=True, kw_only=True)
class Process:
    """:param skew_seconds: its machine's clock minus the database's"""

    id: str
    role: str
    host: str
    pid: int
    release: str
    up_seconds: float
    silent_seconds: float
    skew_seconds: float
    away: list[str]


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
    waiting: int
    running: int
    failed: int
    overdue_seconds: float


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What only a database of this release's form can tell."""

    processes: list[Process]
    log: Log
    inboxes: dict[str, Inbox]
    parked: dict[str, Parked]
    jobs: Jobs


@dataclass(frozen=True, kw_only=True)
class Sight:
    """
    :param skew_seconds: this machine's clock minus the database's
    :param missing: revisions that this release has and the database has not; then nothing inside was looked at
    :param newer: revisions of a newer release
    """

    skew_seconds: float
    missing: list[str]
    newer: list[str]
    inside: Inside | None


@dataclass(frozen=True, kw_only=True)
class Lag:
    """
    How far a consumer is behind a producer's log.

    :param known: whether the producer's log ever had the consumer's hash at its place
    """

    events: int
    seconds: float
    known: bool
    same_epoch: bool


def look(home: database.Database, service: str) -> Sight:
    with home.engine.connect() as connection:
        connection.execute(text("SELECT 1"))  # the connection stands: from here on it takes no time to speak of
        before = clock.machine_time()
        theirs = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        here = before + (clock.machine_time() - before) / 2
        missing = migrate.missing(connection, service)
        return Sight(
            skew_seconds=(here - theirs).total_seconds(),
            missing=missing,
            newer=migrate.unknown(connection, service),
            inside=None if missing else _inside(connection, home.clock.now()),
        )


def lag(home: database.Database, applied: Inbox) -> Lag:
    """Asked of the producer's database."""
    asked = """
        SELECT head.position - :position AS events, head.epoch AS epoch,
            (SELECT hash FROM log WHERE position = :position) AS hash,
            (SELECT extract(epoch FROM clock_timestamp() - sequenced_at)
                FROM log WHERE position > :position ORDER BY position LIMIT 1) AS seconds
        FROM log_head AS head
    """
    with home.engine.connect() as connection:
        row = connection.execute(text(asked), {"position": applied.position}).one()
    return Lag(
        events=max(0, row.events),
        seconds=float(row.seconds or 0),
        known=applied.position == 0 or (row.hash is not None and bytes(row.hash) == applied.hash),
        same_epoch=applied.position == 0 or row.epoch == applied.epoch,
    )


def _inside(connection: Connection, now: datetime) -> Inside:
    return Inside(
        processes=_processes(connection),
        log=_log(connection, now),
        inboxes={row.producer: _inbox(row) for row in connection.execute(text("SELECT * FROM inbox"))},
        parked=_parked(connection),
        jobs=_jobs(connection, now),
    )


def _processes(connection: Connection) -> list[Process]:
    found = """
        SELECT *, extract(epoch FROM clock_timestamp() - beat_at) AS silent,
            extract(epoch FROM clock_timestamp() - started_at) AS up, extract(epoch FROM machine_at - beat_at) AS skew
        FROM processes ORDER BY role, host, pid
    """
    return [
        Process(
            id=row.id,
            role=row.role,
            host=row.host,
            pid=row.pid,
            release=row.release,
            up_seconds=float(row.up),
            silent_seconds=float(row.silent),
            skew_seconds=float(row.skew),
            away=row.away,
        )
        for row in connection.execute(text(found))
    ]


def _log(connection: Connection, now: datetime) -> Log:
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
    age = now - row.recorded_at if row.recorded_at else timedelta()
    return Log(
        epoch=row.epoch,
        head=row.position,
        unsequenced=row.unsequenced,
        unsequenced_seconds=max(0.0, age.total_seconds()),
        unpublished=row.unpublished,
        unpublished_seconds=float(row.unpublished_seconds or 0),
    )


def _inbox(row: Any) -> Inbox:
    return Inbox(
        epoch=row.epoch,
        position=row.position,
        hash=bytes(row.hash),
        attempting=row.attempting,
        attempts=row.attempts,
    )


def _parked(connection: Connection) -> dict[str, Parked]:
    found = """
        SELECT producer, count(*) AS events, count(DISTINCT stream) AS streams,
            count(*) FILTER (WHERE unreadable) AS unreadable
        FROM parked GROUP BY producer
    """
    return {
        row.producer: Parked(events=row.events, streams=row.streams, unreadable=row.unreadable)
        for row in connection.execute(text(found))
    }


def _jobs(connection: Connection, now: datetime) -> Jobs:
    found = """
        SELECT count(*) FILTER (WHERE state = 'waiting') AS waiting,
            count(*) FILTER (WHERE state = 'running') AS running,
            count(*) FILTER (WHERE state = 'failed') AS failed,
            min(due_at) FILTER (WHERE state IN ('waiting', 'running')) AS due_at
        FROM jobs WHERE state IN ('waiting', 'running', 'failed')
    """
    row = connection.execute(text(found)).one()
    overdue = now - row.due_at if row.due_at else timedelta()
    return Jobs(
        waiting=row.waiting,
        running=row.running,
        failed=row.failed,
        overdue_seconds=max(0.0, overdue.total_seconds()),
    )
