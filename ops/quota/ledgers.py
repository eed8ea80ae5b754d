"""An org's months as quota's database has them at one moment: a few events at a time, folded by the rules."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ops import exits
from services.quota import boundary, ledger, models
from services.quota.events import CATALOGUE
from shared import archiving, database, events, personal, store, tables

ROWS_AT_ONCE = 1000
PERIOD = re.compile(r"\d{4}-(0[1-9]|1[0-2])")

Streams = dict[str, tables.Stream]
"""An org's ledger streams by their period, oldest first."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """
    One event, and the month before and after it.

    :param whole: whether its hash fits its content and the event before it in its stream
    """

    event: events.Recorded
    fact: Any
    before: ledger.Month
    month: ledger.Month
    whole: bool

    @property
    def is_ledger(self) -> bool:
        return events.kind_of(self.event.stream) == "ledger"


@dataclass
class Walk:
    """
    A fold on its way through a month.

    :param heads: for each stream that it passes, the version and hash that it has come to
    """

    month: ledger.Month
    heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def through(self, recorded: Iterable[events.Recorded]) -> Iterator[Step]:
        """:raises Refused: where this release cannot read an event"""
        for event in recorded:
            fact, before = fact_of(event), self.month
            self.month = ledger.evolve(before, fact)
            _version, hash = self.head(event.stream)
            self.heads[event.stream] = (event.version, event.hash)
            yield Step(event=event, fact=fact, before=before, month=self.month, whole=event.follows(hash))

    def head(self, stream: str) -> tuple[int, bytes]:
        return self.heads.get(stream, (0, events.GENESIS))


@contextmanager
def snapshot(home: database.Database) -> Iterator[Session]:
    """All as it stands at one moment, whoever writes meanwhile; nobody waits for it."""
    with home.begin() as session:
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        session.execute(text("SET LOCAL statement_timeout TO 0"))
        yield session


def org_row(session: Session, org_id: str) -> models.Org | None:
    return session.get(models.Org, org_id, populate_existing=True)


def streams_of(session: Session, org_id: str) -> Streams:
    prefix = boundary.ledger_stream(org_id, "")
    # The range is for the index, whatever the collation; the prefix for the truth.
    near = tables.Stream.stream.between(prefix, f"{prefix}9999-99")
    rows = session.scalars(select(tables.Stream).where(near, func.starts_with(tables.Stream.stream, prefix)))
    return {row.stream.removeprefix(prefix): row for row in sorted(rows, key=lambda row: row.stream)}


def is_erased(session: Session, org_id: str, streams: Streams) -> bool:
    return personal.is_erased(session, org_id) or any(head.erased_at for head in streams.values())


def known_streams(session: Session, org_id: str) -> Streams:
    """:raises NotThere: for an org that quota never heard of, or that was erased"""
    streams = streams_of(session, org_id)
    if is_erased(session, org_id, streams):
        raise exits.NotThere(f"{org_id} was erased, and nothing of its months is left")
    if not streams:
        hint = "" if org_id.startswith("org_") else ": an org's id begins with org_"
        raise exits.NotThere(f"quota has never heard of {org_id or 'nobody'}{hint}")
    return streams


def one_of(streams: Streams, org_id: str, period: str) -> tables.Stream:
    """:raises NotThere: for a month that the org does not have"""
    if period not in streams:
        hint = "; a month opens with its first message or look" if period > max(streams) else ""
        raise exits.NotThere(f"{org_id} has no month {period}; it has {', '.join(streams)}{hint}")
    return streams[period]


def open_period(session: Session, org_id: str, streams: Streams) -> str:
    row = org_row(session, org_id)
    return row.period if row else max(streams)


def own_events(session: Session, head: tables.Stream, archive: Path | None) -> Iterator[events.Recorded]:
    """
    A month's, from the table or from its file.

    :raises Refused: if it is in an archive that was not named, or its file does not fit
    """
    if head.archived_at is None:
        return recorded(session, head.stream)
    kept = archived(session, head)
    if archive is None:
        where = f"{head.stream} is archived since {kept.archived_at:%Y-%m-%d}, in the file {kept.file}"
        raise exits.Refused(f"{where}: name its folder with --archive DIR")
    return _from_file(archive / kept.file, head)


def _from_file(path: Path, head: tables.Stream) -> Iterator[events.Recorded]:
    try:
        yield from archiving.read(path, archiving.head_of(head))
    except archiving.Unfit as error:
        raise exits.Refused(str(error)) from error


def recorded(session: Session, stream: str) -> Iterator[events.Recorded]:
    wanted = select(*tables.Event.__table__.columns).where(tables.Event.stream == stream)
    ordered = wanted.order_by(tables.Event.version)
    found: Any = session.execute(ordered, execution_options={"yield_per": ROWS_AT_ONCE})
    yield from map(store.recorded, found)


def month(session: Session, org_id: str, period: str, own: Iterable[events.Recorded]) -> tuple[Walk, Iterator[Step]]:
    """
    The month's own events and what the others were told in it, one after the other.

    :param own: the ledger's, from the table or from an archive
    """
    walk = Walk(ledger.Month(org_id=org_id))
    notices = recorded(session, boundary.notice_stream(org_id))
    first: list[events.Recorded] = []
    for notice in notices:
        if _period_of(notice) >= period:
            first = [notice]
            break
        # A standstill goes on into the next month until something ends it.
        list(walk.through([notice]))
    ours = (notice for notice in chain(first, notices) if _period_of(notice) == period)
    return walk, walk.through(merge(own, ours, key=_moment))


def columns(page: boundary.Page) -> dict[str, Any]:
    """The org's row by its columns, as far as events of quota make it: `bot_limit` is in none of them."""
    month = {_COLUMN.get(name, name): value for name, value in vars(page.month).items()}
    return {**month, "ledger_version": page.ledger_version, "ledger_hash": page.ledger_hash.hex()}


_COLUMN = {"limit": "message_limit"}


def differing(stored: boundary.Page, folded: boundary.Page) -> dict[str, tuple[Any, Any]]:
    """What is stored and what the events say, of each column in which they differ."""
    theirs = columns(folded)
    return {name: (value, theirs[name]) for name, value in columns(stored).items() if value != theirs[name]}


def archived(session: Session, head: tables.Stream) -> tables.Archive:
    """:raises Refused: if it is not written down where"""
    row = session.get(tables.Archive, head.stream)
    if row is None:
        raise exits.Refused(f"{head.stream} is archived, and it is not written down where: chatness events verify")
    return row


def fact_of(event: events.Recorded) -> Any:
    try:
        return event.fact(CATALOGUE)
    except events.Unreadable as error:
        raise exits.Refused(f"{event.stream}@{event.version} is for another release: {error}") from error


def _moment(event: events.Recorded) -> tuple[Any, ...]:
    """A transaction writes its ledger first. Its own moment is that of its events; their ids know milliseconds."""
    return event.recorded_at, event.id.partition("_")[2][:10], event.stream.startswith("quota-")


def _period_of(notice: events.Recorded) -> str:
    period: str = getattr(fact_of(notice), "period", "") or boundary.period_of(notice.recorded_at)
    return period
