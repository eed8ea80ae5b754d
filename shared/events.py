"""
Facts, and how they are kept: a literal name, a schema version, JSON primitives, one hash chain per stream.

An event class is a frozen dataclass with two class variables, `name` (`"billing.SubscriptionChanged"`) and
`schema` (its version, from 1). A stream is called `<kind>-<subject>` or `<kind>-<subject>-<rest>`: the subject is
the org or account that the stream is about, and what is erased with it.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from shared import clock

GENESIS = bytes(32)  # what the first link of every chain hangs on


class Event(Protocol):
    name: ClassVar[str]
    schema: ClassVar[int]
    __dataclass_fields__: ClassVar[dict[str, Any]]


Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class Unreadable(Exception):
    """This release does not understand the event: its schema is newer, or its data have another shape."""


class Catalogue:
    """
    All facts of one service, by name.

    :param public: the classes that other services may hear; the rest never leave the database
    :param upcasters: (name, schema) to a pure function that gives the data the next schema's shape
    """

    def __init__(
        self,
        service: str,
        classes: Iterable[type[Event]],
        *,
        public: Iterable[type[Event]] = (),
        upcasters: Mapping[tuple[str, int], Upcaster] | None = None,
    ) -> None:
        self.service = service
        self.classes = {event.name: event for event in classes}
        self.public = {event.name for event in public}
        self.upcasters = dict(upcasters or {})

    def decode(self, name: str, schema: int, data: dict[str, Any]) -> Any:
        """
        The fact of this release's shape.

        :raises Unreadable: for an unknown name, a newer schema or data that do not fit
        """
        event = self.classes.get(name)
        if event is None:
            raise Unreadable(f"{name} is not known to this release")
        if schema > event.schema:
            raise Unreadable(f"{name} has schema {schema}, this release knows {event.schema}")
        for step in range(schema, event.schema):
            data = self.upcasters[name, step](data)
        try:
            return event(**{key: _frozen(value) for key, value in data.items()})
        except TypeError as error:
            raise Unreadable(f"{name}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An event as it stands in its stream. `data` and `meta` are the exact bytes that were hashed."""

    stream: str
    version: int
    id: str
    name: str
    schema: int
    data: bytes
    meta: bytes
    recorded_at: datetime
    hash: bytes

    @property
    def subject(self) -> str:
        return subject_of(self.stream)

    def fact(self, catalogue: Catalogue) -> Any:
        return catalogue.decode(self.name, self.schema, json.loads(self.data))

    def follows(self, previous_hash: bytes) -> bool:
        """Whether the hash is right for this content after that predecessor."""
        return self.hash == chained(previous_hash, self)


def record(
    fact: Event, *, id: str, stream: str, version: int, meta: bytes, at: datetime, previous_hash: bytes
) -> Recorded:
    """The fact as the next link of its stream."""
    data = encode(vars(fact))
    return Recorded(
        stream=stream,
        version=version,
        id=id,
        name=fact.name,
        schema=fact.schema,
        data=data,
        meta=meta,
        recorded_at=at,
        hash=_link(
            previous_hash,
            stream=stream,
            version=version,
            id=id,
            name=fact.name,
            schema=fact.schema,
            at=at,
            data=data,
            meta=meta,
        ),
    )


def chained(previous_hash: bytes, event: Recorded) -> bytes:
    """SHA-256 over the link before and every part of this one, each part behind its length."""
    return _link(
        previous_hash,
        stream=event.stream,
        version=event.version,
        id=event.id,
        name=event.name,
        schema=event.schema,
        at=event.recorded_at,
        data=event.data,
        meta=event.meta,
    )


def _link(
    previous_hash: bytes,
    *,
    stream: str,
    version: int,
    id: str,
    name: str,
    schema: int,
    at: datetime,
    data: bytes,
    meta: bytes,
) -> bytes:
    parts = (
        stream.encode(),
        b"%d" % version,
        id.encode(),
        name.encode(),
        b"%d" % schema,
        _moment(at),
        data,
        meta,
    )
    measured = [b"%d:%b" % (len(part), part) for part in parts]
    return hashlib.sha256(b"".join([previous_hash, *measured])).digest()


@functools.lru_cache(maxsize=256)
def _moment(moment: datetime) -> bytes:
    """Events that are written together have the same."""
    return clock.rfc3339(moment).encode()


def log_hash(previous_hash: bytes, position: int, event_hash: bytes) -> bytes:
    """The chain of a service's log; the same sum stands in SQL in the function `sequence_outbox`."""
    return hashlib.sha256(previous_hash + position.to_bytes(8) + event_hash).digest()


def subject_of(stream: str) -> str:
    return stream.split("-", 2)[1]


def kind_of(stream: str) -> str:
    return stream.split("-", 1)[0]


def encode(value: Any) -> bytes:
    """JSON with one spelling: sorted keys, no spaces, UTF-8."""
    return _encode(value).encode()


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def _frozen(value: Any) -> Any:
    """Facts hold tuples where JSON has arrays, so that they can be compared and cannot be changed."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
