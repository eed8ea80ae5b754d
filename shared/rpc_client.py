"""Calling a service from a plain thread, without eventlet: for the worker and the command line."""

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

import amqp
import kombu

from shared import config, metrics, rpc_wire

BROKEN = (amqp.AMQPError, OSError)
CONNECT_SECONDS = 3.0


def check_broker(amqp_uri: str) -> None:
    """
    Before the work begins. A broker that is away says nothing against the address.

    :raises BadConfiguration: if the broker refuses us
    """
    try:
        kombu.Connection(amqp_uri, connect_timeout=CONNECT_SECONDS).transport.establish_connection().collect()
    except (amqp.AccessRefused, amqp.NotAllowed) as error:
        raise config.BadConfiguration(f"AMQP_URI: RabbitMQ refuses us: {error}") from None
    except BROKEN:
        return


class BlockingClient:
    """
    One connection, opened at the first call. Threads may share it: they call one after the other.

    A call without an answer ends the connection, and its queue with it, so that a late answer reaches nobody.
    """

    def __init__(self, amqp_uri: str) -> None:
        self._broker = kombu.Connection(amqp_uri, heartbeat=0)  # nobody would beat a heart between calls
        self._turn = threading.Lock()
        self._connection: amqp.Connection | None = None
        self._channel: amqp.Channel | None = None
        self._address = ""
        self._answers: dict[str | None, amqp.Message] = {}

    def __enter__(self) -> "BlockingClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, service: str, method: str, /, *, timeout: float, **arguments: Any) -> Any:
        """
        Call a door and wait for its answer, for `timeout` seconds at most.

        :raises ServiceError: the refusal that the service sent
        :raises Unavailable: if there is no such service, no broker, or no answer in time
        :raises RemoteBug: if the service failed in another way
        """
        called = f"{service}.{method}"
        with metrics.calling(called):
            return rpc_wire.read_reply(self._in_turn(service, called, arguments, timeout), called=called)

    def stands(self) -> bool:
        """Whether RabbitMQ lets us connect, and answers."""
        try:
            self._asked(lambda channel: channel.basic_qos(0, 0, False))  # no more than a question to be answered
        except BROKEN:
            return False
        return True

    def count_messages(self, queue: str) -> int:
        """
        How many wait in a queue; 0 if there is no such queue.

        :raises AMQPError, OSError: if RabbitMQ does not answer
        """
        try:
            return int(self._asked(lambda channel: channel.queue_declare(queue, passive=True).message_count))
        except amqp.NotFound:
            return 0

    def _asked(self, question: Callable[[amqp.Channel], Any]) -> Any:
        deadline = rpc_wire.deadline_after(CONNECT_SECONDS)
        if not self._turn.acquire(timeout=_left(deadline)):
            raise TimeoutError
        try:
            connection, channel = self._connected(deadline)
            connection.sock.settimeout(_left(deadline))
            return question(channel)
        except BROKEN:
            self._disconnect()
            self._broker.maybe_switch_next()
            raise
        finally:
            self._turn.release()

    def _in_turn(self, service: str, called: str, arguments: dict[str, Any], timeout: float) -> amqp.Message:
        deadline = rpc_wire.deadline_after(timeout)
        if not self._turn.acquire(timeout=_left(deadline)):
            raise rpc_wire.unavailable(service)
        try:
            return self._ask(called, arguments, deadline)
        except BROKEN as error:
            self._disconnect()
            self._broker.maybe_switch_next()
            raise rpc_wire.unavailable(service) from error
        finally:
            self._turn.release()

    def close(self) -> None:
        with self._turn:
            self._disconnect()

    def _ask(self, called: str, arguments: dict[str, Any], deadline: float) -> amqp.Message:
        connection, channel = self._connected(deadline)
        correlation_id = uuid.uuid4().hex
        request = rpc_wire.request(
            arguments, reply_to=self._address, correlation_id=correlation_id, deadline=deadline
        )
        # Unroutable, it comes back while we wait, and py-amqp raises that as a channel error.
        channel.basic_publish(
            request, exchange=rpc_wire.EXCHANGE, routing_key=called, mandatory=True, timeout=_left(deadline)
        )
        self._answers.clear()
        while correlation_id not in self._answers:
            connection.drain_events(timeout=_left(deadline))
        return self._answers.pop(correlation_id)

    def _connected(self, deadline: float) -> tuple[amqp.Connection, amqp.Channel]:
        if self._connection is None or not _stands(self._connection):
            self._disconnect()
            self._connect(deadline)
        return self._connection, self._channel

    def _connect(self, deadline: float) -> None:
        self._broker.connect_timeout = _left(deadline)  # type: ignore[assignment]  # py-amqp takes fractions
        self._connection = self._broker.transport.establish_connection()
        self._connection.sock.settimeout(_left(deadline))  # for each answer that py-amqp waits for by itself
        self._channel = self._connection.channel()
        self._address = uuid.uuid4().hex
        queue = f"rpc.reply-client-{self._address}"
        self._channel.exchange_declare(rpc_wire.EXCHANGE, "topic", durable=True, auto_delete=False)
        self._channel.queue_declare(queue, exclusive=True, auto_delete=True)
        self._channel.queue_bind(queue, rpc_wire.EXCHANGE, routing_key=self._address)
        self._channel.basic_consume(queue, no_ack=True, callback=self._received)

    def _received(self, message: amqp.Message) -> None:
        self._answers[message.properties.get("correlation_id")] = message

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(*BROKEN):
                self._connection.collect()
        self._connection = self._channel = None


def _stands(connection: amqp.Connection) -> bool:
    """Whether the broker still holds its end, as far as one can see without asking."""
    try:
        connection.drain_events(timeout=0)
    except TimeoutError:
        return True
    except BROKEN:
        return False
    return True


def _left(deadline: float) -> float:
    return max(0.001, deadline - time.time())
