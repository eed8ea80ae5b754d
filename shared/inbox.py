"""
Applying another service's events: in order, once, each in one transaction with the position.

What a handler cannot do is parked with all that follows in its stream; the rest goes on. A transient failure
(a database away) counts nothing and is raised to whoever drives.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from shared import context, database, envelope, events, failpoints, logs, metrics, personal, store, tables, watchdog

MAX_ATTEMPTS = 3
# Less than PostgreSQL lets a transaction rest: one that it ended would look like a database away, and count nothing.
HANDLER_SECONDS = 20.0
FAULTLESS = (*database.TRANSIENT, store.VersionConflict)  # says nothing against the event that was being handled
log = logs.logger(__name__)

Handler = Callable[[Session, Any, envelope.Envelope], None]
"""(session, fact, envelope): writes rows in the session and nothing else; it has no side effects but these."""


class Hole(Exception):
    """An event does not follow what was applied: something between is missing, or the log has a new epoch."""


class Diverged(Exception):
    """The producer's log is not the one that was applied: one of the databases was restored. Stop, and say so."""


@dataclass(frozen=True)
class Hears:
    """
    What a service hears of one producer.

    :param repeatable: the events whose handlers do nothing but write rows of read models, and whole ones: to apply a
        stream again from any of its events to the last leaves these rows as they are. Only these can be replayed
        after they were applied (`shared.replay`), and what else they write is refused then
    """

    catalogue: events.Catalogue
    handlers: Mapping[type[Any], Handler]
    repeatable: frozenset[type[Any]] = frozenset()


@dataclass(frozen=True)
class Place:
    """
    How far a producer's log has been applied; `hash` is hexadecimal.

    :param tried: whether what follows was tried before, and did not get through
    """

    epoch: str
    position: int
    hash: str
    tried: bool = False


NOWHERE = Place("", 0, events.GENESIS.hex())  # nothing of that log has been applied yet


class Inbox:
    """One service's inbox for one producer. Two at once are harmless: each locks the row first."""

    def __init__(self, home: database.Database, service: str, hears: Hears) -> None:
        self.database = home
        self.service = service
        self.hears = hears
        self.producer = hears.catalogue.service
        self._forgiven: int | None = None  # the position whose last try failed through no fault of its own

    def place(self) -> Place:
        """Where it stands. Looked at without a lock: whoever applies looks again behind one."""
        with self.database.begin() as session:
            row = session.get(tables.Inbox, self.producer)
            return NOWHERE if row is None else _place(row)

    def take(self, batch: Sequence[envelope.Envelope], *, pulled: bool = False) -> int:
        """
        Apply what is newer, in order, as far as nothing is missing; gives how many events that were.

        :param pulled: the producer has just confirmed our hash, so a new epoch may begin
        :raises Hole: if something between is missing
        :raises Diverged: if the hash does not fit
        """
        place = self.place()
        run, fault = _unbroken(place, batch, pulled=pulled)
        applied = self._take_run(run, pulled=pulled, one_by_one=place.tried)
        if fault is not None:
            raise fault
        return applied

    def _take_run(self, run: Sequence[envelope.Envelope], *, pulled: bool, one_by_one: bool) -> int:
        if len(run) > 1 and not one_by_one:
            self._mark(run[0].position)
            try:
                return self._apply(run, pulled=pulled)
            except (Hole, Diverged):
                raise
            except FAULTLESS:
                self._forgive(run[0].position)
                raise
            except Exception:  # noqa: BLE001  # one of them fails: find out which
                log.info("batch failed, going one by one", producer=self.producer, events=len(run))
        return sum(self._apply_or_park(event, pulled=pulled) for event in run)

    def _apply_or_park(self, event: envelope.Envelope, *, pulled: bool) -> int:
        reason = f"the process ended while it handled {event.name}"
        while (attempts := self._mark(event.position)) <= MAX_ATTEMPTS:
            try:
                return self._apply([event], pulled=pulled)
            except (Hole, Diverged):
                raise
            except FAULTLESS:
                self._forgive(event.position)
                raise
            except Exception as error:
                log.exception(
                    "handler failed", producer=self.producer, event_id=event.id, name=event.name, tries=attempts
                )
                metrics.child(metrics.HANDLER_FAILURES, self.service, event.name).inc()
                reason = f"{type(error).__name__} in {event.name}"
            if attempts == MAX_ATTEMPTS:
                break
            time.sleep(0.1 * attempts)
        return self._park(event, reason, pulled=pulled)

    def _mark(self, position: int) -> int:
        """Commit that a try begins, so that one that kills the process is counted; gives which try it is."""
        with self.database.begin(durable=False) as session:
            row = self._lock(session)
            if row.attempting != position:
                row.attempting, row.attempts = position, 1
            elif self._forgiven != position:
                row.attempts += 1
            attempts = row.attempts
        self._forgiven = None
        return attempts

    def _forgive(self, position: int) -> None:
        """Let the last try not count: in the database if it lets us, since a restart forgets what is known here."""
        self._forgiven = position
        with suppress(*FAULTLESS):
            with self.database.begin(durable=False) as session:
                row = self._lock(session)
                if row.attempting == position and row.attempts > 0:
                    row.attempts -= 1
            self._forgiven = None

    def _apply(self, batch: Sequence[envelope.Envelope], *, pulled: bool) -> int:
        with self.database.begin() as session:
            row = self._lock(session)
            newer = [event for event in batch if event.position > row.position]
            place, known = _place(row), self._known(session, newer)
            for event in newer:
                place = _next(place, event, pulled=pulled)
                self._handle(session, event, known)
            _move(row, place)
            session.flush()
            failpoints.reach("inbox.applied")
        failpoints.reach("inbox.committed")
        self._count(len(newer))
        return len(newer)

    def _park(self, event: envelope.Envelope, reason: str, *, pulled: bool) -> int:
        with self.database.begin() as session:
            row = self._lock(session)
            if event.position <= row.position:
                return 0
            place = _next(_place(row), event, pulled=pulled)
            self._put_aside(session, event, reason)
            _move(row, place)
        self._count(1)
        return 1

    def _count(self, events: int) -> None:
        metrics.child(metrics.APPLIED, self.service, self.producer).inc(events)

    def _known(self, session: Session, batch: Sequence[envelope.Envelope]) -> "_Known":
        parked = select(tables.Parked.stream).where(
            tables.Parked.producer == self.producer, tables.Parked.stream.in_({event.stream for event in batch})
        )
        erased = personal.erased_among(session, {event.subject for event in batch})
        return _Known(erased, set(session.scalars(parked.distinct())))

    def _handle(self, session: Session, event: envelope.Envelope, known: "_Known") -> None:
        if event.subject in known.erased | personal.erased_meanwhile(session):
            return
        if event.stream in known.parked:
            self._put_aside(session, event, "an earlier event of its stream is parked")
            return
        try:
            fact = self.read(event)
        except events.Unreadable as error:
            self._put_aside(session, event, str(error), unreadable=True)
            known.parked.add(event.stream)
            return
        if fact is not None:
            self.handle(session, fact, event)

    def read(self, event: envelope.Envelope) -> Any:
        """
        The fact, or None where no handler wants it: then it does not matter whether this release could read it.

        :raises Unreadable: if a handler wants it and this release does not understand it
        """
        known = self.hears.catalogue.classes.get(event.name)
        return event.fact(self.hears.catalogue) if known in self.hears.handlers else None

    def handle(self, session: Session, fact: Any, event: envelope.Envelope) -> None:
        """Run its handler, unless its version was applied before."""
        if not self._seen(session, event):
            self.run(session, fact, event)

    def run(self, session: Session, fact: Any, event: envelope.Envelope) -> None:
        """Run its handler, whatever was applied before."""
        actor = context.Actor(kind="service", id=self.producer, org_id=getattr(fact, "org_id", ""))
        request = context.use(actor=actor, correlation_id=event.correlation_id, causation_id=event.id)
        measured = metrics.child(metrics.HANDLER_SECONDS, self.service, event.name).time()
        with request, watchdog.limit(HANDLER_SECONDS, f"{event.name} {event.id}"), measured:
            self.hears.handlers[type(fact)](session, fact, event)

    def _seen(self, session: Session, event: envelope.Envelope) -> bool:
        """Remember the stream's version; True if it or a later one was applied before."""
        fresh = postgresql.insert(tables.InboxStream).values(
            producer=self.producer, stream=event.stream, version=event.version
        )
        moved = fresh.on_conflict_do_update(
            index_elements=["producer", "stream"],
            set_={"version": event.version},
            where=tables.InboxStream.version < event.version,
        )
        return session.execute(moved.returning(tables.InboxStream.version)).first() is None

    def _put_aside(
        self, session: Session, event: envelope.Envelope, reason: str, *, unreadable: bool = False
    ) -> None:
        log.warning("parked", producer=self.producer, event_id=event.id, name=event.name, reason=reason)
        session.add(
            tables.Parked(
                producer=self.producer,
                position=event.position,
                stream=event.stream,
                version=event.version,
                name=event.name,
                envelope=event.encode(),
                reason=reason,
                parked_at=database.now(session),
                unreadable=unreadable,
            )
        )

    def _lock(self, session: Session) -> tables.Inbox:
        return lock(session, self.producer)


@dataclass(frozen=True)
class _Known:
    """
    What is asked once for a whole batch, behind the lock.

    :param erased: the subjects that are gone for good
    :param parked: the streams of which something is parked
    """

    erased: set[str]
    parked: set[str]


def lock(session: Session, producer: str) -> tables.Inbox:
    """The row that everybody locks first who changes what was applied of this producer."""
    ours = select(tables.Inbox).where(tables.Inbox.producer == producer).with_for_update()
    row = session.scalar(ours)
    if row is None:
        fresh = postgresql.insert(tables.Inbox).values(
            producer=producer, epoch="", position=0, hash=events.GENESIS, attempting=0, attempts=0
        )
        session.execute(fresh.on_conflict_do_nothing())
        row = session.scalars(ours).one()
    return row


def _unbroken(
    place: Place, batch: Sequence[envelope.Envelope], *, pulled: bool
) -> tuple[list[envelope.Envelope], Hole | Diverged | None]:
    """What follows the place without a hole, and what is wrong with the first that does not."""
    newer = {event.position: event for event in batch if event.position > place.position}
    run: list[envelope.Envelope] = []
    for position in sorted(newer):
        try:
            place = _next(place, newer[position], pulled=pulled)
        except (Hole, Diverged) as fault:
            return run, fault
        run.append(newer[position])
    return run, None


def _next(place: Place, event: envelope.Envelope, *, pulled: bool) -> Place:
    """The place behind an event. :raises Hole, Diverged: if the event is not the one that follows"""
    if event.position != place.position + 1:
        raise Hole(f"{event.producer}: at {place.position}, got {event.position}")
    if place.epoch and event.epoch != place.epoch and not pulled:
        raise Hole(f"{event.producer}: its log has a new epoch")
    if not event.follows(bytes.fromhex(place.hash)):
        raise Diverged(f"{event.producer}: the hash at {event.position} does not follow ours")
    return Place(event.epoch, event.position, event.hash)


def _place(row: tables.Inbox) -> Place:
    return Place(row.epoch, row.position, row.hash.hex(), tried=row.attempts > 0)


def _move(row: tables.Inbox, place: Place) -> None:
    row.epoch, row.position, row.hash = place.epoch, place.position, bytes.fromhex(place.hash)
    row.attempting, row.attempts = place.position, 0
