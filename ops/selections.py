"""Which events of a producer's log are meant: by filters, or by a file of envelopes that is held against the log."""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.orm import Session

from ops import exits
from shared import database, envelope, outbox, tables

BATCH = 500

Item = TypeVar("Item")


class Row(NamedTuple):
    """One event of a log, without its content. `hash` is the log's up to it."""

    position: int
    stream: str
    version: int
    name: str
    time: datetime
    hash: bytes


@dataclass(frozen=True, kw_only=True)
class Filters:
    """
    What an event must fit, all of them at once; where nothing is said, everything fits.

    :param names: `*` and `?` stand for any characters and for one; so they do in `streams`
    :param subjects: orgs and accounts that streams are about
    :param since: by the moment at which the event was recorded; `until` is the first moment that is too late
    :param first: by the place in the log; `last` is included
    """

    names: Collection[str] = ()
    streams: Collection[str] = ()
    subjects: Collection[str] = ()
    ids: Collection[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    first: int | None = None
    last: int | None = None


def select_rows(log: database.Database, filters: Filters) -> list[Row]:
    """In the order of the log."""
    with log.begin() as session:
        return _rows(session, *_conditions(filters))


def rows_of_streams(log: database.Database, streams: Collection[str], *, after: int, upto: int) -> list[Row]:
    """All of these streams between two positions, the second included."""
    between = (tables.Log.position > after) & (tables.Log.position <= upto)
    with log.begin() as session:
        return _rows(session, between, tables.Log.stream == func.any(list(streams)))


def sum_of(rows: Iterable[Row]) -> bytes:
    """Tells one selection from another, and from one of the same places in another life of the log."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row.position.to_bytes(8) + row.hash)
    return digest.digest()


def write_file(path: Path, log: database.Database, producer: str, rows: Sequence[Row]) -> None:
    """One envelope a line; the file is there as a whole or not at all."""
    try:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
            try:
                for event in _envelopes(log, producer, rows):
                    draft.write(event.encode() + b"\n")
                draft.flush()
                os.fsync(draft.fileno())
                os.replace(draft.name, path)
            except BaseException:
                Path(draft.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise exits.Refused(f"{path} cannot be written: {error.strerror}") from error


def read_file(path: Path, log: database.Database, producer: str) -> list[Row]:
    """
    What the file names, each once, in the order of the log.

    :raises NotThere: if there is no such file
    :raises Refused: for the first line that is not exactly an event of the producer's log
    """
    found: dict[int, Row] = {}
    with _opened(path) as lines:
        for batch in _batches(_numbered(path, lines)):
            with log.begin() as session:
                logged = {event.position: event for event in _logged(session, producer, batch)}
            for number, event in batch:
                _check(f"{path}, line {number}", event, logged.get(event.position), producer)
                found[event.position] = _row(event)
    return [found[position] for position in sorted(found)]


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise exits.NotThere(f"{path}: {error.strerror}") from error


def _numbered(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[int, envelope.Envelope]]:
    for number, line in enumerate(lines, start=1):
        try:
            yield number, envelope.decode(line)
        except ValueError as error:
            raise exits.Refused(f"{path}, line {number}: {error}") from error


def _logged(
    session: Session, producer: str, batch: Iterable[tuple[int, envelope.Envelope]]
) -> list[envelope.Envelope]:
    return outbox.read_at(session, producer, {event.position for _number, event in batch})


def _check(where: str, event: envelope.Envelope, logged: envelope.Envelope | None, producer: str) -> None:
    if event.producer != producer:
        raise exits.Refused(f"{where}: it is an event of {event.producer}, not of {producer}")
    if logged is None:
        raise exits.Refused(f"{where}: {producer}'s log has nothing at {event.position}")
    if event != logged:
        raise exits.Refused(f"{where}: it is not the event that {producer}'s log has at {event.position}")


def _row(event: envelope.Envelope) -> Row:
    return Row(event.position, event.stream, event.version, event.name, event.time, bytes.fromhex(event.hash))


def _envelopes(log: database.Database, producer: str, rows: Sequence[Row]) -> Iterator[envelope.Envelope]:
    for batch in _batches(rows):
        with log.begin() as session:
            yield from outbox.read_at(session, producer, [row.position for row in batch])


def _batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    source = iter(items)
    while batch := list(islice(source, BATCH)):
        yield batch


def _rows(session: Session, *conditions: ColumnElement[bool]) -> list[Row]:
    columns = (tables.Log.position, tables.Log.stream, tables.Log.version)
    joined = (
        select(*columns, tables.Event.name, tables.Event.recorded_at, tables.Log.hash)
        .join(tables.Event, (tables.Event.stream == tables.Log.stream) & (tables.Event.version == tables.Log.version))
        .where(*conditions)
        .order_by(tables.Log.position)
    )
    session.execute(text("SET LOCAL statement_timeout TO 0"))
    return [Row(*row) for row in session.execute(joined, execution_options={"yield_per": BATCH})]


def _conditions(filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.names:
        yield _like(tables.Event.name, filters.names)
    if filters.streams:
        yield _like(tables.Log.stream, filters.streams)
    if filters.subjects:
        yield func.split_part(tables.Log.stream, "-", 2).in_(filters.subjects)
    if filters.ids:
        yield tables.Event.id.in_(filters.ids)
    if filters.since is not None:
        yield tables.Event.recorded_at >= filters.since
    if filters.until is not None:
        yield tables.Event.recorded_at < filters.until
    if filters.first is not None:
        yield tables.Log.position >= filters.first
    if filters.last is not None:
        yield tables.Log.position <= filters.last


def _like(column: Any, patterns: Iterable[str]) -> ColumnElement[bool]:
    escaped = str.maketrans({"\\": r"\\", "%": r"\%", "_": r"\_", "*": "%", "?": "_"})
    return or_(*(column.like(pattern.translate(escaped), escape="\\") for pattern in patterns))
