"""The command line's look at RabbitMQ, over AMQP alone: there may be no management plugin."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pika
import pika.exceptions

ANSWER_SECONDS = 3
ALARM_SECONDS = 2
AWAY = (pika.exceptions.AMQPError, OSError)
NOWHERE = "chatness-doctor-asks"  # no queue has this name, so what is sent there is dropped


@dataclass(frozen=True)
class Queue:
    """:param ready: messages that wait; those that a consumer holds are not among them"""

    name: str
    ready: int
    consumers: int


@contextlib.contextmanager
def connected(amqp_uri: str) -> Iterator[pika.BlockingConnection]:
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # what fails is said by us, in one line
    parameters = pika.URLParameters(amqp_uri)
    parameters.connection_attempts = 1
    parameters.socket_timeout = ANSWER_SECONDS
    parameters.stack_timeout = ANSWER_SECONDS
    parameters.blocked_connection_timeout = ALARM_SECONDS
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection
    finally:
        with contextlib.suppress(*AWAY):
            connection.close()


def look_at(connection: pika.BlockingConnection, name: str) -> Queue | None:
    """A queue as it is; None if there is no such queue."""
    channel = connection.channel()  # asked in vain, the broker closes it
    try:
        found = channel.queue_declare(name, passive=True).method
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == 404:
            return None
        raise
    channel.close()
    return Queue(name, found.message_count, found.consumer_count)


def has_exchange(connection: pika.BlockingConnection, name: str) -> bool:
    channel = connection.channel()  # asked in vain, the broker closes it
    try:
        channel.exchange_declare(name, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        if error.reply_code == 404:
            return False
        raise
    channel.close()
    return True


def takes_messages(amqp_uri: str) -> bool:
    """
    Send messages that nobody gets, and wait until they are confirmed: with an alarm for memory or disk they are not.

    Two, because a broker stops a connection only after it has published.
    """
    try:
        with connected(amqp_uri) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for _ in range(2):
                channel.basic_publish("", NOWHERE, b"")
    except pika.exceptions.ConnectionBlockedTimeout:
        return False
    return True


def reason_of(error: BaseException) -> str:
    """One line for a person; pika's errors often say nothing but their name."""
    if isinstance(error, pika.exceptions.ProbableAuthenticationError | pika.exceptions.ProbableAccessDeniedError):
        return "it refuses our user"
    return type(error).__name__
