"""
Follows one producer: listens to its events on RabbitMQ, and pulls from its log whatever it has missed.

kombu on a plain thread. One quorum queue with a single active consumer; a message is acknowledged after the
transaction that applied it.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import kombu
from kombu.exceptions import OperationalError as BrokerError
from kombu.transport.pyamqp import Transport

from shared import context, database, envelope, errors, inbox, logs, metrics, rpc_client, rpc_wire, store, watchdog

PREFETCH = 100
SILENCE_SECONDS = 60.0
ANSWER_SECONDS = 10  # without a limit, a quorum queue that finds no leader would hold us for ever
PULL_BATCH = 100
PULL_TIMEOUT_SECONDS = 5.0
DELIVERY_LIMIT = 20
MAX_BACKOFF_SECONDS = 5.0
DEAD_LETTERS = "dead-letters"
INTERNAL_ERROR = 541  # AMQP's; what RabbitMQ says of a queue without a leader, where it says anything
FUTILE_TRIES = 2  # after so many the queue is taken for broken, and made anew
DELETE_SECONDS = 20  # RabbitMQ waits 5 s for a leader before it deletes without one
log = logs.logger(__name__)

AWAY = (BrokerError, OSError, *Transport.connection_errors, *Transport.channel_errors)


class Consumer:
    """One service listening to one producer, until it is told to stop."""

    def __init__(self, box: inbox.Inbox, amqp_uri: str) -> None:
        self.inbox = box
        self.amqp_uri = amqp_uri
        self.client = rpc_client.BlockingClient(amqp_uri)
        self.connected = threading.Event()
        self._waiting: list[Any] = []
        self._futile_tries = 0  # how often in a row the broker was there, and would not let us listen
        self._pull_at = 0.0  # when to ask the producer next, on the monotonic clock
        self._failed_pulls = 0

    @property
    def name(self) -> str:
        return f"{self.inbox.service}.from.{self.inbox.producer}"

    def run(self, stopping: threading.Event) -> None:
        failures = 0
        while not stopping.is_set():
            watchdog.go_on()
            try:
                self._follow(stopping)
            except inbox.Diverged as error:
                log.critical("log diverged; restore or reset the consumer", consumer=self.name, reason=str(error))
                stopping.wait(SILENCE_SECONDS)
            except (*AWAY, *database.TRANSIENT, store.VersionConflict) as error:
                failures = 1 if self.connected.is_set() else failures + 1
                log.warning("a part is away", consumer=self.name, error=type(error).__name__)
                metrics.work_failed(self.name, "away")
                stopping.wait(backoff_seconds(failures))
            except Exception:
                failures = 1 if self.connected.is_set() else failures + 1
                log.exception("consumer failed", consumer=self.name)
                metrics.work_failed(self.name, "bug")
                stopping.wait(backoff_seconds(failures))
            finally:
                self.connected.clear()
        self.client.close()

    def _follow(self, stopping: threading.Event) -> None:
        """Listen first, then catch up, so that nothing falls between."""
        self._waiting = []
        # Before a message is touched: while our database is away, or the log diverged, messages would only use up
        # their deliveries.
        self._pull()
        if self._futile_tries >= FUTILE_TRIES:
            self._remove_queue()
        with self._broker(ANSWER_SECONDS) as connection:
            channel = connection.channel()
            queue = declare(channel, self.inbox.service, self.inbox.producer)
            consumer = kombu.Consumer(
                channel,
                [queue],
                on_message=self._received,
                on_decode_error=self._undecodable,
                accept=None,
                prefetch_count=PREFETCH,
            )
            self._subscribe(consumer)
            with consumer:
                self._pull_at = time.monotonic()
                self.connected.set()
                self._listen(connection, stopping)

    def _subscribe(self, consumer: kombu.Consumer) -> None:
        try:
            consumer.consume()
        except AWAY as error:
            if isinstance(error, TimeoutError) or getattr(error, "code", None) == INTERNAL_ERROR:
                self._futile_tries += 1
            raise
        self._futile_tries = 0

    @contextmanager
    def _broker(self, answer_seconds: float) -> Iterator[kombu.Connection]:
        connection = kombu.Connection(
            self.amqp_uri, heartbeat=30, connect_timeout=5, transport_options={"read_timeout": answer_seconds}
        )
        try:
            yield connection
        except BaseException:
            connection.collect()  # without a farewell, to which there may be no answer either
            raise
        connection.release()

    def _remove_queue(self) -> None:
        """
        A quorum queue whose node died within half a second of declaring it stays without a leader for good: it can
        be declared, but not consumed from, and what is published to it is refused. What was in it is in the log.
        """
        self._futile_tries = 0
        log.error("queue is broken; deleting it", consumer=self.name)
        with self._broker(DELETE_SECONDS) as connection:
            connection.channel().queue_delete(self.name)

    def _listen(self, connection: Any, stopping: threading.Event) -> None:
        while not stopping.is_set():
            watchdog.go_on()
            wait_seconds = self._pull_at - time.monotonic()
            if wait_seconds <= 0:
                self._pull()
            try:
                connection.drain_events(timeout=min(1.0, max(0.01, wait_seconds)))
                self._drain(connection)
            except TimeoutError:
                connection.heartbeat_check()
            if self._waiting:
                self._take()

    def _drain(self, connection: Any) -> None:
        """Gather what has arrived already, so that a rush is applied in few transactions."""
        try:
            while len(self._waiting) < PREFETCH:
                connection.drain_events(timeout=0.0001)
        except TimeoutError:
            return

    def _received(self, message: Any) -> None:
        self._waiting.append(message)

    def _undecodable(self, message: Any, error: Exception) -> None:
        """To the dead letters with it, and not a word of it to the log. The log it came from still has the event."""
        log.error("undecodable message", consumer=self.name, reason=type(error).__name__)
        message.reject()
        self._miss()

    def _take(self) -> None:
        """
        Apply what has arrived. What leaves a hole is acknowledged all the same, since it will be pulled; and so is
        what does not fit our hash, since whether a log diverged is for the producer to say.
        """
        batch: list[envelope.Envelope] = []
        for message in self._waiting:
            try:
                batch.append(envelope.decode(_body(message)))
            except ValueError as error:
                self._undecodable(message, error)
        try:
            self.inbox.take(batch)
            self._hear()
        except (inbox.Hole, inbox.Diverged) as fault:
            log.info("something is missing", consumer=self.name, reason=str(fault))
            self._miss()
        for message in self._waiting:
            if not message.acknowledged:
                message.ack()
        self._waiting = []

    def _hear(self) -> None:
        """Put off the pull that comes after a silence, but not one that something missing waits for."""
        now = time.monotonic()
        if not self._failed_pulls and self._pull_at > now:
            self._pull_at = now + SILENCE_SECONDS

    def _miss(self) -> None:
        if not self._failed_pulls:
            self._pull_at = time.monotonic()

    def _pull(self) -> None:
        """Ask the producer for the next events, and settle when to ask again: at once while there are more."""
        place = self.inbox.place()
        try:
            answer = self._ask(place)
        except (errors.ServiceError, rpc_wire.RemoteBug) as error:
            self._failed_pulls += 1
            self._pull_at = time.monotonic() + backoff_seconds(self._failed_pulls)
            log.warning("producer away", consumer=self.name, error=type(error).__name__)
            return
        self._failed_pulls = 0
        batch = [envelope.from_json(document) for document in answer["events"]]
        self.inbox.take(batch, pulled=True)
        is_behind = batch and batch[-1].position < answer["head"]
        self._pull_at = time.monotonic() + (0 if is_behind else SILENCE_SECONDS)

    def _ask(self, place: inbox.Place) -> dict[str, Any]:
        return ask(self.client, self.inbox, place, limit=PULL_BATCH, timeout=PULL_TIMEOUT_SECONDS)


def ask(
    client: rpc_client.BlockingClient, box: inbox.Inbox, place: inbox.Place, *, limit: int, timeout: float
) -> dict[str, Any]:
    """
    The producer's log beyond a place, as `outbox.pull` gives it.

    :raises Diverged: if that log never had what was applied
    """
    with context.use(actor=context.Actor(kind="service", id=box.service)):
        try:
            answer: dict[str, Any] = client.call(
                box.producer, "read_log", timeout=timeout, after=place.position, hash=place.hash, limit=limit
            )
        except errors.Conflict as error:
            raise inbox.Diverged(error.message) from error
        return answer


def dead_letters(service: str, producer: str) -> str:
    """The queue of what a consumer could not take."""
    return f"{service}.from.{producer}.dead"


def declare(channel: Any, service: str, producer: str) -> Any:
    """The queue of one consumer for one producer, bound to everything that the producer says."""
    dead = kombu.Exchange(DEAD_LETTERS, type="topic", durable=True)
    name = f"{service}.from.{producer}"
    graveyard = kombu.Queue(
        dead_letters(service, producer),
        dead,
        routing_key=name,
        durable=True,
        queue_arguments={"x-queue-type": "quorum"},
    )
    graveyard(channel).declare()
    queue = kombu.Queue(
        name,
        kombu.Exchange(f"{producer}.events", type="topic", durable=True),
        routing_key="#",
        durable=True,
        queue_arguments={
            "x-queue-type": "quorum",
            "x-single-active-consumer": True,
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": DEAD_LETTERS,
            "x-dead-letter-routing-key": name,
        },
    )
    queue(channel).declare()
    return queue


def backoff_seconds(failures: int) -> float:
    wait: float = min(MAX_BACKOFF_SECONDS, 0.1 * 2.0**failures)
    return wait * random.uniform(0.5, 1)  # noqa: S311  # jitter, not a secret


def _body(message: Any) -> bytes:
    if message.content_type != envelope.CONTENT_TYPE:
        raise ValueError("not a CloudEvents document")
    body = message.body
    return body.encode() if isinstance(body, str) else bytes(body)
