"""The kernel's tables, the same in every service's database. Their one migration line is `shared/migrations`."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, LargeBinary, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

TYPES = {
    datetime: DateTime(timezone=True),
    bytes: LargeBinary,
    int: BigInteger,
    str: Text,
    dict[str, Any]: JSONB,
    list[str]: JSONB,
}


class Kernel(DeclarativeBase):
    metadata = MetaData()
    type_annotation_map = TYPES


class Event(Kernel):
    """Insert only: a trigger refuses UPDATE and DELETE. `data` and `meta` are the bytes that were hashed."""

    __tablename__ = "events"

    stream: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    schema: Mapped[int]
    data: Mapped[bytes]
    meta: Mapped[bytes]
    recorded_at: Mapped[datetime]
    hash: Mapped[bytes]


EVENT_TEXTS = ("data", "meta")  # JSON, and so UTF-8


class Stream(Kernel):
    """One row per stream: its head. Appending locks it. Of an erased or archived stream only this row is left."""

    __tablename__ = "streams"

    stream: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
    hash: Mapped[bytes]
    erased_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]


class Snapshot(Kernel):
    """A folded state. Each release has its own fold version, so that two can run side by side."""

    __tablename__ = "snapshots"

    stream: Mapped[str] = mapped_column(primary_key=True)
    fold_version: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int]
    state: Mapped[bytes]


class Outbox(Kernel):
    """Public events that have no place in the log yet."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    stream: Mapped[str]
    version: Mapped[int]
    event_hash: Mapped[bytes]


class Log(Kernel):
    """Public events in one dense order: the truth that consumers follow."""

    __tablename__ = "log"

    position: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[str]
    stream: Mapped[str]
    version: Mapped[int]
    event_hash: Mapped[bytes]
    hash: Mapped[bytes]
    sequenced_at: Mapped[datetime]


class LogHead(Kernel):
    """The one row that the sequencer locks, and how far the relay has published."""

    __tablename__ = "log_head"

    one: Mapped[bool] = mapped_column(primary_key=True)
    epoch: Mapped[str]
    position: Mapped[int]
    hash: Mapped[bytes]
    published: Mapped[int]


class Inbox(Kernel):
    """
    How far this service has applied a producer's log. `attempting` and `attempts` are written before a try, so that
    a handler that kills its process is counted too.
    """

    __tablename__ = "inbox"

    producer: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[str]
    position: Mapped[int]
    hash: Mapped[bytes]
    attempting: Mapped[int]
    attempts: Mapped[int]


class InboxStream(Kernel):
    """The last version applied of each source stream: an event is applied once, wherever it comes from."""

    __tablename__ = "inbox_streams"

    producer: Mapped[str] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]


class Parked(Kernel):
    """
    Events that could not be applied, and those behind them in the same stream, in order. `unreadable`: this release
    does not understand it, and a later one will try by itself.
    """

    __tablename__ = "parked"

    producer: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    stream: Mapped[str]
    version: Mapped[int]
    name: Mapped[str]
    envelope: Mapped[bytes]
    reason: Mapped[str]
    parked_at: Mapped[datetime]
    unreadable: Mapped[bool]


class Discarded(Kernel):
    """
    Parked events that operations decided to pass over: which, who, and why. `replay_id`: the replay that has applied
    it after all.
    """

    __tablename__ = "discarded"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    producer: Mapped[str]
    position: Mapped[int]
    stream: Mapped[str]
    version: Mapped[int]
    event_id: Mapped[str]
    name: Mapped[str]
    reason: Mapped[str]
    actor: Mapped[str]
    discarded_at: Mapped[datetime]
    replay_id: Mapped[int | None]


class Replay(Kernel):
    """
    A selection of a producer's events that operations had applied: who, why, and how far it came. Where one has not
    ended that has the same selection, known by its sum, the next one ends it and takes over its position.
    """

    __tablename__ = "replays"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    producer: Mapped[str]
    mode: Mapped[str]
    selection: Mapped[bytes]
    events: Mapped[int]
    applied: Mapped[int]
    position: Mapped[int]
    actor: Mapped[str]
    reason: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class Archive(Kernel):
    """The file in which an archived stream's events are kept, by its name and sum, and who had them put there."""

    __tablename__ = "archives"

    stream: Mapped[str] = mapped_column(primary_key=True)
    file: Mapped[str]
    sha256: Mapped[bytes]
    actor: Mapped[str]
    archived_at: Mapped[datetime]


class Repair(Kernel):
    """A row of state that operations set to what the events say: the columns that differed, who, and why."""

    __tablename__ = "repairs"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    relation: Mapped[str]
    key: Mapped[str]
    stored: Mapped[dict[str, Any]]
    folded: Mapped[dict[str, Any]]
    actor: Mapped[str]
    reason: Mapped[str]
    repaired_at: Mapped[datetime]


class Command(Kernel):
    """The memory that makes a retry harmless: ids only, no bodies, for 24 hours."""

    __tablename__ = "commands"

    actor: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    outcome: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Job(Kernel):
    """
    Something to do outside the database. State is waiting, running, done, failed or cancelled; what is done or
    cancelled has lost its payload.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]
    state: Mapped[str]
    payload: Mapped[dict[str, Any] | None]
    attempts: Mapped[int]
    due_at: Mapped[datetime]
    last_error: Mapped[str]
    created_at: Mapped[datetime]


class Process(Kernel):
    """
    Who is at work on this service. `beat_at` is the database's clock and `machine_at` the process's own, both at its
    last sign of life.
    """

    __tablename__ = "processes"

    id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    release: Mapped[str]
    started_at: Mapped[datetime]
    beat_at: Mapped[datetime]
    machine_at: Mapped[datetime]
    away: Mapped[list[str]]


class Personal(Kernel):
    """Names, addresses and other free text, by the id and version that events refer to. Erasing deletes the rows."""

    __tablename__ = "personal"

    id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    data: Mapped[dict[str, Any]]


class Erased(Kernel):
    """Ids that are gone for good."""

    __tablename__ = "erased"

    id: Mapped[str] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime]


class Suspended(Kernel):
    """
    Orgs that operators have suspended, until they are restored or erased: see `shared.suspensions`.

    :param cause: as the event says it
    """

    __tablename__ = "suspended"

    org_id: Mapped[str] = mapped_column(primary_key=True)
    cause: Mapped[str]
    suspended_at: Mapped[datetime]


class ReadModels(Kernel):
    """Which version of the read models stands in this database."""

    __tablename__ = "read_models"

    service: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int]
