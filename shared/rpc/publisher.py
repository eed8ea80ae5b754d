"""
The connection on which a container speaks: many green threads publish through one confirming channel.

Twice as fast as nameko's pool of producers, each of which waits for the broker before it publishes again.
"""

from collections.abc import Callable
from typing import Any

import amqp
from amqp import spec
from eventlet.semaphore import Semaphore

from shared import rpc_wire
from shared.rpc import connection

Settle = Callable[[Exception | None], None]


class Undelivered(Exception):
    """The broker did not take a message, or nobody knows whether it did."""


class Publisher(connection.KeptConnection):
    def __init__(self) -> None:
        super().__init__()
        self._channel: amqp.Channel | None = None
        self._turn = Semaphore()
        self._last_tag = 0
        self._unconfirmed: dict[int, tuple[amqp.Message, Settle]] = {}

    def publish(
        self,
        message: amqp.Message,
        *,
        routing_key: str,
        settle: Settle,
        exchange: str = rpc_wire.EXCHANGE,
        mandatory: bool = False,
    ) -> None:
        """
        Hand a message to an exchange.

        :param settle: called once, in another green thread: with None when the broker has it, else with the reason
        :raises Undelivered: if there is no connection
        """
        with self._turn:  # confirms are counted in the order of the frames
            if self._channel is None:
                raise Undelivered("no connection")
            self._last_tag += 1
            self._unconfirmed[self._last_tag] = (message, settle)
            try:
                # Not basic_publish, which reads the socket first, to learn of a blocked connection.
                arguments = (0, exchange, routing_key, mandatory, False)
                self._channel.send_method(spec.Basic.Publish, "Bssbb", arguments, message)
            except BaseException as error:
                self.abandon()  # half a frame may be out, and nothing may follow it
                if isinstance(error, connection.BROKEN):
                    raise Undelivered(str(error)) from error
                raise

    def opened(self, connection: amqp.Connection) -> None:
        channel = connection.channel()
        channel.exchange_declare(rpc_wire.EXCHANGE, "topic", durable=True, auto_delete=False)
        channel.confirm_select()
        channel.events["basic_ack"].add(self._acked)
        channel.events["basic_nack"].add(self._nacked)
        channel.events["basic_return"].add(self._returned)
        self._last_tag = 0
        self._channel = channel

    def lost(self) -> None:
        self._channel = None
        self._settle(self._last_tag, True, Undelivered("connection lost"))

    def _acked(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple, None)

    def _nacked(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple, Undelivered("refused by the broker"))

    def _returned(self, error: Exception, _exchange: str, _routing_key: str, returned: amqp.Message) -> None:
        correlation_id = returned.properties.get("correlation_id")
        for tag, (message, _) in self._unconfirmed.items():
            if message.properties.get("correlation_id") == correlation_id:
                return self._settle(tag, False, Undelivered(str(error)))
        return None

    def _settle(self, tag: int, multiple: bool, outcome: Exception | None) -> None:
        tags = [earlier for earlier in self._unconfirmed if earlier <= tag] if multiple else [tag]
        for each in tags:
            _, settle = self._unconfirmed.pop(each, (None, _ignore))
            settle(outcome)


class ForeignPublisher(Publisher):
    """
    Answers to foreign callers, on a connection of their own: one who has deleted its exchange costs the connection
    on which the answer goes out.
    """


def _ignore(_outcome: Any) -> None:
    """A returned message is settled before its confirm arrives."""
