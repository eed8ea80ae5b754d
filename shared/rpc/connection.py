"""An AMQP connection that is kept: opened with patience, read by one green thread, opened again when it is lost."""

import itertools
import random
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import amqp
import eventlet
import kombu
from eventlet.event import Event
from nameko.extensions import SharedExtension

from shared import config, logs

log = logs.logger(__name__)

HEARTBEAT_SECONDS = 30
CONNECT_SECONDS = 3.0
CLOSE_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 5.0
PEEP_SECONDS = 0.5  # how often a reader looks up, to beat its heart and to see whether it should stop

BROKEN = (amqp.AMQPError, OSError)

# The broker's answer to wrong credentials or a missing permission, to an unknown virtual host, and to a queue or an
# exchange that exists with other properties. Trying again cannot help.
REFUSED = (amqp.AccessRefused, amqp.NotAllowed, amqp.PreconditionFailed)


class KeptConnection(SharedExtension):  # type: ignore[misc]
    """
    One per container and kind; a subclass says what to set up when it opens and what to forget when it is lost.

    Only its reader may read the socket: nobody else calls what waits for the broker's answer.
    """

    def __init__(self) -> None:
        self._stopping = Event()
        self._up = Event()
        self._reader: Any = None
        self._connection: amqp.Connection | None = None

    def opened(self, connection: amqp.Connection) -> None:
        """Set up channels. If the broker refuses that, the process ends."""
        raise NotImplementedError

    def lost(self) -> None:
        """Forget the channels."""
        raise NotImplementedError

    @property
    def connected(self) -> bool:
        return bool(self._up.ready())

    def until_connected(self) -> None:
        """Wait for as long as it takes: set an eventlet.Timeout around it."""
        self._up.wait()

    def start(self) -> None:
        self._reader = self.container.spawn_managed_thread(self._run)

    def stop(self) -> None:
        self._stopping.send(True)
        if self.connected:
            self._reader.wait()  # so that what was acknowledged is known to the broker before the process ends
        else:
            self._reader.kill()

    def kill(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """Cut the connection, from any green thread; its reader notices at once."""
        if self._connection is not None:
            with suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        broker = kombu.Connection(
            self.container.config["AMQP_URI"], heartbeat=HEARTBEAT_SECONDS, connect_timeout=CONNECT_SECONDS
        )
        delays = _delays()
        while not self._stopping.ready():
            try:
                connection = self._open(broker)
            except REFUSED as error:
                self._give_up(error)
                return
            except BROKEN as error:
                log.warning("broker not reached", broker=broker.as_uri(), reason=str(error))
                broker.maybe_switch_next()
                self._stopping.wait(timeout=next(delays))
            else:
                delays = _delays()
                self._read(connection, broker)

    def _open(self, broker: kombu.Connection) -> amqp.Connection:
        connection = broker.transport.establish_connection()
        connection.sock.settimeout(CONNECT_SECONDS)  # for every answer while it opens, and for every write after
        try:
            self.opened(connection)
        except BROKEN:
            connection.collect()
            self.lost()
            raise
        self._connection = connection
        self._up.send()
        log.info("broker connected", connection=type(self).__name__)
        return connection

    def _read(self, connection: amqp.Connection, broker: kombu.Connection) -> None:
        beats_at = 0.0
        try:
            while not self._stopping.ready():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=PEEP_SECONDS)
                if time.monotonic() > beats_at:  # by the clock, since one who only listens is never idle in a rush
                    connection.heartbeat_tick()
                    beats_at = time.monotonic() + PEEP_SECONDS
            with eventlet.Timeout(CLOSE_SECONDS, False):
                connection.close()
        except BROKEN as error:
            log.warning("broker connection lost", broker=broker.as_uri(), reason=str(error))
        finally:
            self._up = Event()
            self._connection = None
            connection.collect()
            self.lost()

    def _give_up(self, error: amqp.AMQPError) -> None:
        reason = config.BadConfiguration(f"AMQP_URI: RabbitMQ refuses {self.container.service_name}: {error}")
        # In a thread of its own, because killing the container waits for this one.
        eventlet.spawn_n(self.container.kill, (type(reason), reason, None))


def _delays() -> Iterator[float]:
    """Seconds to wait before each further try."""
    for attempt in itertools.count():
        longest = min(LONGEST_DELAY_SECONDS, 0.2 * 2 ** min(attempt, 10))
        yield longest * random.uniform(0.5, 1)  # noqa: S311
