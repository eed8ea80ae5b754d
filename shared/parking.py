"""
Parked events: replayed in the order of their stream when what was wrong is mended, or passed over on purpose.

Each event is one transaction that applies it and takes its row away, behind the lock that the live consumer takes
too. So a redrive may be killed anywhere and run twice at once; what arrives meanwhile is parked behind.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement, Select, delete, func, insert, select, update
from sqlalchemy.orm import Session

from shared import database, envelope, events, inbox, logs, personal, store, tables, watchdog

CONFLICT_TRIES = 3
RETRY_SECONDS = 1.0
ENDED = "the process ended while it was redriven"
log = logs.logger(__name__)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Outcome:
    """
    :param redriven: how many events were applied
    :param left: how many of the stream are still parked
    :param reason: why it stopped; empty if it came to the end
    """

    redriven: int
    left: int
    reason: str = ""


class StillFails(Exception):
    """An event that its handler, or this release, cannot do; the message says why without its content."""

    def __init__(self, position: int, reason: str, *, unreadable: bool = False) -> None:
        super().__init__(reason)
        self.position = position
        self.reason = reason
        self.unreadable = unreadable


def redrive(box: inbox.Inbox, stream: str) -> Outcome:
    """
    Apply what is parked of one stream, up to the first event that still fails. That one and the rest stay parked.

    :raises OperationalError and the like: if the database is away; what was not applied stays parked
    :raises VersionConflict, Beaten: if somebody else was quicker, three times
    """
    redriven = 0
    try:
        while despite_others(lambda: _apply_first(box, stream)):
            redriven += 1
    except StillFails as failure:
        log.warning("redrive stopped", producer=box.producer, position=failure.position, reason=failure.reason)
        note(box, failure)
        return Outcome(redriven, count(box, stream), failure.reason)
    return Outcome(redriven, 0)


def redrive_unreadable(box: inbox.Inbox, stopping: threading.Event) -> None:
    """
    Redrive what an older release could not read, and this one can. Waits for a database that is away.

    One stream after the other, so that whoever ends us leaves the others as they are. A handler that kills the
    process does so once: before it runs, its event is marked as one for operations.
    """
    while (stream := _patiently(lambda: _claim_readable(box), stopping)) is not None:
        outcome = _persistently(lambda: redrive(box, stream), stopping)
        if outcome is not None:
            log.info("redriven", producer=box.producer, stream=stream, events=outcome.redriven, left=outcome.left)


def discard(home: database.Database, producer: str, position: int, *, reason: str, actor: str) -> bool:
    """
    Pass over a parked event for good, and remember who decided so and why; False if it is not parked.

    What follows in its stream stays parked until it is redriven.
    """
    with home.begin() as session:
        inbox.lock(session, producer)
        row = session.get(tables.Parked, (producer, position))
        if row is None:
            return False
        session.execute(
            insert(tables.Discarded).values(
                producer=producer,
                position=position,
                stream=row.stream,
                version=row.version,
                event_id=envelope.decode(row.envelope).id,
                name=row.name,
                reason=reason,
                actor=actor,
                discarded_at=database.now(session),
            )
        )
        session.delete(row)
        return True


def streams(session: Session, producer: str) -> list[str]:
    """The streams of which something is parked, the one that has waited longest first."""
    parked = tables.Parked
    found = select(parked.stream).where(parked.producer == producer).group_by(parked.stream)
    return list(session.scalars(found.order_by(func.min(parked.position))))


def count(box: inbox.Inbox, stream: str) -> int:
    """How many events of the stream are parked."""
    with box.database.begin() as session:
        waiting = select(func.count()).select_from(tables.Parked)
        return session.scalar(waiting.where(*_of(box, stream))) or 0


def despite_others(call: Callable[[], Found]) -> Found:
    """What the call gives. That somebody was quicker is no failure: it is made again, three times in all."""
    for attempt in range(1, CONFLICT_TRIES):
        try:
            return call()
        except (store.VersionConflict, database.Beaten):
            time.sleep(random.uniform(0.01, 0.05) * attempt)  # noqa: S311  # jitter
    return call()


@contextmanager
def judging(position: int, name: str) -> Iterator[None]:
    """
    For what applies the event.

    :raises StillFails: for whatever goes wrong and says something against the event
    """
    try:
        yield
    except (*inbox.FAULTLESS, store.EffectRefused):
        raise
    except events.Unreadable as error:
        raise StillFails(position, str(error), unreadable=True) from error
    except Exception as error:
        raise StillFails(position, f"{type(error).__name__} in {name}") from error


def _apply_first(box: inbox.Inbox, stream: str) -> bool:
    """Apply the first parked event of the stream; False if there is none."""
    with box.database.begin() as session:
        inbox.lock(session, box.producer)
        row = session.scalar(_first(box, stream))
        if row is None:
            return False
        position, name = row.position, row.name  # a failure may leave nothing of the row to be read
        with judging(position, name):
            apply(box, session, envelope.decode(row.envelope))
            session.execute(delete(tables.Parked).where(*_is(box, position)))
        return True


def apply(box: inbox.Inbox, session: Session, event: envelope.Envelope, *, late: bool = False) -> None:
    """
    As the live consumer does it. The rows that the handler left for the end are written here too.

    :param late: also if a later version of its stream was applied before
    """
    if not personal.is_erased(session, event.subject):
        fact = box.read(event)
        if fact is not None:
            (box.run if late else box.handle)(session, fact, event)
    session.flush()


def note(box: inbox.Inbox, failure: StillFails) -> None:
    """Let the parked row say why it is still there."""
    newer = {"reason": failure.reason, "unreadable": failure.unreadable}
    with box.database.begin() as session:
        session.execute(update(tables.Parked).where(*_is(box, failure.position)).values(newer))


def _claim_readable(box: inbox.Inbox) -> str | None:
    """A stream that waits for nothing but a release that can read it, if this is one; None if there is none."""
    with box.database.begin() as session:
        waiting = session.scalars(_unreadable(box)).all()
        if waiting:
            inbox.lock(session, box.producer)
        for stream in waiting:
            row = session.scalar(_first(box, stream))
            if row is not None and row.unreadable and _can_read(box, row):
                row.unreadable, row.reason = False, ENDED  # what it says if the redrive ends us
                return stream
    return None


def _unreadable(box: inbox.Inbox) -> Select[str]:
    parked = tables.Parked
    found = select(parked.stream).where(parked.producer == box.producer, parked.unreadable).group_by(parked.stream)
    return found.order_by(func.min(parked.position))


def _can_read(box: inbox.Inbox, row: tables.Parked) -> bool:
    try:
        box.read(envelope.decode(row.envelope))
    except Exception:  # noqa: BLE001  # it may be anything that an upcaster trips over
        return False
    return True


def _patiently(call: Callable[[], Found], stopping: threading.Event) -> Found | None:
    """What the call gives when the database lets it; None if we are to stop before."""
    return None if stopping.is_set() else _persistently(call, stopping)


def _persistently(call: Callable[[], Found], stopping: threading.Event) -> Found | None:
    """The same, tried once even if we are to stop: for what has been claimed."""
    while True:
        watchdog.go_on()
        try:
            return call()
        except inbox.FAULTLESS as error:
            log.warning("a part is away", work="redrive", error=type(error).__name__)
        if stopping.wait(RETRY_SECONDS):
            return None


def _first(box: inbox.Inbox, stream: str) -> Select[tables.Parked]:
    parked = tables.Parked
    return select(parked).where(*_of(box, stream)).order_by(parked.version, parked.position).limit(1)


def _of(box: inbox.Inbox, stream: str) -> tuple[ColumnElement[bool], ...]:
    return tables.Parked.producer == box.producer, tables.Parked.stream == stream


def _is(box: inbox.Inbox, position: int) -> tuple[ColumnElement[bool], ...]:
    return tables.Parked.producer == box.producer, tables.Parked.position == position
