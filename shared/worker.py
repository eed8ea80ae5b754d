"""
A service's work without a caller: publish its events, follow the others', do jobs, watch the clock. Plain threads.
"""

import functools
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import psycopg2.extensions

from shared import consumer, database, inbox, jobs, logs, metrics, outbox, parking, relay, watchdog

POLL_SECONDS = 2.0
REDRIVE_SECONDS = 60.0
STOP_SECONDS = 8.0
TIMER_SECONDS = 3600.0  # it may have much to do at once, and call Stripe for each
log = logs.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Timer:
    """:param run: looks at the clock and does what is due; must be harmless when two do it at once"""

    name: str
    every_seconds: float
    run: Callable[[database.Database], Any]


@dataclass(frozen=True, kw_only=True)
class Work:
    """
    What one service's worker does beside publishing.

    :param misses: names what it needs outside and finds away at the moment, beside databases and RabbitMQ
    """

    service: str
    hears: Sequence[inbox.Hears] = ()
    jobs: "Mapping[str, jobs.Do]" = field(default_factory=dict)
    timers: Sequence[Timer] = ()
    misses: Callable[[], list[str]] = list


class Worker:
    def __init__(self, work: Work, home: database.Database, amqp_uri: str) -> None:
        self.work = work
        self.database = home
        self.amqp_uri = amqp_uri
        self.relay = relay.Relay(home, work.service, amqp_uri)
        self.runner = jobs.Runner(home, work.jobs)
        self.consumers = [consumer.Consumer(inbox.Inbox(home, work.service, hears), amqp_uri) for hears in work.hears]
        self.stopping = threading.Event()
        self.bells = {"outbox": threading.Event(), "jobs": threading.Event()}
        self.sequenced = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        for work in self._counted():
            metrics.expect_work(work)
        self._thread("listen", self._listen)
        self._thread("publish", self._publish)
        self._thread("jobs", self._do_jobs)
        for timer in self.work.timers:
            self._thread(f"timer {timer.name}", functools.partial(self._watch, timer))
        for follower in self.consumers:
            self._thread(follower.name, functools.partial(follower.run, self.stopping))
            self._thread(f"{follower.name} parked", functools.partial(self._redrive, follower.inbox))

    def stop(self) -> None:
        """Ask every thread to end after what it is doing, and wait a bounded time."""
        self.stopping.set()
        for bell in self.bells.values():
            bell.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self.relay.close()
        self.database.close()

    def away(self) -> list[str]:
        """What is not connected at the moment; empty when all is well."""
        missing = [follower.name for follower in self.consumers if not follower.connected.is_set()]
        missing += self.work.misses()
        return missing if self.sequenced.is_set() else [*missing, f"{self.work.service} publisher"]

    def stuck(self) -> list[str]:
        """The threads that will not go on by themselves; none of a worker that stops."""
        return [] if self.stopping.is_set() else watchdog.stuck(self._threads)

    def _counted(self) -> list[str]:
        """All whose failures are counted, by the names under which they are."""
        timers = [f"{self.work.service} {timer.name}" for timer in self.work.timers]
        followers = [name for one in self.consumers for name in (one.name, f"{self.work.service} parked")]
        return [*(f"{self.work.service} {channel}" for channel in self.bells), *timers, *followers]

    def _thread(self, name: str, run: Callable[[], None]) -> None:
        def live() -> None:
            watchdog.go_on()
            run()

        thread = threading.Thread(target=live, name=f"{self.work.service} {name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _publish(self) -> None:
        def once() -> None:
            try:
                outbox.sequence(self.database)
                self.relay.run()
            except Exception:  # whatever it is, nothing is published
                self.sequenced.clear()
                raise
            self.sequenced.set()

        self._repeat("outbox", once)

    def _do_jobs(self) -> None:
        self._repeat("jobs", lambda: self.runner.run_due(self.stopping))

    def _repeat(self, channel: str, once: Callable[[], Any]) -> None:
        """Run at each ring of the bell, and every few seconds in case a ring was lost."""
        bell, failures, work = self.bells[channel], 0, f"{self.work.service} {channel}"
        while not self.stopping.is_set():
            watchdog.go_on()
            bell.clear()
            try:
                once()
                failures = 0
            except (*database.TRANSIENT, relay.BrokerAway) as error:
                failures += 1
                log.warning("a part is away", work=work, error=type(error).__name__)
                metrics.work_failed(work, "away")
            except Exception:
                failures += 1
                log.exception("worker failed", work=work)
                metrics.work_failed(work, "bug")
            if failures:
                self.stopping.wait(consumer.backoff_seconds(failures))
            else:
                bell.wait(POLL_SECONDS)

    def _watch(self, timer: Timer) -> None:
        watchdog.go_on(rest_seconds=timer.every_seconds)
        while not self.stopping.wait(timer.every_seconds):
            watchdog.go_on(rest_seconds=TIMER_SECONDS)
            try:
                timer.run(self.database)
            except database.TRANSIENT as error:
                log.warning("a part is away", timer=timer.name, error=type(error).__name__)
                metrics.work_failed(f"{self.work.service} {timer.name}", "away")
            except Exception:
                log.exception("timer failed", timer=timer.name)
                metrics.work_failed(f"{self.work.service} {timer.name}", "bug")
            watchdog.go_on(rest_seconds=timer.every_seconds)

    def _redrive(self, box: inbox.Inbox) -> None:
        """Again and again: while releases change, an older worker may park an event after we have started."""
        while not self.stopping.is_set():
            watchdog.go_on()
            try:
                parking.redrive_unreadable(box, self.stopping)
            except Exception:
                log.exception("worker failed", work=f"{self.work.service} parked")
                metrics.work_failed(f"{self.work.service} parked", "bug")
            self.stopping.wait(REDRIVE_SECONDS)

    def _listen(self) -> None:
        """Ring the bells on NOTIFY. The polls are the floor, so a lost connection costs a delay and nothing more."""
        while not self.stopping.is_set():
            watchdog.go_on()
            try:
                self._listen_once()
            except psycopg2.Error as error:
                log.warning("a part is away", work=f"{self.work.service} listen", error=type(error).__name__)
                self.stopping.wait(1.0)

    def _listen_once(self) -> None:
        address = self.database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = psycopg2.connect(address, connect_timeout=2, application_name="chatness listen")
        try:
            connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
            with connection.cursor() as cursor:
                cursor.execute("LISTEN outbox; LISTEN jobs")
            for bell in self.bells.values():
                bell.set()
            while not self.stopping.is_set():
                watchdog.go_on()
                if select.select([connection], [], [], 1.0)[0]:
                    connection.poll()
                while connection.notifies:
                    self.bells[connection.notifies.pop().channel].set()
        finally:
            connection.close()
