import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from shared import database, jobs, outbox, watchdog, worker
from tests.shared import kernel, kernel_programs, test_parking
from tests.shared.kernel import Listener, places

ONE, TWO = "counter-org_1", "counter-org_2"


@pytest.fixture
def amqp_uri(new_vhost: Callable[[], str]) -> str:
    """A broker of the test's own, with nothing left over in its queues."""
    return new_vhost()


@contextmanager
def working(home: database.Database, amqp_uri: str, **work: object) -> Iterator[worker.Worker]:
    """A worker until the end of the block, by default the counters' own, which publishes."""
    own_connections = database.Database(home.url, home.clock)
    running = worker.Worker(worker.Work(**({"service": "counting"} | work)), own_connections, amqp_uri)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def listening(listener: Listener, amqp_uri: str) -> object:
    return working(listener.home, amqp_uri, service="listening", hears=[listener.hears])


def hears_all(listener: Listener, home: database.Database, wanted: int) -> None:
    kernel.eventually(lambda: len(listener.heard()) >= wanted, f"{wanted} effects")
    assert listener.heard() == places(kernel.read_log(home))


def add(home: database.Database, kind: str = "mail") -> str:
    with home.begin() as session:
        return jobs.add(session, kind, {}, subject="acc_1")


class TestWorker:
    def test_brings_an_event_from_its_commit_to_the_effect_elsewhere(self, home, listener, amqp_uri):
        with listening(listener, amqp_uri) as hearing, working(home, amqp_uri):
            kernel.eventually(lambda: not hearing.away(), "the listener is connected")
            kernel.add(home, ONE, 1, 2)
            kernel.add(home, TWO, 3)

            hears_all(listener, home, 3)

    def test_redrives_at_its_start_what_an_older_release_could_not_read(self, home, listener, amqp_uri):
        test_parking.park_unreadable(home, listener)

        with listening(listener, amqp_uri):
            kernel.eventually(lambda: not listener.parked(), "nothing is parked")

        assert test_parking.versions_of(listener) == [1, 2, 3]

    def test_redrives_too_what_an_older_release_parks_after_it_has_started(
        self, home, listener, amqp_uri, monkeypatch
    ):
        monkeypatch.setattr(worker, "REDRIVE_SECONDS", 0.05, raising=False)
        with listening(listener, amqp_uri) as hearing:
            kernel.eventually(lambda: not hearing.away(), "it has begun")

            test_parking.park_unreadable_first_of(home, listener, ONE, TWO)

            kernel.eventually(lambda: not listener.parked(), "nothing is parked")
        assert listener.heard() == [(ONE, 1), (TWO, 1)]

    def test_is_woken_by_a_commit_and_does_not_wait_for_its_poll(self, home, amqp_uri, monkeypatch):
        monkeypatch.setattr(worker, "POLL_SECONDS", 600)
        done = threading.Event()
        with working(home, amqp_uri, jobs={"mail": lambda *_job: done.set()}) as running:
            kernel.eventually(lambda: not running.away(), "it has begun")
            kernel.eventually(lambda: listens(home), "it listens")

            kernel.add(home, ONE, 1)
            add(home)

            kernel.eventually(lambda: len(kernel.read_log(home)) == 1, "the event is sequenced")
            assert done.wait(10)

    def test_listens_again_after_its_connection_was_lost(self, home, amqp_uri, monkeypatch):
        monkeypatch.setattr(worker, "POLL_SECONDS", 600)
        with working(home, amqp_uri) as running:
            kernel.eventually(lambda: not running.away() and listens(home), "it listens")
            with home.begin() as session:
                session.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({LISTENERS}) AS listeners"))
            kernel.add(home, ONE, 1)

            kernel.eventually(lambda: len(kernel.read_log(home)) == 1, "the event is sequenced")

    def test_finds_by_its_poll_what_nobody_rang_for(self, home, amqp_uri, monkeypatch):
        monkeypatch.setattr(worker, "POLL_SECONDS", 0.1)
        done = threading.Event()
        with working(home, amqp_uri, jobs={"mail": lambda *_job: done.set()}) as running:
            kernel.eventually(lambda: not running.away() and listens(home), "it has begun")
            with home.begin() as session:
                job_id = jobs.add(session, "mail", {}, subject="acc_1")
                session.execute(text("UNLISTEN *"))
                session.execute(text("UPDATE jobs SET due_at = due_at + interval '1 second'"))

            assert done.wait(10), job_id

    def test_publishes_what_a_process_committed_that_was_killed_before_it_could(self, home, listener, amqp_uri):
        with listening(listener, amqp_uri) as hearing:
            kernel.eventually(lambda: not hearing.away(), "the listener is connected")
            assert kernel_programs.run("add", home.url, ONE) == -9
            assert listener.heard() == []

            with working(home, amqp_uri):
                hears_all(listener, home, 1)

    def test_takes_over_a_job_from_a_worker_that_was_killed(self, home, amqp_uri):
        job_id = add(home)
        assert kernel_programs.run("job", home.url) == -9
        done = []
        home.clock.set(offset_seconds=jobs.LEASE.total_seconds())

        with working(home, amqp_uri, jobs={"mail": lambda job, _payload: done.append(job)}):
            kernel.eventually(lambda: done, "the job is done")

        assert done == [job_id]

    def test_loses_nothing_and_does_nothing_twice_when_the_broker_is_killed(self, home, listener, amqp_uri, rabbitmq):
        with listening(listener, amqp_uri) as hearing, working(home, amqp_uri) as publishing:
            kernel.eventually(lambda: not hearing.away() + publishing.away(), "all are connected")
            kernel.add(home, ONE, *[1] * 20)
            hears_all(listener, home, 20)

            # It writes down which queues it has half a second after it made them.
            rabbitmq.ctl("eval", "[ok = dets:sync(Table) || Table <- dets:all()].")
            rabbitmq.kill()
            kernel.add(home, ONE, *[1] * 20)
            kernel.eventually(lambda: len(kernel.read_log(home)) == 40, "sequencing goes on")
            kernel.eventually(lambda: hearing.away() and publishing.away(), "both notice")
            rabbitmq.start()

            kernel.add(home, TWO, *[1] * 20)
            hears_all(listener, home, 60)
            kernel.eventually(lambda: not hearing.away() + publishing.away(), "all are connected again")
        assert outbox.sequence(home) == 0

    def test_goes_on_when_its_database_comes_back(self, home, amqp_uri, postgres):
        with working(home, amqp_uri) as running:
            kernel.eventually(lambda: not running.away(), "it has begun")
            with kernel.away(postgres, home):
                kernel.eventually(lambda: running.away() == ["counting publisher"], "it says what is away")

            kernel.add(home, ONE, 1)
            kernel.eventually(lambda: len(kernel.read_log(home)) == 1, "the event is sequenced")
            kernel.eventually(lambda: not running.away(), "it says that all is well")

    def test_is_not_ready_while_its_database_takes_nothing_new(self, home, amqp_uri, postgres):
        with working(home, amqp_uri) as running:
            kernel.eventually(lambda: not running.away(), "it is ready")
            with kernel.read_only(postgres, home):
                kernel.eventually(lambda: running.away() == ["counting publisher"], "it says what is away")

            kernel.eventually(lambda: not running.away(), "it is ready again")

    def test_is_not_ready_while_a_bug_keeps_it_from_publishing(self, home, amqp_uri):
        with working(home, amqp_uri) as running:
            kernel.eventually(lambda: not running.away(), "it is ready")
            shown = {reason: failures("counting outbox", reason) for reason in ("away", "bug")}
            with lost(home, "log_head"):
                kernel.eventually(lambda: running.away() == ["counting publisher"], "it says what is not well")

            kernel.eventually(lambda: not running.away(), "it is ready again")
        assert None not in shown.values()  # a counter that begins with 1 has not increased, to Prometheus
        assert failures("counting outbox", "bug") > (shown["bug"] or 0)

    def test_is_ready_while_only_its_jobs_cannot_be_done(self, home, amqp_uri, monkeypatch):
        monkeypatch.setattr(worker, "POLL_SECONDS", 600)
        with working(home, amqp_uri) as running:
            kernel.eventually(lambda: not running.away() and listens(home), "it is ready")
            running.runner.database = impatient = database.Database(home.url, home.clock, lock_timeout_seconds=0.1)
            before = failures("counting jobs", "away") or 0
            with home.begin() as session:
                session.execute(text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
                running.bells["jobs"].set()
                kernel.eventually(lambda: (failures("counting jobs", "away") or 0) > before, "a turn failed")

                assert not running.away()
        impatient.close()

    def test_looks_at_the_clock_again_and_again_even_if_a_timer_fails(self, home, amqp_uri):
        looks = []

        def look(given: database.Database) -> None:
            looks.append(given.url)
            raise RuntimeError("a bug")

        timer = worker.Timer(name="month", every_seconds=0.01, run=look)
        with working(home, amqp_uri, timers=[timer]):
            kernel.eventually(lambda: len(looks) >= 3, "three looks")

        assert set(looks) == {home.url}

    def test_names_a_thread_that_does_not_go_on(self, home, amqp_uri, monkeypatch):
        monkeypatch.setattr(worker, "POLL_SECONDS", 0.05)
        monkeypatch.setattr(watchdog, "STUCK_SECONDS", 0.5)
        may_end = threading.Event()
        add(home)
        with working(home, amqp_uri, jobs={"mail": lambda *_job: may_end.wait(10)}) as running:
            kernel.eventually(lambda: running.stuck() == ["counting jobs"], "it is named, and no other")
            may_end.set()

            kernel.eventually(lambda: "counting jobs" not in running.stuck(), "it goes on")

    def test_finishes_the_job_at_hand_before_it_stops(self, home, amqp_uri):
        began, may_end, done = threading.Event(), threading.Event(), []

        def slow(job_id: str, _payload: object) -> None:
            began.set()
            assert may_end.wait(10)
            done.append(job_id)

        first, second = add(home), add(home)
        with working(home, amqp_uri, jobs={"mail": slow}) as running:
            assert began.wait(10)
            threading.Thread(target=running.stop).start()
            assert running.stopping.wait(10)
            may_end.set()

        assert done == [first]
        assert kernel.row_of(home, kernel.tables.Job, second).state == "waiting"

    def test_stops_at_once_when_it_has_nothing_to_do(self, home, listener, amqp_uri):
        with listening(listener, amqp_uri) as running:
            kernel.eventually(lambda: not running.away(), "it is connected")
            started = time.monotonic()
            running.stop()

        assert time.monotonic() - started < worker.STOP_SECONDS / 2
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("listening ")]


LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'chatness listen'"
    " AND state = 'idle' AND query LIKE 'LISTEN%'"
)


def failures(work: str, reason: str) -> float | None:
    return REGISTRY.get_sample_value("chatness_work_failures_total", {"work": work, "reason": reason})


@contextmanager
def lost(home: database.Database, table: str) -> Iterator[None]:
    """A table that is not there until the end of the block, as after a migration that went wrong."""
    with home.begin() as session:
        session.execute(text(f"ALTER TABLE {table} RENAME TO lost"))
    try:
        yield
    finally:
        with home.begin() as session:
            session.execute(text(f"ALTER TABLE lost RENAME TO {table}"))


def listens(home: database.Database) -> bool:
    with home.begin() as session:
        return session.execute(text(LISTENERS)).first() is not None
