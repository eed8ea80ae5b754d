"""
A selection of a producer's events, applied to one consumer after the fact. They are told to nobody else; what the
consumer's handlers decide from them is new, and is published as always.

`missing`: what was parked or discarded is applied, each event in one transaction that takes its mark away.
`again`: what was applied is applied once more, by handlers that write read models and nothing else. Both work behind
the lock that the live consumer takes too, so they may run beside it, be killed anywhere, and be begun again.
"""

import bisect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Literal

from sqlalchemy import ColumnElement, delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from shared import database, envelope, failpoints, inbox, outbox, parking, personal, store, tables

BATCH = 100
# What no handler may touch that is run again, in whatever way it writes. Most would come to be refused in Python.
EFFECTS = ("events", "streams", "outbox", "log", "jobs", "commands", "personal", "erased", "parked", "discarded")

Mode = Literal["missing", "again"]


class Done(Enum):
    """What became of one event of a replay."""

    APPLIED = "applied"
    KNOWN = "applied before"
    OVERTAKEN = "overtaken: later events of its stream are applied"
    BLOCKED = "an earlier event of its stream is parked"
    AHEAD = "not reached yet"


@dataclass(frozen=True)
class Standing:
    """
    Where the consumer stands with a producer's events, each by its position.

    :param position: how far it has come
    :param parked: what waits
    :param discarded: what was passed over for good, and not replayed since
    :param overtaken: those of them whose stream has gone on since
    """

    position: int
    parked: frozenset[int]
    discarded: frozenset[int]
    overtaken: frozenset[int]


@dataclass(frozen=True)
class Record:
    """A replay as it is remembered: its row in `replays`, and how far a former try of it came."""

    id: int
    position: int = 0


def standing(session: Session, producer: str) -> Standing:
    row = session.get(tables.Inbox, producer)
    parked = select(tables.Parked.position).where(tables.Parked.producer == producer)
    discarded = (
        select(tables.Discarded.position, tables.Discarded.version, tables.InboxStream.version)
        .outerjoin(
            tables.InboxStream,
            (tables.InboxStream.producer == tables.Discarded.producer)
            & (tables.InboxStream.stream == tables.Discarded.stream),
        )
        .where(tables.Discarded.producer == producer, tables.Discarded.replay_id.is_(None))
    )
    found = session.execute(discarded).all()
    return Standing(
        position=0 if row is None else row.position,
        parked=frozenset(session.scalars(parked)),
        discarded=frozenset(position for position, _version, _applied in found),
        overtaken=frozenset(position for position, version, applied in found if (applied or 0) >= version),
    )


def begin(box: inbox.Inbox, *, mode: Mode, selection: bytes, events: int, actor: str, reason: str) -> Record:
    """
    Remember who replays what and why. If the same replay was killed before its end, this one goes on from there: the
    other's row ends, and keeps the name and the reason of who began it.

    :param selection: tells one selection from another
    """
    replays = tables.Replay
    same = (replays.producer == box.producer) & (replays.mode == mode) & (replays.selection == selection)
    with box.database.begin() as session:
        inbox.lock(session, box.producer)
        unfinished = session.scalars(select(replays).where(same, replays.ended_at.is_(None))).all()
        for row in unfinished:
            _end(session, Record(row.id))
        position = max((row.position for row in unfinished), default=0)
        values = {"mode": mode, "selection": selection, "events": events, "actor": actor, "reason": reason}
        fresh = insert(replays).values(
            producer=box.producer, started_at=database.now(session), position=position, **values
        )
        return Record(session.scalars(fresh.returning(replays.id)).one(), position)


def end(box: inbox.Inbox, record: Record) -> None:
    with box.database.begin() as session:
        _end(session, record)


def apply_missing(box: inbox.Inbox, event: envelope.Envelope, record: Record, *, overtaken: bool) -> Done:
    """
    Apply an event that was parked or discarded, as the live consumer would have, and take its mark away.

    :param overtaken: also if it was discarded and later events of its stream were applied since
    :raises StillFails: if its handler fails; then it stays as it was
    :raises VersionConflict, Beaten: if somebody else was quicker, three times
    """
    try:
        done = parking.despite_others(lambda: _apply_missing(box, event, record, overtaken))
    except parking.StillFails as failure:
        parking.note(box, failure)
        raise
    if done is Done.APPLIED:
        failpoints.reach("replay.committed")
    return done


def apply_again(
    box: inbox.Inbox, log: database.Database, streams: Collection[str], positions: Sequence[int], record: Record
) -> int:
    """
    Apply once more what was applied, and then what came to the same streams meanwhile, so that no row is left as an
    older event had it; gives how many events that were. What a killed try of this replay did is not done again. One
    that failed has ended: the next may come from a release that is mended, and begins at the start.

    :param log: the producer's database
    :param positions: in order; of each of the streams, everything from some event to the last that was applied
    :raises StillFails: if a handler fails; what was applied before its batch stays
    :raises EffectRefused: if a handler does more than write read models
    """
    try:
        return _apply_batches(box, log, streams, positions, record)
    except (parking.StillFails, store.EffectRefused):
        end(box, record)
        raise


def _apply_batches(
    box: inbox.Inbox, log: database.Database, streams: Collection[str], positions: Sequence[int], record: Record
) -> int:
    applied, mark = 0, record.position
    while True:
        first = bisect.bisect_right(positions, mark)
        fetch = partial(_next_batch, log, box.producer, streams, positions[first : first + BATCH], mark)
        batch = parking.despite_others(partial(_apply_again, box, fetch, record))
        if not batch:
            return applied
        failpoints.reach("replay.committed")
        applied, mark = applied + len(batch), batch[-1]


def _apply_missing(box: inbox.Inbox, event: envelope.Envelope, record: Record, overtaken: bool) -> Done:
    with box.database.begin() as session:
        row = inbox.lock(session, box.producer)
        if event.position > row.position:
            return Done.AHEAD
        is_parked = session.get(tables.Parked, (box.producer, event.position)) is not None
        if not is_parked and session.scalar(select(func.count()).where(*_discarded(event))) == 0:
            return Done.KNOWN
        if _waits_behind(session, event):
            return Done.BLOCKED
        is_late = not is_parked and _applied_version(session, event) >= event.version
        if is_late and not overtaken:
            return Done.OVERTAKEN
        with parking.judging(event.position, event.name):
            parking.apply(box, session, event, late=is_late)
        if is_parked:
            place = (tables.Parked.producer == box.producer) & (tables.Parked.position == event.position)
            session.execute(delete(tables.Parked).where(place))
        else:
            session.execute(update(tables.Discarded).where(*_discarded(event)).values(replay_id=record.id))
        _count(session, record, 1)
        return Done.APPLIED


def _next_batch(
    log: database.Database, producer: str, streams: Collection[str], positions: Sequence[int], mark: int, *, upto: int
) -> list[envelope.Envelope]:
    """What is planned, or when that is done, what came to the streams meanwhile, up to the consumer's place."""
    with log.begin() as session:
        if positions:
            return outbox.read_at(session, producer, positions)
        return outbox.read_streams(session, producer, streams, after=mark, upto=upto, limit=BATCH)


def _apply_again(box: inbox.Inbox, fetch: Callable[..., list[envelope.Envelope]], record: Record) -> list[int]:
    """One batch, fetched behind the lock; gives its positions, or none at the end."""
    with box.database.begin() as session:
        batch = fetch(upto=inbox.lock(session, box.producer).position)
        if not batch:
            _end(session, record)
            return []
        _repeat(box, session, batch)
        _count(session, record, len(batch), position=batch[-1].position)
        return [event.position for event in batch]


def _repeat(box: inbox.Inbox, session: Session, batch: Sequence[envelope.Envelope]) -> None:
    store.allow_read_models_only(session)
    before = _written(session)
    left_out = _not_applied(session, box.producer, batch)
    erased = personal.erased_among(session, {event.subject for event in batch})
    for event in batch:
        if event.position in left_out or event.subject in erased:
            continue
        with parking.judging(event.position, event.name):
            fact = box.read(event)
            if fact is not None:
                _run(box, session, fact, event)
    if _written(session) != before:
        raise store.EffectRefused("it wanted to write a table of the kernel")


def _run(box: inbox.Inbox, session: Session, fact: object, event: envelope.Envelope) -> None:
    if type(fact) not in box.hears.repeatable:
        raise store.EffectRefused(f"its handler of {event.name} is not one that can be run again")
    box.run(session, fact, event)
    session.flush()


def _written(session: Session) -> dict[str, int]:
    """How many rows of each of these tables this transaction has written, beside what was not reported before it."""
    counts = """
        SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS written FROM pg_stat_xact_user_tables
        WHERE schemaname = current_schema AND relname = ANY (:names)
    """
    return {row.relname: row.written for row in session.execute(text(counts), {"names": list(EFFECTS)})}


def _not_applied(session: Session, producer: str, batch: Sequence[envelope.Envelope]) -> set[int]:
    positions = [event.position for event in batch]
    parked, discarded = tables.Parked, tables.Discarded
    waits = select(parked.position).where(parked.producer == producer, parked.position.in_(positions))
    skipped = select(discarded.position).where(
        discarded.producer == producer, discarded.position.in_(positions), discarded.replay_id.is_(None)
    )
    return {*session.scalars(waits), *session.scalars(skipped)}


def _discarded(event: envelope.Envelope) -> tuple[ColumnElement[bool], ...]:
    discarded = tables.Discarded
    return (
        discarded.producer == event.producer,
        discarded.position == event.position,
        discarded.replay_id.is_(None),
    )


def _waits_behind(session: Session, event: envelope.Envelope) -> bool:
    parked = tables.Parked
    earlier = (parked.stream == event.stream) & (parked.version < event.version)
    found = select(parked.position).where(parked.producer == event.producer, earlier).limit(1)
    return session.scalar(found) is not None


def _applied_version(session: Session, event: envelope.Envelope) -> int:
    row = session.get(tables.InboxStream, (event.producer, event.stream))
    return 0 if row is None else row.version


def _count(session: Session, record: Record, events: int, *, position: int | None = None) -> None:
    replays = tables.Replay
    values = {"applied": replays.applied + events} | ({} if position is None else {"position": position})
    session.execute(update(replays).where(replays.id == record.id).values(values))


def _end(session: Session, record: Record) -> None:
    ended = update(tables.Replay).where(tables.Replay.id == record.id)
    session.execute(ended.values(ended_at=database.now(session)))
