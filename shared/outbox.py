"""
The sequencer and the log: committed outbox rows get dense positions and the chained hash, in one statement.
"""

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, select, text
from sqlalchemy.orm import Session

from shared import database, envelope, errors, failpoints, tables, watchdog

BATCH = 500


def sequence(home: database.Database) -> int:
    """Move everything that is committed into the log; gives how many events that were."""
    moved = 0
    while True:
        watchdog.go_on()
        with home.begin() as session:
            now_moved: int = session.execute(text("SELECT sequence_outbox(:batch)"), {"batch": BATCH}).scalar_one()
        moved += now_moved
        if now_moved:
            failpoints.reach("outbox.sequenced")
        if now_moved < BATCH:
            return moved


def read_log(session: Session, producer: str, *, after: int, limit: int) -> list[envelope.Envelope]:
    """The log beyond a position, in order."""
    return _read(session, producer, tables.Log.position > after, limit=limit)


def read_at(session: Session, producer: str, positions: Collection[int]) -> list[envelope.Envelope]:
    """What the log has at these positions, in order."""
    return _read(session, producer, tables.Log.position.in_(positions), limit=len(positions))


def read_streams(
    session: Session, producer: str, streams: Collection[str], *, after: int, upto: int, limit: int
) -> list[envelope.Envelope]:
    """What the log has of these streams between two positions, the second included, in order."""
    between = (tables.Log.position > after) & (tables.Log.position <= upto)
    return _read(session, producer, between, tables.Log.stream.in_(streams), limit=limit)


def pull(session: Session, producer: str, *, after: int, hash: str, limit: int) -> dict[str, Any]:
    """
    What a consumer asks for when it misses something.

    :param hash: the log's hash that the consumer applied last, hexadecimal
    :returns: `{"events": [CloudEvents documents], "head": position}`
    :raises Conflict: `log_diverged` if this log never had that hash there: one of the two was restored
    """
    head = session.execute(select(tables.LogHead)).scalar_one()
    if after and _hash_at(session, after) != hash:
        raise errors.Conflict("log_diverged", f"{producer}'s log is not the one that was applied up to {after}")
    found = read_log(session, producer, after=after, limit=min(max(limit, 1), BATCH))
    return {"events": [event.to_json() for event in found], "head": head.position}


def _read(session: Session, producer: str, *which: ColumnElement[bool], limit: int) -> list[envelope.Envelope]:
    joined = (
        select(tables.Log, tables.Event)
        .join(tables.Event, (tables.Event.stream == tables.Log.stream) & (tables.Event.version == tables.Log.version))
        .where(*which)
        .order_by(tables.Log.position)
        .limit(limit)
    )
    return [_envelope(producer, place, event) for place, event in session.execute(joined)]


def _hash_at(session: Session, position: int) -> str | None:
    found = session.scalar(select(tables.Log.hash).where(tables.Log.position == position))
    return None if found is None else found.hex()


def _envelope(producer: str, place: tables.Log, event: tables.Event) -> envelope.Envelope:
    meta = json.loads(event.meta)
    return envelope.Envelope(
        producer=producer,
        epoch=place.epoch,
        position=place.position,
        hash=place.hash.hex(),
        event_hash=event.hash.hex(),
        stream=event.stream,
        version=event.version,
        id=event.id,
        name=event.name,
        schema=event.schema,
        time=event.recorded_at,
        data=json.loads(event.data),
        correlation_id=meta["correlation_id"],
        causation_id=meta["causation_id"],
    )
