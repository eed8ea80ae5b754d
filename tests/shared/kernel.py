"""
A small service for the tests of the kernel: counters that one can add to, and a listener that writes down what it
hears.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy import Identity, MetaData, func, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sandbox.postgres import PostgresServer
from shared import database, envelope, events, inbox, outbox, replay, store, tables


@dataclass(frozen=True, kw_only=True)
class Added:
    name: ClassVar[str] = "counting.Added"
    schema: ClassVar[int] = 3

    by: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cleared:
    name: ClassVar[str] = "counting.Cleared"
    schema: ClassVar[int] = 1


@dataclass(frozen=True, kw_only=True)
class Noted:
    """Private: nobody else hears of it."""

    name: ClassVar[str] = "counting.Noted"
    schema: ClassVar[int] = 1

    note_id: str


CATALOGUE = events.Catalogue(
    "counting",
    [Added, Cleared, Noted],
    public=[Added, Cleared],
    upcasters={
        ("counting.Added", 1): lambda data: {"by": data["amount"]},
        ("counting.Added", 2): lambda data: {**data, "tags": []},
    },
)


class Views(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = tables.TYPES


class Total(Views):
    __tablename__ = "totals"

    stream: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[int]


class Heard(Views):
    """What a handler did. Nothing is unique here but the row's own number, so an effect that came twice shows."""

    __tablename__ = "heard"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    stream: Mapped[str]
    version: Mapped[int]
    by: Mapped[int]


def evolve(total: int, fact: Any) -> int:
    match fact:
        case Added():
            return total + int(fact.by)
        case Cleared():
            return 0
    return total


def project(session: Session, recorded: events.Recorded, fact: Any) -> None:
    if isinstance(fact, Added):
        fresh = postgresql.insert(Total).values(stream=recorded.stream, total=fact.by)
        added = Total.total + fresh.excluded.total
        session.execute(fresh.on_conflict_do_update(index_elements=["stream"], set_={"total": added}))


COUNTER: store.Aggregate[int] = store.Aggregate(catalogue=CATALOGUE, initial=0, evolve=evolve, project=project)


def add(home: database.Database, stream: str, *amounts: int) -> int:
    """Append one `Added` for each amount, in one transaction."""
    with home.begin() as session:
        return add_in(session, stream, *amounts)


def add_in(session: Session, stream: str, *amounts: int) -> int:
    facts = [Added(by=amount) for amount in amounts]
    return store.execute(session, stream, COUNTER, lambda _total: facts)


def fail_with(session: Session, sqlstate: str) -> None:
    """Have PostgreSQL itself raise it."""
    session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$"))


def note(home: database.Database, stream: str, *note_ids: str) -> None:
    with home.begin() as session:
        store.execute(session, stream, COUNTER, lambda _total: [Noted(note_id=id) for id in note_ids])


def read(home: database.Database, stream: str) -> list[events.Recorded]:
    with home.begin() as session:
        return store.read(session, stream)


def read_log(home: database.Database, *, after: int = 0, limit: int = 1_000_000) -> list[envelope.Envelope]:
    with home.begin() as session:
        return outbox.read_log(session, "counting", after=after, limit=limit)


def publish(home: database.Database, *streams: str) -> list[envelope.Envelope]:
    """Add 1, 2, 3 … to the streams named, one event each, sequence them, and give the log so far."""
    for by, stream in enumerate(streams, start=1):
        add(home, stream, by)
    outbox.sequence(home)
    return read_log(home)


def row_of(home: database.Database, model: type[Any], key: Any) -> Any:
    with home.begin() as session:
        return session.get(model, key)


def count(home: database.Database, model: type[Any]) -> int:
    with home.begin() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


@dataclass
class Listener:
    """
    Hears the counters.

    :param failing: called with (fact, envelope) before each effect; may raise
    """

    home: database.Database
    failing: Callable[[Added, envelope.Envelope], None] = lambda _fact, _envelope: None
    tries: list[int] = field(default_factory=list)

    def on_added(self, session: Session, fact: Added, event: envelope.Envelope) -> None:
        self.tries.append(event.position)
        self.failing(fact, event)
        session.execute(insert(Heard).values(stream=event.stream, version=event.version, by=fact.by))

    def on_total(self, session: Session, fact: Added, event: envelope.Envelope) -> None:
        """Writes a whole row of a read model, as the last event has it, and nothing else."""
        self.failing(fact, event)
        row = postgresql.insert(Total).values(stream=event.stream, total=fact.by)
        session.execute(row.on_conflict_do_update(index_elements=["stream"], set_={"total": fact.by}))

    @property
    def totals(self) -> inbox.Inbox:
        """One that keeps a read model, which can be applied again."""
        return inbox.Inbox(
            self.home, "listening", inbox.Hears(CATALOGUE, {Added: self.on_total}, repeatable=frozenset({Added}))
        )

    @property
    def hears(self) -> inbox.Hears:
        return inbox.Hears(CATALOGUE, {Added: self.on_added})

    @property
    def inbox(self) -> inbox.Inbox:
        return inbox.Inbox(self.home, "listening", self.hears)

    def heard(self) -> list[tuple[str, int]]:
        """The (stream, version) of all effects, in the order in which they came."""
        with self.home.begin() as session:
            return list(session.execute(select(Heard.stream, Heard.version).order_by(Heard.id)))

    def parked(self) -> list[tuple[int, str]]:
        """The (position, reason) of what is parked."""
        with self.home.begin() as session:
            found = select(tables.Parked.position, tables.Parked.reason).order_by(tables.Parked.position)
            return list(session.execute(found))

    def row(self) -> tables.Inbox:
        found: tables.Inbox = row_of(self.home, tables.Inbox, "counting")
        return found


def replay_all(box: inbox.Inbox, log: database.Database, mode: Any) -> int:
    """All of the log that is parked and discarded, or all that was applied; gives how many events were applied."""
    events = read_log(log)
    record = replay.begin(box, mode=mode, selection=b"all", events=len(events), actor="ada", reason="a test")
    if mode == "again":
        streams, positions = {event.stream for event in events}, [event.position for event in events]
        return replay.apply_again(box, log, streams, positions, record)
    done = [replay.apply_missing(box, event, record, overtaken=True) for event in events]
    return done.count(replay.Done.APPLIED)


def places(log: list[envelope.Envelope]) -> list[tuple[str, int]]:
    """The (stream, version) of each event, as `Listener.heard` gives them."""
    return [(event.stream, event.version) for event in log]


def eventually(holds: Callable[[], bool], what: str, *, timeout_seconds: float = 20.0) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        time.sleep(0.02)


@contextmanager
def away(server: PostgresServer, home: database.Database) -> Iterator[None]:
    """A database that ends all connections and takes no new ones, until the end of the block."""
    name = home.engine.url.database
    with server.administer() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        cursor.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
    try:
        yield
    finally:
        with server.administer() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


@contextmanager
def read_only(server: PostgresServer, home: database.Database) -> Iterator[None]:
    """A database that takes nothing new, as a standby does, until the end of the block."""
    name = home.engine.url.database
    end_all = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
    with server.administer() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only TO on')
        cursor.execute(end_all, [name])
    try:
        yield
    finally:
        with server.administer() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
            cursor.execute(end_all, [name])
