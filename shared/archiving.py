"""
A stream's events in a compressed file instead of the table: written, read again to the stream's head, then dropped.

What stays is the stream's row with its count and head hash, so that the file can be proven at any time. Each step may
be killed: a file appears under its name only when it is whole, and events go in the transaction that says where to.
"""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from shared import bulk, clock, events, store, tables

ROWS_AT_ONCE = 1000


class Unfit(Exception):
    """The file is not what the stream's head says it should be; the message says where."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """How many events a stream has, and the hash that it ends with."""

    stream: str
    version: int
    hash: bytes


def head_of(row: tables.Stream) -> Head:
    return Head(stream=row.stream, version=row.version, hash=row.hash)


def write(session: Session, head: Head, path: Path) -> None:
    """
    The stream's events up to its head, one JSON document a line.

    :raises OSError: if the file cannot be written; then what stood there stands there still
    """
    wanted = select(*tables.Event.__table__.columns).where(
        tables.Event.stream == head.stream, tables.Event.version <= head.version
    )
    found: Any = session.execute(wanted.order_by(tables.Event.version), execution_options={"yield_per": ROWS_AT_ONCE})
    draft = path.with_name(f".{path.name}.part")
    with draft.open("wb") as file:
        # No name and no moment inside: the same events give the same file.
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            for row in found:
                packed.write(_line(store.recorded(row)))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _settle(path.parent)


def read(path: Path, head: Head) -> Iterator[events.Recorded]:
    """
    The events in the file, each proven by its hash, and the last by the stream's head.

    :raises Unfit: at the first that does not fit
    """
    version, hash = 0, events.GENESIS
    for event in _events(path):
        if (event.stream, event.version) != (head.stream, version + 1) or not event.follows(hash):
            raise Unfit(f"{path.name}: line {version + 1} is not version {version + 1} of {head.stream}")
        version, hash = event.version, event.hash
        yield event
    if (version, hash) != (head.version, head.hash):
        raise Unfit(f"{path.name}: ends at version {version}, and {head.stream} at {head.version} with another hash")


def prove(path: Path, head: Head) -> None:
    """:raises Unfit: if the file is not the whole stream"""
    for _event in read(path, head):
        pass


def sum_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def drop(session: Session, head: Head, path: Path, *, actor: str) -> int:
    """
    Take the events out of the table, and write down which file has them. The file is proven before.

    :raises IntegrityError: by PostgreSQL's own rule, if the stream does not end at this head
    """
    given = {"file": path.name, "sum": sum_of(path), "actor": actor, **vars(head)}
    session.execute(text("SET LOCAL statement_timeout TO 0"))
    dropped: int = session.scalars(_DROP, given).one()
    return dropped


def restore(session: Session, head: Head, path: Path) -> int:
    """
    Put an archived stream's events back into the table; gives how many. Nothing is put back of a file that is unfit.

    :raises Unfit: if the file is not the whole stream, or the stream is not archived, or erased by now
    """
    session.execute(text("SET LOCAL statement_timeout TO 0"))
    locked = select(tables.Stream).where(tables.Stream.stream == head.stream).with_for_update()
    row = session.scalar(locked, execution_options={"populate_existing": True})
    if row is None or row.archived_at is None or row.erased_at is not None:
        raise Unfit(f"{head.stream} is not archived")
    found = read(path, head)
    restored = 0
    while batch := list(islice(found, ROWS_AT_ONCE)):
        bulk.run(session, bulk.insert(tables.Event, [vars(event) for event in batch], texts=tables.EVENT_TEXTS))
        restored += len(batch)
    ours = tables.Stream.stream == head.stream
    session.execute(update(tables.Stream).where(ours).values(archived_at=None))
    session.execute(delete(tables.Archive).where(tables.Archive.stream == head.stream))
    return restored


_DROP = text("SELECT archive_stream(:stream, :version, :hash, :file, :sum, :actor)")


def _line(event: events.Recorded) -> bytes:
    """`data` and `meta` as text and not as JSON: their bytes are what was hashed."""
    document = {
        **vars(event),
        "data": event.data.decode(),
        "meta": event.meta.decode(),
        "recorded_at": clock.rfc3339(event.recorded_at),
        "hash": event.hash.hex(),
    }
    return events.encode(document) + b"\n"


def _events(path: Path) -> Iterator[events.Recorded]:
    try:
        with gzip.open(path) as lines:
            for line in lines:
                yield _recorded(json.loads(line))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not readable as an archive"
        raise Unfit(f"{path.name}: {reason}") from error


def _recorded(document: dict[str, Any]) -> events.Recorded:
    return events.Recorded(
        **{
            **document,
            "data": document["data"].encode(),
            "meta": document["meta"].encode(),
            "recorded_at": clock.parse(document["recorded_at"]),
            "hash": bytes.fromhex(document["hash"]),
        }
    )


def _settle(folder: Path) -> None:
    """A file's name is on the disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
