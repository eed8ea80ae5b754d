"""
Publishes the log to RabbitMQ: persistent, mandatory, confirmed, in batches; then moves its checkpoint.

RabbitMQ is latency, not truth. Any error means that the outcome is unknown: close, connect anew, publish again.
"""

import functools
import threading
from collections.abc import Sequence
from typing import Any

import pika
from pika.adapters.select_connection import SelectConnection
from sqlalchemy import select, text, update

from shared import database, envelope, failpoints, logs, metrics, outbox, tables, watchdog

BATCH = 100
CONFIRM_SECONDS = 10.0
log = logs.logger(__name__)


class BrokerAway(Exception):
    """RabbitMQ did not take or did not confirm a batch; what became of it is unknown."""


class Relay:
    """
    One service's log on its way to the exchange `<service>.events`.

    Several processes may have one; an advisory lock lets one publish at a time, so that order holds.
    """

    def __init__(self, home: database.Database, service: str, amqp_uri: str) -> None:
        self.database = home
        self.service = service
        self.publisher = Publisher(amqp_uri, f"{service}.events")

    def run(self) -> int:
        """
        Publish what is beyond the checkpoint; gives how many events that were.

        :raises BrokerAway: if a batch was not confirmed; the checkpoint stays before it
        """
        published = 0
        batch = BATCH
        while batch == BATCH:
            watchdog.go_on()
            batch = self._publish_batch()
            published += batch
        return published

    def close(self) -> None:
        self.publisher.close()

    def _publish_batch(self) -> int:
        # A checkpoint lost in a crash means publishing again, and consumers skip what they know.
        with self.database.begin(durable=False) as session:
            ours = "SELECT pg_try_advisory_xact_lock(hashtextextended('relay', 0))"
            if not session.scalar(text(ours)):
                return 0
            checkpoint = session.scalars(select(tables.LogHead.published)).one()
            batch = outbox.read_log(session, self.service, after=checkpoint, limit=BATCH)
            if not batch:
                return 0
            self.publisher.publish(batch)
            failpoints.reach("relay.confirmed")
            session.execute(update(tables.LogHead).values(published=batch[-1].position))
        metrics.child(metrics.PUBLISHED, self.service).inc(len(batch))
        log.debug("published", service=self.service, position=batch[-1].position, events=len(batch))
        return len(batch)


class Publisher:
    """A confirming channel on a thread of its own, so that heartbeats are answered while nobody publishes."""

    def __init__(self, amqp_uri: str, exchange: str) -> None:
        self.parameters = pika.URLParameters(amqp_uri)
        self.parameters.heartbeat = 30
        self.parameters.blocked_connection_timeout = CONFIRM_SECONDS
        self.parameters.socket_timeout = 5
        self.parameters.stack_timeout = 10
        self.exchange = exchange
        self._link: _Link | None = None

    def publish(self, batch: Sequence[envelope.Envelope]) -> None:
        """:raises BrokerAway: unless every event was confirmed"""
        try:
            if self._link is None or not self._link.usable:
                self.close()
                self._link = _Link(self.parameters, self.exchange)
                self._link.wait()
            self._link.publish(batch)
        except BrokerAway:
            self.close()
            raise

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class _Link:
    """One connection from its opening to its end. Fields are touched by its own thread, except the two events."""

    def __init__(self, parameters: pika.URLParameters, exchange: str) -> None:
        self.exchange = exchange
        self.usable = True
        self.reason = "no answer"
        self.channel: Any = None
        self.sent = 0
        self.unconfirmed: set[int] = set()
        self.settled = threading.Event()
        self.connection = SelectConnection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._failed,
            on_close_callback=self._failed,
        )
        threading.Thread(target=self._run, name=f"publisher {exchange}", daemon=True).start()

    def publish(self, batch: Sequence[envelope.Envelope]) -> None:
        self.settled.clear()
        if self.usable:  # asked after the event is cleared: a failure from now on sets it again
            self._on_its_thread(functools.partial(self._send, batch))
            self.wait()
        else:
            raise BrokerAway(self.reason)

    def close(self) -> None:
        self._on_its_thread(self._end)

    def wait(self) -> None:
        """
        Until it is open, or the batch confirmed.

        :raises BrokerAway: if it failed or took too long
        """
        if not self.settled.wait(CONFIRM_SECONDS):
            self.usable = False
        if not self.usable:
            raise BrokerAway(self.reason)

    def _run(self) -> None:
        try:
            self.connection.ioloop.start()
        finally:
            self.usable = False
            self.settled.set()
            self.connection.ioloop.close()

    def _on_its_thread(self, call: Any) -> None:
        self.connection.ioloop.add_callback_threadsafe(call)

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        self.channel = channel
        channel.add_on_close_callback(self._failed)
        channel.add_on_return_callback(self._returned)
        channel.exchange_declare(self.exchange, exchange_type="topic", durable=True, callback=self._declared)

    def _declared(self, _frame: Any) -> None:
        self.channel.confirm_delivery(self._confirmed, callback=lambda _frame: self.settled.set())

    def _send(self, batch: Sequence[envelope.Envelope]) -> None:
        if not self.usable:
            return
        try:
            for event in batch:
                self.sent += 1
                self.unconfirmed.add(self.sent)
                self.channel.basic_publish(
                    self.exchange, event.name, event.encode(), properties=_properties(event), mandatory=True
                )
        except pika.exceptions.AMQPError as error:
            self._failed(self.channel, error)

    def _confirmed(self, frame: Any) -> None:
        if isinstance(frame.method, pika.spec.Basic.Nack):
            self._failed(self.channel, "refused by the broker")
            return
        failpoints.reach("relay.published")
        tag = frame.method.delivery_tag
        self.unconfirmed = (
            {sent for sent in self.unconfirmed if sent > tag} if frame.method.multiple else (self.unconfirmed - {tag})
        )
        if not self.unconfirmed:
            self.settled.set()

    def _returned(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        # No queue is bound yet. Nothing is lost: a consumer that comes later pulls the log.
        log.debug("nobody listens", exchange=self.exchange, name=method.routing_key, event_id=properties.message_id)

    def _failed(self, _source: Any, reason: Any) -> None:
        self.usable = False
        self.reason = str(reason) or type(reason).__name__
        self.settled.set()
        self._end()

    def _end(self) -> None:
        self.usable = False
        if self.connection.is_open:
            self.connection.close()
        elif not self.connection.is_closing:
            self.connection.ioloop.stop()


def _properties(event: envelope.Envelope) -> pika.BasicProperties:
    return pika.BasicProperties(
        content_type=envelope.CONTENT_TYPE,
        delivery_mode=pika.DeliveryMode.Persistent,
        message_id=event.id,
        correlation_id=event.correlation_id,
        type=event.name,
        timestamp=int(event.time.timestamp()),
    )
