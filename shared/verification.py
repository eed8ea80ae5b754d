"""
Whether a service's history is whole: every chain, every version, every position, and nothing public that is lost.

Each event's hash covers the one before, and the log's hash covers the events', so a row that was changed, put in or
taken out shows where it was done. What a forger rewrote to its end with all sums shows only against a head that was
written down elsewhere: keep what `Report` gives.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from shared import database, events, store, tables

ROWS_AT_ONCE = 1000

Fault = tuple[str, str]
"""(kind, what it is in words)."""


@dataclass(kw_only=True)
class Report:
    """
    :param archived: streams whose events are in files; here only their heads can be looked at
    :param faults: the first of each kind, in words; empty if the history is whole
    :param position: the end of the log, with its hash in hexadecimal
    """

    events: int = 0
    streams: int = 0
    archived: int = 0
    position: int = 0
    hash: str = ""
    faults: dict[str, str] = field(default_factory=dict)


def verify(home: database.Database, catalogue: events.Catalogue) -> Report:
    """Read everything once, as it stands at one moment, whoever writes meanwhile, in memory that does not grow."""
    report = Report()
    with home.begin() as session:
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        # It holds no lock, and between two handfuls of rows it has sums to do.
        session.execute(text("SET LOCAL statement_timeout TO 0; SET LOCAL idle_in_transaction_session_timeout TO 0"))
        for faults in (_streams(session, report), _log(session, report, catalogue), _lost(session, catalogue)):
            for kind, words in faults:
                report.faults.setdefault(kind, words)
    return report


def _streams(session: Session, report: Report) -> Iterator[Fault]:
    """Each stream from its first event to its head."""
    last: Any = None
    for row in _rows(session, _EVENTS):
        if last is None or last.stream != row.stream:
            yield from _end_of_stream(last)
            report.streams += 1
            last = None
        yield from _link(last, store.recorded(row))
        report.events += 1
        last = row
    yield from _end_of_stream(last)
    for stream in session.scalars(_EMPTY_STREAMS):
        yield "stream empty", f"{stream} has a head but no events"
    for stream in session.scalars(_UNKNOWN_ARCHIVES):
        yield "archive unknown", f"{stream} is archived, and it is not written down where"
    report.archived = session.scalars(_ARCHIVED).one()


_EVENTS = (
    select(
        *tables.Event.__table__.columns,
        tables.Stream.version.label("head_version"),
        tables.Stream.hash.label("head_hash"),
        tables.Stream.erased_at,
        tables.Stream.archived_at,
    )
    .outerjoin(tables.Stream, tables.Stream.stream == tables.Event.stream)
    .order_by(tables.Event.stream, tables.Event.version)
)
_EMPTY_STREAMS = text("""
SELECT stream FROM streams WHERE erased_at IS NULL AND archived_at IS NULL
AND NOT EXISTS (SELECT FROM events WHERE events.stream = streams.stream) LIMIT 1
""")
_UNKNOWN_ARCHIVES = text("""
SELECT stream FROM streams WHERE archived_at IS NOT NULL AND erased_at IS NULL
AND NOT EXISTS (SELECT FROM archives WHERE archives.stream = streams.stream) LIMIT 1
""")
_ARCHIVED = text("SELECT count(*) FROM streams WHERE erased_at IS NULL AND archived_at IS NOT NULL")


def _link(last: Any, event: events.Recorded) -> Iterator[Fault]:
    version, hash = (0, events.GENESIS) if last is None else (last.version, last.hash)
    if event.version != version + 1:
        yield "version missing", f"{event.stream}: version {event.version} comes after {version}"
    elif not event.follows(hash):
        yield "event changed", f"{event.stream}@{event.version}: its hash does not fit its content and predecessor"


def _end_of_stream(last: Any) -> Iterator[Fault]:
    if last is None:
        return
    if last.head_version is None:
        yield "head missing", f"{last.stream} has events but no head"
    elif last.erased_at is not None:
        yield "not erased", f"{last.stream} was erased and has events"
    elif last.archived_at is not None:
        yield "not archived", f"{last.stream} was archived and has events"
    elif (last.head_version, last.head_hash) != (last.version, last.hash):
        yield "head wrong", f"{last.stream} ends at version {last.version}, its head says {last.head_version}"


def _log(session: Session, report: Report, catalogue: events.Catalogue) -> Iterator[Fault]:
    """The log from its first position to its head, each beside the event that stands there."""
    position, hash = 0, events.GENESIS
    for row in _rows(session, _POSITIONS):
        if row.position != position + 1:
            yield "position missing", f"log: position {row.position} comes after {position}"
        elif row.hash != events.log_hash(hash, row.position, row.event_hash):
            yield "log changed", f"log: the hash at {row.position} does not fit its content and predecessor"
        if row.found_hash is None:
            yield "event missing", f"log: {row.stream}@{row.version} at {row.position} does not exist"
        elif row.found_hash != row.event_hash:
            yield "event replaced", f"{row.stream}@{row.version} is not the event that the log has seen"
        elif row.name not in catalogue.public:
            yield "private in log", f"log: {row.name} at {row.position} is private"
        position, hash = row.position, row.hash
    report.position, report.hash = position, hash.hex()
    head = session.scalars(select(tables.LogHead)).one_or_none()
    if head is None or (head.position, head.hash) != (position, hash):
        yield "log head wrong", f"log: ends at {position}, its head says {head and head.position}"
    elif head.published > position:
        yield "checkpoint wrong", f"log: ends at {position}, {head.published} is said to be published"


_POSITIONS = (
    select(*tables.Log.__table__.columns, tables.Event.hash.label("found_hash"), tables.Event.name)
    .outerjoin(
        tables.Event, (tables.Event.stream == tables.Log.stream) & (tables.Event.version == tables.Log.version)
    )
    .order_by(tables.Log.position)
)


def _lost(session: Session, catalogue: events.Catalogue) -> Iterator[Fault]:
    """Every public event is once in the log or once in the outbox, and nothing else is."""
    for kind, words, query in _PLACES:
        found = session.execute(text(f"{query} LIMIT 1"), {"public": sorted(catalogue.public)}).first()
        if found is not None:
            yield kind, f"{found.stream}@{found.version} {words}"


_PLACES = (
    (
        "public event lost",
        "is public and neither in the log nor in the outbox",
        """
        SELECT stream, version FROM events WHERE name = ANY (:public)
        AND NOT EXISTS (SELECT FROM log WHERE log.stream = events.stream AND log.version = events.version)
        AND NOT EXISTS (SELECT FROM outbox WHERE outbox.stream = events.stream AND outbox.version = events.version)
        """,
    ),
    (
        "public event twice",
        "waits in the outbox more than once, or is in the log already",
        """
        SELECT stream, version FROM outbox GROUP BY stream, version
        HAVING count(*) > 1 OR EXISTS (
            SELECT FROM log WHERE log.stream = outbox.stream AND log.version = outbox.version)
        """,
    ),
    (
        "outbox wrong",
        "waits in the outbox and is no public event with that hash",
        """
        SELECT stream, version FROM outbox WHERE NOT EXISTS (
            SELECT FROM events WHERE events.stream = outbox.stream AND events.version = outbox.version
            AND events.hash = outbox.event_hash AND events.name = ANY (:public))
        """,
    ),
)


def _rows(session: Session, query: Any) -> Iterator[Any]:
    """A few at a time."""
    yield from session.execute(query, execution_options={"yield_per": ROWS_AT_ONCE})
