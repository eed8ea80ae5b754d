"""What a look into one service's database sees: the figures of the doctor's page and of `consumers status`."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from ops import projections
from shared import clock, database, figures, migrate


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
class Erasures:
    """
    People who are being erased, by accounts' business clock.

    :param begun: how many have begun and not ended, the oldest `begun_seconds` ago
    :param due: how many are due and have not begun, the oldest for `due_seconds`
    """

    begun: int = 0
    begun_seconds: float = 0.0
    due: int = 0
    due_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Inside:
    """
    What only a database of this release's form can tell.

    :param erasures: accounts' only
    """

    processes: list[Process]
    log: figures.Log
    inboxes: dict[str, figures.Inbox]
    parked: dict[str, figures.Parked]
    jobs: figures.Jobs
    erasures: Erasures | None = None


@dataclass(frozen=True, kw_only=True)
class Sight:
    """
    :param skew_seconds: this machine's clock minus the database's
    :param missing: revisions that this release has and the database has not; then nothing inside was looked at
    :param newer: revisions of a newer release
    :param outdated: whether its read models were made by an older version of the projections than this release's
    """

    skew_seconds: float
    missing: list[str]
    newer: list[str]
    inside: Inside | None
    outdated: bool = False


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
            inside=None if missing else _inside(connection, service, home.clock.now()),
            outdated=not missing and _is_outdated(connection, service),
        )


def lag(home: database.Database, applied: figures.Inbox) -> Lag:
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


def _is_outdated(connection: Connection, service: str) -> bool:
    found = text("SELECT version FROM read_models WHERE service = :service")
    version = connection.execute(found, {"service": service}).scalar()
    return version is not None and version < projections.read_models_of(service).version


def _inside(connection: Connection, service: str, now: datetime) -> Inside:
    return Inside(
        processes=_processes(connection),
        log=figures.log(connection, now),
        inboxes=figures.inboxes(connection),
        parked=figures.parked(connection),
        jobs=_jobs(connection, now),
        erasures=_erasures(connection, now) if service == "accounts" else None,
    )


def _erasures(connection: Connection, now: datetime) -> Erasures:
    found = """
        SELECT (SELECT count(*) FROM erasures) AS begun, (SELECT min(begun_at) FROM erasures) AS begun_at,
            count(*) AS due, min(erases_at) AS due_at
        FROM deletions WHERE state = 'confirmed' AND erases_at <= :now
    """
    row = connection.execute(text(found), {"now": now}).one()
    return Erasures(
        begun=row.begun,
        begun_seconds=(now - row.begun_at).total_seconds() if row.begun else 0.0,
        due=row.due,
        due_seconds=(now - row.due_at).total_seconds() if row.due else 0.0,
    )


def _jobs(connection: Connection, now: datetime) -> figures.Jobs:
    """Of all kinds together."""
    kinds = figures.jobs(connection, now).values()
    return figures.Jobs(
        waiting=sum(kind.waiting for kind in kinds),
        running=sum(kind.running for kind in kinds),
        failed=sum(kind.failed for kind in kinds),
        overdue_seconds=max((kind.overdue_seconds for kind in kinds), default=0.0),
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
