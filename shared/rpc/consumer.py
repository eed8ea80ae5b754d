"""The connection on which a container hears: its calls, the answers to its own calls, and broadcasts."""

from functools import partial
from typing import Any, Protocol

import amqp
import kombu

from shared import logs, rpc_wire
from shared.rpc import connection

log = logs.logger(__name__)


class Subscriber(Protocol):
    """Whoever hears. All of it runs in the connection's reader and must not wait for anything."""

    no_ack: bool

    def new_queue(self) -> kombu.Queue:
        """The queue to declare and to hear from, asked for at each connection."""

    def subscribed(self, queue: kombu.Queue) -> None:
        """From now on nothing is missed."""

    def received(self, message: amqp.Message) -> None: ...

    def unsubscribed(self) -> None:
        """The connection is lost."""


class Consumer(connection.KeptConnection):
    def __init__(self) -> None:
        super().__init__()
        self._subscribers: list[Subscriber] = []
        self._tags: dict[Subscriber, str] = {}
        self._channel: amqp.Channel | None = None

    def register_provider(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def unregister_provider(self, subscriber: Subscriber) -> None:
        """Hear no more from its queue. The connection stays, for the acknowledgements of what is still running."""
        self._subscribers.remove(subscriber)
        if self._channel is not None and subscriber in self._tags:
            try:
                self._channel.basic_cancel(self._tags[subscriber], nowait=True)
            except connection.BROKEN:
                self.abandon()

    def serves(self, subscriber: Subscriber) -> bool:
        return subscriber in self._subscribers

    def opened(self, connection: amqp.Connection) -> None:
        channel = connection.channel()
        prefetch = self.container.config.get("prefetch") or self.container.max_workers
        channel.basic_qos(0, prefetch, a_global=False)
        self._channel = channel
        for subscriber in self._subscribers:
            self._subscribe(subscriber, channel)

    def lost(self) -> None:
        self._channel = None
        self._tags.clear()
        for subscriber in self._subscribers:
            subscriber.unsubscribed()

    def read_or_reject(self, message: amqp.Message, content_type: str) -> dict[str, Any] | None:
        """The JSON object in a message, or None after it was dropped because there is none."""
        try:
            return rpc_wire.read(message, content_type)
        except rpc_wire.Unreadable as fault:
            self.drop(message, str(fault))
            return None

    def drop(self, message: amqp.Message, reason: str) -> None:
        """Reject a message for good, and log what it is without what it says."""
        log.warning(
            "message dropped",
            reason=reason,
            message_id=message.properties.get("message_id"),
            routing_key=message.delivery_info["routing_key"],
            size=len(message.body),
        )
        self._settle(message, message.channel.basic_reject, requeue=False)

    def ack(self, message: amqp.Message) -> None:
        self._settle(message, message.channel.basic_ack)

    def requeue(self, message: amqp.Message) -> None:
        self._settle(message, message.channel.basic_reject, requeue=True)

    def _subscribe(self, subscriber: Subscriber, channel: amqp.Channel) -> None:
        queue = subscriber.new_queue()(channel)
        queue.declare()
        callback = partial(self._received, subscriber)
        self._tags[subscriber] = channel.basic_consume(queue.name, no_ack=subscriber.no_ack, callback=callback)
        subscriber.subscribed(queue)

    def _received(self, subscriber: Subscriber, message: amqp.Message) -> None:
        if self.serves(subscriber):
            subscriber.received(message)
        elif not subscriber.no_ack:
            self.requeue(message)

    def _settle(self, message: amqp.Message, settle: Any, **how: Any) -> None:
        try:
            settle(message.delivery_tag, **how)
        except connection.BROKEN:
            # The broker takes back what was delivered on a connection that is lost. A connection that still stands
            # may hold half a frame now, so it must go.
            if message.channel is self._channel:
                self.abandon()
