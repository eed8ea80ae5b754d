"""
What became of every event: written, sequenced, published, delivered, applied. It names the first difference.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pika
import pika.exceptions
from sqlalchemy import select, text

from shared import database, envelope, events, tables, verification

Place = tuple[str, int]  # a stream and a version in it


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """
    :param home: the database of the service that listens
    :param effects: what its handlers did, in the order in which they did it; None where only the inbox tells
    :param handled: the names of the events that have a handler
    """

    service: str
    home: database.Database
    handled: frozenset[str]
    effects: Callable[[], Sequence[Place]] | None = None


@dataclass(frozen=True, kw_only=True)
class History:
    """
    One producer's public events, and those who listen to them.

    :param delivered: how often the broker has given each position; None where nobody has counted
    """

    producer: str
    home: database.Database
    catalogue: events.Catalogue
    consumers: Sequence[Consumer]
    delivered: Callable[[], Mapping[int, int]] | None = None

    def first_difference(self) -> str | None:
        """In words, or None if every event went all the way, once, and in the order of its stream."""
        written = _written(self.home, self.catalogue.public)
        return next(self._differences(written), None)

    def settle(self, *, seconds: float = 30.0) -> None:
        """:raises AssertionError: with the first difference, if there still is one after that time"""
        deadline = time.monotonic() + seconds
        while difference := self.first_difference():
            assert time.monotonic() < deadline, difference
            time.sleep(0.05)

    def _differences(self, written: "list[_Written]") -> Iterator[str]:
        yield from _order_faults(written)
        published = _published(self.home)
        delivered = self.delivered() if self.delivered else None
        for event in written:
            if event.position is None:
                yield f"{event}: written, never sequenced"
            elif event.position > published:
                yield f"{event}: sequenced at {event.position}, never published (the checkpoint is {published})"
            elif delivered is not None and not delivered.get(event.position):
                yield f"{event}: published at {event.position}, never delivered"
        for consumer in self.consumers:
            yield from self._faults_of(consumer, written)
        yield from verification.verify(self.home, self.catalogue).faults.values()

    def _faults_of(self, consumer: Consumer, written: "list[_Written]") -> Iterator[str]:
        with consumer.home.begin() as session:
            place = session.get(tables.Inbox, self.producer)
            parked = session.scalars(select(tables.Parked).where(tables.Parked.producer == self.producer)).all()
            seen = select(tables.InboxStream).where(tables.InboxStream.producer == self.producer)
            versions = {row.stream: row.version for row in session.scalars(seen)}
        for event in parked:
            yield f"{event.name} {event.stream}@{event.version}: parked by {consumer.service}: {event.reason}"
        position = place.position if place else 0
        expected = [event for event in written if event.name in consumer.handled]
        for event in written:
            if event.position is not None and event.position > position:
                yield f"{event}: at {event.position} in the log, {consumer.service} has applied up to {position}"
        for event in expected:
            if event.version > versions.get(event.stream, 0):
                yield f"{event}: passed over by {consumer.service}"
        if consumer.effects is not None:
            yield from _effect_faults(consumer.service, consumer.effects(), expected)


@dataclass(frozen=True)
class _Written:
    stream: str
    version: int
    name: str
    position: int | None

    def __str__(self) -> str:
        return f"{self.name} {self.stream}@{self.version}"


def _written(home: database.Database, public: set[str]) -> list[_Written]:
    statement = """
    SELECT events.stream, events.version, events.name, log.position
    FROM events LEFT JOIN log USING (stream, version) WHERE events.name = ANY(:public)
    ORDER BY log.position NULLS LAST, events.stream, events.version
    """
    with home.begin() as session:
        return [_Written(*row) for row in session.execute(text(statement), {"public": list(public)})]


def _published(home: database.Database) -> int:
    with home.begin() as session:
        return session.scalars(select(tables.LogHead.published)).one()


def _order_faults(written: list[_Written]) -> Iterator[str]:
    """Whether the log keeps the order of each stream."""
    last: dict[str, int] = {}
    for event in written:
        if event.position is not None and last.get(event.stream, 0) >= event.version:
            yield f"{event}: in the log behind version {last[event.stream]} of its stream"
        last[event.stream] = event.version


def _effect_faults(service: str, effects: Sequence[Place], expected: list[_Written]) -> Iterator[str]:
    counts = Counter(effects)
    for event in expected:
        times = counts.pop((event.stream, event.version), 0)
        if times != 1:
            yield f"{event}: {'never applied' if not times else f'applied {times} times'} by {service}"
    for stream, version in counts:
        yield f"{stream}@{version}: applied by {service}, never written"
    last: dict[str, int] = {}
    for stream, version in effects:
        if version < last.get(stream, 0):
            yield f"{stream}@{version}: applied by {service} after version {last[stream]}"
        last[stream] = version


@dataclass
class Tap:
    """
    A listener of the tests' own: a queue like a consumer's, whose deliveries are counted by position.

    Opened before anything is published, so that whatever was confirmed must have come by.
    """

    exchange: str
    uri: str
    counts: Counter[int] = field(default_factory=Counter)
    opened: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> "Tap":
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)
        self._thread.start()
        assert self.opened.wait(30)
        return self

    def stop(self) -> None:
        self.stopping.set()
        if self._thread:
            self._thread.join(10)

    def _run(self) -> None:
        while not self.stopping.is_set():
            with suppress(pika.exceptions.AMQPError, OSError):
                self._listen()
            self.stopping.wait(0.2)

    def _listen(self) -> None:
        parameters = pika.URLParameters(self.uri)
        parameters.socket_timeout = parameters.blocked_connection_timeout = 5
        connection = pika.BlockingConnection(parameters)
        try:
            channel = connection.channel()
            channel.exchange_declare(self.exchange, exchange_type="topic", durable=True)
            queue = f"tap.{self.exchange}"
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
            channel.queue_bind(queue, self.exchange, "#")
            channel.basic_qos(prefetch_count=100)
            channel.basic_consume(queue, self._heard)
            self.opened.set()
            while not self.stopping.is_set():
                connection.process_data_events(time_limit=0.2)
        finally:
            if connection.is_open:
                connection.close()

    def _heard(self, channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        with suppress(ValueError):
            self.counts[envelope.decode(body).position] += 1
        channel.basic_ack(method.delivery_tag)
