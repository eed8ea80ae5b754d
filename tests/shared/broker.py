"""What the tests do to a broker from outside: look into queues, and put things there that do not belong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.shared import kernel


@contextmanager
def channel(amqp_uri: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(amqp_uri))
    try:
        yield connection.channel()
    finally:
        connection.close()


def listen(to: BlockingChannel, exchange: str = "counting.events", **arguments: Any) -> str:
    """The name of a queue that lives as long as the channel, and gets all that the exchange gets from now on."""
    to.exchange_declare(exchange, exchange_type="topic", durable=True)
    queue: str = to.queue_declare("", exclusive=True, arguments=arguments).method.queue
    to.queue_bind(queue, exchange, "#")
    return queue


def receive(channel: BlockingChannel, queue: str, wanted: int) -> list[tuple[Any, Any, bytes]]:
    """The next messages, waited for: (method, properties, body) of each."""
    found: list[tuple[Any, Any, bytes]] = []

    def have_all() -> bool:
        while len(found) < wanted and (message := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append(message)
        return len(found) == wanted

    kernel.eventually(have_all, f"{wanted} messages in {queue}, got {len(found)}")
    return found
