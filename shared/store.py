"""
The event store: load a stream, decide, append. The streams row is the optimistic lock.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from sqlalchemy import insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from shared import bulk, context, database, errors, events, ids, tables

S = TypeVar("S")


class VersionConflict(Exception):
    """Somebody else appended to the stream meanwhile; `shared.doors` and `shared.inbox` try again."""


class Archived(Exception):
    """The stream's events are in a file: it is neither folded nor appended to until they are restored."""


class EffectRefused(Exception):
    """In a transaction that may write read models only, something wanted to write more than these."""


@dataclass(frozen=True, kw_only=True)
class Snapshots(Generic[S]):
    """
    For streams too long to fold each time. A snapshot changes the cost of loading, never its result.

    :param every: write one when the version passes a multiple of this
    """

    every: int
    dump: Callable[[S], Any]
    restore: Callable[[Any], S]


@dataclass(frozen=True, kw_only=True)
class Aggregate(Generic[S]):
    """
    How a kind of stream becomes state, and which rows follow from it.

    :param initial: the state before the first event
    :param evolve: (state, fact) to state; it never raises
    :param project: writes the read models of one event, in the transaction that appends it
    :param fold_version: raise it when `evolve` or the state's shape changes: old snapshots are then ignored
    """

    catalogue: events.Catalogue
    initial: S
    evolve: Callable[[S, Any], S]
    project: Callable[[Session, events.Recorded, Any], None] | None = None
    fold_version: int = 1
    snapshots: Snapshots[S] | None = None


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """A stream as it stands: its state, and the version and hash that the next event follows."""

    stream: str
    state: S
    version: int
    hash: bytes


def execute(
    session: Session, stream: str, aggregate: Aggregate[S], decide: Callable[[S], Sequence[events.Event]]
) -> S:
    """
    Load, decide, append: the one way from a rule to the store. Gives the state after it.

    :raises VersionConflict: if another transaction appended first
    """
    loaded = load(session, stream, aggregate)
    return append(session, loaded, aggregate, decide(loaded.state)).state


def load(session: Session, stream: str, aggregate: Aggregate[S]) -> Loaded[S]:
    loaded = _from_snapshot(session, stream, aggregate)
    for event in read(session, stream, after=loaded.version):
        state = aggregate.evolve(loaded.state, event.fact(aggregate.catalogue))
        loaded = Loaded(stream, state, event.version, event.hash)
    return loaded


def head(session: Session, stream: str, aggregate: Aggregate[S]) -> Loaded[S]:
    """The end of a stream that nobody needs folded, ready to be appended to."""
    row = session.get(tables.Stream, stream, populate_existing=True)
    if row is None:
        return Loaded(stream, aggregate.initial, 0, events.GENESIS)
    return Loaded(stream, aggregate.initial, row.version, row.hash)


def heads(session: Session, streams: Collection[str]) -> dict[str, tuple[int, bytes]]:
    """
    Version and hash of many streams at once, for whoever holds a lock without which nobody appends to them.

    :raises NotFound: `erased` if one of them was erased
    :raises Archived: if the events of one are in a file
    """
    known = select(tables.Stream).where(tables.Stream.stream.in_(streams))
    rows = session.scalars(known.execution_options(populate_existing=True)).all()
    for row in rows:
        _refuse_if_gone(row)
    ends = {row.stream: (row.version, row.hash) for row in rows}
    return {stream: ends.get(stream, (0, events.GENESIS)) for stream in streams}


def lock(session: Session, stream: str) -> None:
    """Let nobody append to the stream until this transaction ends. One without an event yet cannot be locked."""
    session.execute(select(tables.Stream.version).where(tables.Stream.stream == stream).with_for_update())


def read(session: Session, stream: str, *, after: int = 0) -> list[events.Recorded]:
    """The events of a stream in order, beyond version `after`."""
    found = select(tables.Event).where(tables.Event.stream == stream, tables.Event.version > after)
    return [recorded(row) for row in session.scalars(found.order_by(tables.Event.version))]


def append(session: Session, loaded: Loaded[S], aggregate: Aggregate[S], facts: Sequence[events.Event]) -> Loaded[S]:
    """
    Write facts behind what was loaded, with their read models, and hand the public ones to the sequencer.

    :raises VersionConflict: if the stream has moved on
    :raises NotFound: `erased` if it was erased: it takes nothing more
    :raises Archived: if its events are in a file
    """
    if not facts:
        return loaded
    refuse_effect(session, "append an event")
    added = link(session, loaded.stream, loaded.version, loaded.hash, facts)
    _move_head(session, loaded.version, added[-1])
    insert_events(session, added, aggregate.catalogue)
    first_new = loaded.version
    for event, fact in zip(added, facts, strict=True):
        loaded = replace(loaded, state=aggregate.evolve(loaded.state, fact), version=event.version, hash=event.hash)
        if aggregate.project is not None:
            aggregate.project(session, event, fact)
    if aggregate.snapshots and first_new // aggregate.snapshots.every < loaded.version // aggregate.snapshots.every:
        _take_snapshot(session, loaded, aggregate.fold_version, aggregate.snapshots)
    return loaded


def link(
    session: Session, stream: str, version: int, hash: bytes, facts: Iterable[events.Event]
) -> list[events.Recorded]:
    """Facts as the next links of a stream, not yet written. Their ids stand in the same order."""
    now, meta = database.now(session), _meta()
    links: list[events.Recorded] = []
    facts = list(facts)
    for fact, id in zip(facts, sorted(ids.new("evt") for _ in facts), strict=True):
        version += 1
        link = events.record(fact, id=id, stream=stream, version=version, meta=meta, at=now, previous_hash=hash)
        hash = link.hash
        links.append(link)
    return links


def insert_events(
    session: Session,
    added: Sequence[events.Recorded],
    catalogue: events.Catalogue,
    *,
    along: Sequence[bulk.Statement] = (),
) -> None:
    """
    One statement for the events, one for those of them that are public; only these wake the worker.

    :param along: what goes to the server with the events
    """
    refuse_effect(session, "append an event")
    bulk.run(session, bulk.insert(tables.Event, [vars(event) for event in added], texts=tables.EVENT_TEXTS), *along)
    public = [event for event in added if event.name in catalogue.public]
    if public:
        session.execute(
            insert(tables.Outbox),
            [{"stream": event.stream, "version": event.version, "event_hash": event.hash} for event in public],
        )
        notify(session, "outbox")


def notify(session: Session, channel: str) -> None:
    """Wake who listens, when this transaction commits."""
    session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": channel})


def allow_read_models_only(session: Session) -> None:
    """From here to its end the transaction neither appends events nor adds jobs: see `refuse_effect`."""
    session.info["read_models_only"] = True


def refuse_effect(session: Session, what: str) -> None:
    """:raises EffectRefused: if the transaction may write read models only"""
    if session.info.get("read_models_only"):
        raise EffectRefused(f"it wanted to {what}")


def recorded(row: tables.Event) -> events.Recorded:
    return events.Recorded(
        stream=row.stream,
        version=row.version,
        id=row.id,
        name=row.name,
        schema=row.schema,
        data=row.data,
        meta=row.meta,
        recorded_at=row.recorded_at,
        hash=row.hash,
    )


def _from_snapshot(session: Session, stream: str, aggregate: Aggregate[S]) -> Loaded[S]:
    if aggregate.snapshots:
        found = session.execute(
            select(tables.Snapshot.state, tables.Event.version, tables.Event.hash)
            .join(tables.Event, tables.Event.stream == tables.Snapshot.stream)
            .where(tables.Event.version == tables.Snapshot.version)
            .where(tables.Snapshot.stream == stream, tables.Snapshot.fold_version == aggregate.fold_version)
        ).one_or_none()
        if found is not None:
            return Loaded(stream, aggregate.snapshots.restore(json.loads(found.state)), found.version, found.hash)
    return Loaded(stream, aggregate.initial, 0, events.GENESIS)


def _take_snapshot(session: Session, loaded: Loaded[S], fold_version: int, snapshots: Snapshots[S]) -> None:
    state = events.encode(snapshots.dump(loaded.state))
    fresh = postgresql.insert(tables.Snapshot).values(
        stream=loaded.stream, fold_version=fold_version, version=loaded.version, state=state
    )
    session.execute(
        fresh.on_conflict_do_update(
            index_elements=["stream", "fold_version"],
            set_={"version": fresh.excluded.version, "state": fresh.excluded.state},
            where=tables.Snapshot.version < fresh.excluded.version,
        )
    )


def _move_head(session: Session, expected: int, last: events.Recorded) -> None:
    if expected == 0:
        fresh = postgresql.insert(tables.Stream).values(stream=last.stream, version=last.version, hash=last.hash)
        moved = session.execute(fresh.on_conflict_do_nothing().returning(tables.Stream.stream)).first()
    else:
        ours = (tables.Stream.stream == last.stream) & (tables.Stream.version == expected)
        # Erasing may be what we waited for, and it leaves the version as it was.
        head = (
            update(tables.Stream)
            .where(ours, tables.Stream.erased_at.is_(None), tables.Stream.archived_at.is_(None))
            .values(version=last.version, hash=last.hash)
        )
        moved = session.execute(head.returning(tables.Stream.stream)).first()
    if moved is None:
        found = session.get(tables.Stream, last.stream, populate_existing=True)
        if found is not None:
            _refuse_if_gone(found)
        raise VersionConflict(last.stream)


def _refuse_if_gone(head: tables.Stream) -> None:
    if head.erased_at is not None:
        raise errors.NotFound("erased", "This was erased.")
    if head.archived_at is not None:
        raise Archived(head.stream)


def _meta() -> bytes:
    now = context.current()
    # A person's session, where there is one: what a machine does is told by its id.
    session = {"session_id": now.actor.session_id} if now.actor.session_id else {}
    return events.encode(
        {
            "actor": {"kind": now.actor.kind, "id": now.actor.id, **session},
            "correlation_id": now.correlation_id,
            "causation_id": now.causation_id,
        }
    )
