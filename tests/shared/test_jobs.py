import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared import database, errors, jobs, tables
from tests.shared import kernel

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def at_noon(home):
    home.clock.set(frozen_at=NOON)


def add(home: database.Database, kind: str = "mail", **options: Any) -> str:
    with home.begin() as session:
        return jobs.add(session, kind, {"to": "ada@example.org"}, subject="acc_1", **options)


def run(home: database.Database, do: jobs.Do, kind: str = "mail") -> int:
    return jobs.Runner(home, {kind: do}).run_due(threading.Event())


def row(home: database.Database, job_id: str) -> tables.Job:
    found: tables.Job = kernel.row_of(home, tables.Job, job_id)
    return found


def fail(_job_id: str, _payload: dict[str, Any]) -> None:
    raise OSError("ada@example.org is unknown")


class Killed(BaseException):
    """Ends the runner as a kill does: nothing after it runs."""


def die(_job_id: str, _payload: dict[str, Any]) -> None:
    raise Killed


class TestAdd:
    def test_leaves_no_job_when_the_transaction_rolls_back(self, home):
        with pytest.raises(ZeroDivisionError), home.begin() as session:
            jobs.add(session, "mail", {"share": 1 // int(session is None)}, subject="acc_1")

        assert kernel.count(home, tables.Job) == 0


class TestRunDue:
    def test_does_a_job_with_its_id_and_payload_and_forgets_the_payload(self, home):
        job_id = add(home)
        done = []

        assert run(home, lambda *job: done.append(job)) == 1

        assert done == [(job_id, {"to": "ada@example.org"})]
        assert (row(home, job_id).state, row(home, job_id).payload) == ("done", None)
        assert run(home, fail) == 0

    def test_leaves_a_job_that_is_not_due(self, home):
        add(home, due_at=NOON + timedelta(minutes=1))

        assert run(home, die) == 0
        home.clock.set(frozen_at=NOON + timedelta(minutes=1))
        assert run(home, lambda *_job: None) == 1

    def test_leaves_kinds_that_it_does_not_know(self, home):
        add(home, "charge")

        assert run(home, die, kind="mail") == 0

    def test_does_the_oldest_first(self, home):
        later = add(home, due_at=NOON - timedelta(seconds=1))
        first = add(home, due_at=NOON - timedelta(seconds=2))
        done = []

        run(home, lambda job_id, _payload: done.append(job_id))

        assert done == [first, later]

    def test_stops_between_two_jobs_when_it_is_asked_to(self, home):
        add(home)
        add(home)
        stopping = threading.Event()

        assert jobs.Runner(home, {"mail": lambda *_job: stopping.set()}).run_due(stopping) == 1

    def test_tries_a_failed_job_again_later_and_later(self, home):
        job_id = add(home)

        for attempt in range(1, 4):
            before = home.clock.now()
            assert run(home, fail) == 1
            assert run(home, fail) == 0  # not before it is due

            found = row(home, job_id)
            assert (found.state, found.attempts, found.payload) == ("waiting", attempt, {"to": "ada@example.org"})
            assert found.due_at == before + timedelta(seconds=2**attempt)
            home.clock.set(frozen_at=found.due_at)

    def test_keeps_of_a_failure_only_its_kind(self, home):
        job_id = add(home)

        run(home, fail)

        assert row(home, job_id).last_error == "OSError"

    def test_gives_up_after_the_last_attempt(self, home):
        job_id = add(home)

        for _ in range(jobs.MAX_ATTEMPTS):
            assert run(home, fail) == 1
            home.clock.set(frozen_at=home.clock.now() + timedelta(hours=1))

        assert (row(home, job_id).state, row(home, job_id).attempts) == ("failed", jobs.MAX_ATTEMPTS)
        assert run(home, fail) == 0

    def test_takes_over_from_a_worker_that_died_when_its_lease_is_over(self, home):
        job_id = add(home)
        with pytest.raises(Killed):
            run(home, die)

        home.clock.set(frozen_at=NOON + jobs.LEASE - timedelta(microseconds=1))
        assert run(home, lambda *_job: None) == 0
        home.clock.set(frozen_at=NOON + jobs.LEASE)
        assert run(home, lambda *_job: None) == 1
        assert (row(home, job_id).state, row(home, job_id).attempts) == ("done", 2)

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_does_a_job_once_whose_clock_jumps_while_it_is_done(self, home, hours):
        job_id = add(home)
        done = []

        def jump(job_id: str, _payload: dict[str, Any]) -> None:
            done.append(job_id)
            home.clock.set(frozen_at=NOON + timedelta(hours=hours))

        run(home, jump)
        run(home, jump)
        home.clock.set(frozen_at=NOON)
        run(home, jump)

        assert done == [job_id]

    def test_keeps_a_job_waiting_and_does_not_lose_it_when_the_clock_is_set_back(self, home):
        job_id = add(home)
        run(home, fail)
        home.clock.set(frozen_at=NOON - timedelta(hours=1))
        assert run(home, lambda *_job: None) == 0

        home.clock.set(frozen_at=NOON + timedelta(seconds=2))

        assert run(home, lambda *_job: None) == 1
        assert row(home, job_id).state == "done"

    def test_gives_up_a_job_that_kills_every_worker(self, home):
        job_id = add(home)

        for _ in range(jobs.MAX_ATTEMPTS):
            with pytest.raises(Killed):
                run(home, die)
            home.clock.set(frozen_at=home.clock.now() + jobs.LEASE)

        assert run(home, die) == 1
        assert (row(home, job_id).state, row(home, job_id).last_error) == (
            "failed",
            "the process ended while it did it",
        )

    def test_shares_the_work_of_two_runners_without_doing_any_twice(self, home):
        expected = {add(home) for _ in range(20)}
        done: list[str] = []
        both = threading.Barrier(2)

        def share() -> int:
            both.wait(10)
            return run(home, lambda job_id, _payload: done.append(job_id))

        with ThreadPoolExecutor(2) as runners:
            tried = [runner.result() for runner in [runners.submit(share) for _ in range(2)]]

        assert sum(tried) == 20
        assert len(done) == 20
        assert set(done) == expected

    def test_does_not_wait_for_a_job_that_another_runner_is_taking(self, home):
        taken, free = add(home, due_at=NOON - timedelta(seconds=1)), add(home)
        done = []

        with home.begin() as other:
            other.get(tables.Job, taken, with_for_update=True)
            run(home, lambda job_id, _payload: done.append(job_id))

        assert done == [free]

    @pytest.mark.parametrize("slow_one_fails", [True, False], ids=["fails", "succeeds"])
    def test_lets_a_worker_that_lost_its_lease_undo_nothing(self, home, slow_one_fails):
        job_id = add(home)

        def overtaken(*job: Any) -> None:
            home.clock.set(frozen_at=NOON + jobs.LEASE)
            assert run(home, lambda *_job: None) == 1  # another one takes it, and is done with it
            if slow_one_fails:
                fail(*job)

        run(home, overtaken)

        assert (row(home, job_id).state, row(home, job_id).payload) == ("done", None)
        assert run(home, die) == 0

    def test_lets_a_worker_that_lost_its_lease_not_take_it_from_the_next(self, home):
        job_id = add(home)

        def overtaken(*job: Any) -> None:
            home.clock.set(frozen_at=NOON + jobs.LEASE)
            with pytest.raises(Killed):
                run(home, die)  # stands for one that is still at it
            fail(*job)

        run(home, overtaken)

        found = row(home, job_id)
        assert (found.state, found.attempts, found.due_at) == ("running", 2, NOON + 2 * jobs.LEASE)


def given_up(home: database.Database) -> str:
    """The id of a job that failed for good."""
    job_id = add(home)
    for _ in range(jobs.MAX_ATTEMPTS):
        run(home, fail)
        home.clock.set(frozen_at=home.clock.now() + timedelta(hours=1))
    assert row(home, job_id).state == "failed"
    return job_id


def retry(home: database.Database, job_id: str) -> None:
    with home.begin() as session:
        jobs.retry(session, job_id)


def cancel(home: database.Database, job_id: str) -> None:
    with home.begin() as session:
        jobs.cancel(session, job_id, reason="ada: it was sent by hand")


class TestRetry:
    def test_lets_a_job_that_was_given_up_begin_anew_at_once(self, home):
        job_id = given_up(home)

        retry(home, job_id)

        assert (row(home, job_id).state, row(home, job_id).attempts) == ("waiting", 0)
        done = []
        run(home, lambda *job: done.append(job))
        assert done == [(job_id, {"to": "ada@example.org"})]

    def test_does_not_wait_for_the_next_try(self, home):
        job_id = add(home)
        run(home, fail)
        assert run(home, fail) == 0

        retry(home, job_id)

        assert run(home, fail) == 1

    def test_refuses_what_is_done(self, home):
        job_id = add(home)
        run(home, lambda *_job: None)

        with pytest.raises(errors.Conflict, match="is done"):
            retry(home, job_id)

    def test_refuses_what_is_not_there(self, home):
        with pytest.raises(errors.NotFound):
            retry(home, "job_nobodys")


class TestCancel:
    @pytest.mark.parametrize("make", [add, given_up])
    def test_ends_a_job_and_forgets_its_payload(self, home, make):
        job_id = make(home)

        cancel(home, job_id)

        found = row(home, job_id)
        assert (found.state, found.payload, found.last_error) == ("cancelled", None, "ada: it was sent by hand")
        home.clock.set(frozen_at=NOON + timedelta(days=30))
        assert run(home, die) == 0

    def test_refuses_a_job_that_runs(self, home):
        job_id = add(home)

        def cancel_it(*_job: Any) -> None:
            with pytest.raises(errors.Conflict, match="is running"):
                cancel(home, job_id)

        run(home, cancel_it)

        assert row(home, job_id).state == "done"

    def test_is_final(self, home):
        job_id = add(home)
        cancel(home, job_id)

        for again in (cancel, retry):
            with pytest.raises(errors.Conflict, match="is cancelled"):
                again(home, job_id)
