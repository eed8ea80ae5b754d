"""The doctor's page on a stack that runs, healthy and with one thing wrong at a time."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ops import processes
from sandbox.postgres import PostgresServer
from tests.infrastructure import NewDatabase
from tests.shared import kernel
from tests.stack import figures
from tests.stack.stacks import Process, Running, eventually, run
from tests.stack.test_repairs import await_dead, send_to_quota

HEALTHY, ILL, AWAY = 0, 1, 75
WHOLE_PAGE_SECONDS = 12.0  # beside the start of Python, on a machine that has other things to do

DATABASES = [f"{name.upper()}_DATABASE_URL" for name in processes.SERVICES]


def examine(stack: Running, **environment: str) -> tuple[int, list[dict[str, Any]]]:
    done = stack.run("doctor", "--json", **environment)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def ill(page: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """What is not well, by section and subject."""
    return {
        (line["section"], line["subject"]): line["text"]
        for line in page
        if line["section"] != "verdict" and line["level"] in ("ill", "away")
    }


@pytest.fixture(autouse=True, scope="module")
def well_before(stack: Running) -> None:
    """What other modules left is settled."""
    eventually(lambda: examine(stack)[0] == HEALTHY, f"the stack is not well: {ill(examine(stack)[1])}", seconds=30)


class TestDoctor:
    def test_finds_a_stack_that_works_healthy(self, stack: Running) -> None:
        code, page = examine(stack)

        assert code == HEALTHY
        assert page[-1]["healthy"] is True
        assert {line["section"] for line in page} >= {"processes", "calls", "RabbitMQ", "consumers", "clocks", "jobs"}
        workers = [line["subject"] for line in page if line["subject"].startswith("worker")]
        assert len(workers) == 1

    def test_is_one_page_for_a_person(self, stack: Running) -> None:
        done = stack.run("doctor")

        assert done.returncode == HEALTHY
        assert len(done.stdout.splitlines()) < 60
        assert "quota from billing: up to date" in done.stdout
        assert "\nhealthy" in done.stdout

    def test_misses_a_worker_that_was_killed(self, stack: Running) -> None:
        worker = stack.processes["worker"]
        worker.kill()
        try:
            code, page = eventually(lambda: (found := examine(stack))[0] and found, "nothing is ill")
            for service in processes.SERVICES:
                age = (
                    "UPDATE processes SET beat_at = beat_at - interval '36 s' WHERE role LIKE 'worker%' RETURNING id"
                )
                stack.rows(service, age)
            later, page_later = examine(stack)
        finally:
            worker.restart()

        assert (code, later) == (ILL, ILL)
        assert ill(page)["consumers", "quota from billing"].startswith("nobody listens")
        assert ill(page_later)["processes", "quota"] == "no live worker: its events and jobs wait"
        assert [line["level"] for line in page_later if line["text"].startswith("silent for")] == ["note"]

    def test_says_which_database_is_away(self, stack: Running, postgres: PostgresServer) -> None:
        with kernel.away(postgres, stack.database("secrets")):
            code, page = examine(stack)

        assert code == AWAY
        assert ill(page)["databases", "secrets"].startswith("does not answer")
        assert ("databases", "quota") not in ill(page)

    def test_says_that_rabbitmq_is_away(self, stack: Running) -> None:
        code, page = examine(stack, AMQP_URI="amqp://127.0.0.1:1/")

        assert code == AWAY
        assert ill(page)["RabbitMQ", "RabbitMQ"].startswith("does not answer")
        assert ill(page)["consumers", "quota from billing"].startswith("its queue cannot be seen")

    def test_asks_the_gateway_where_it_is_and_not_where_clients_are_sent(self, stack: Running) -> None:
        elsewhere = {"CHATNESS_GATEWAY_URL": f"{stack.url}/", "PUBLIC_URL": "https://127.0.0.1:1"}

        _code, page = examine(stack, **elsewhere)

        (level,) = [line["level"] for line in page if (line["section"], line["subject"]) == ("calls", "gateway")]
        assert level == "ok"

    def test_says_that_a_migration_is_missing(self, stack: Running, new_database: NewDatabase) -> None:
        _code, page = examine(stack, QUOTA_DATABASE_URL=new_database())

        assert "kernel_0002" in ill(page)["migrations", "quota"]
        (finding,) = [line for line in page if (line["section"], line["subject"]) == ("migrations", "quota")]
        assert finding["next"] == "chatness migrate quota"

    @pytest.mark.usefixtures("troubles")
    def test_says_what_is_parked_dead_given_up_and_diverged_and_how_to_go_on(self, stack: Running) -> None:
        code, page = examine(stack)
        status = stack.run("consumers", "status", "--service", "billing", "--json")

        assert code == ILL
        found = ill(page)
        assert found["parked", "quota from billing"] == "1 event of 1 stream"
        assert found["dead letters", "quota from billing"] == "1 message"
        assert found["jobs", "accounts"].startswith("1 given up")
        assert found["consumers", "billing from accounts"].startswith("diverged")
        assert {line["next"] for line in page if line["level"] == "ill"} >= {
            "chatness parked list --service quota --producer billing",
            "chatness deadletters list --service quota --producer billing",
            "chatness jobs list --service accounts --state failed",
        }
        (consumer,) = [json.loads(line) for line in status.stdout.splitlines()]
        assert (status.returncode, consumer["hash_known"], consumer["consumers"]) == (ILL, False, 1)

        worker = stack.processes["worker"]
        eventually(lambda: shown_troubles(worker) == [1, 1, 1, 1], "the metrics do not show the same")


def shown_troubles(worker: Process) -> list[float]:
    """What is parked, dead, given up and diverged, as /metrics has it."""
    found = figures.read([worker])
    return [
        found.of("chatness_parked_events", service="quota", producer="billing"),
        found.of("chatness_dead_letters", service="quota", producer="billing"),
        found.of("chatness_jobs", service="accounts", state="failed"),
        found.of("chatness_consumer_diverged", service="billing", producer="accounts"),
    ]


TROUBLES = {
    "accounts": """
        INSERT INTO jobs (id, kind, subject, state, attempts, due_at, created_at)
            VALUES ('job_doctor', 'k', 's', 'failed', 12, now(), now()) RETURNING id
    """,
    "quota": """
        INSERT INTO parked (producer, position, stream, version, name, envelope, reason, parked_at)
            VALUES ('billing', 999999, 'subscription-org_doctor', 1, 'n', '', 'r', now()) RETURNING position
    """,
    "billing": "UPDATE inbox SET hash = sha256(hash) WHERE producer = 'accounts' RETURNING producer",
}


@pytest.fixture
def troubles(stack: Running) -> Iterator[None]:
    """One of each kind that the doctor must find: parked, dead, given up, diverged."""
    stack.sign_up()  # so that billing has heard something
    (before,) = stack.rows("billing", "SELECT hash FROM inbox WHERE producer = 'accounts'")
    for service, sql in TROUBLES.items():
        stack.rows(service, sql)
    send_to_quota(stack, b"not an event", content_type="text/plain")
    await_dead(stack)
    yield
    restore = "UPDATE inbox SET hash = :hash WHERE producer = 'accounts' RETURNING producer"
    stack.rows("billing", restore, hash=bytes(before.hash))
    stack.rows("quota", "DELETE FROM parked WHERE position = 999999 RETURNING position")
    stack.rows("accounts", "DELETE FROM jobs WHERE id = 'job_doctor' RETURNING id")
    stack.run("deadletters", "discard", "--all", "--execute")


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Somebody listens there, takes every connection, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield server.getsockname()[1]


class TestEverythingAway:
    def examine(self, stack: Running, port: int) -> tuple[float, "subprocess.CompletedProcess[str]"]:
        """Its page, and how long that took beside what the command takes to start on this machine at the moment."""
        began = time.monotonic()
        run("doctor", "--help", **stack.environment)
        starting = time.monotonic() - began
        away = dict.fromkeys(DATABASES, f"postgresql+psycopg2://nobody:x@127.0.0.1:{port}/none")
        began = time.monotonic()
        away |= {"AMQP_URI": f"amqp://127.0.0.1:{port}/", "PUBLIC_URL": f"http://127.0.0.1:{port}"}
        done = run("doctor", **{**stack.environment, **away})
        return time.monotonic() - began - starting, done

    def test_is_said_soon_where_nobody_listens(self, stack: Running) -> None:
        seconds, done = self.examine(stack, 1)

        assert (done.returncode, done.stderr) == (AWAY, "")
        assert seconds < WHOLE_PAGE_SECONDS

    def test_is_said_in_time_where_nobody_answers(self, stack: Running, silent_port: int) -> None:
        seconds, done = self.examine(stack, silent_port)

        assert (done.returncode, done.stderr) == (AWAY, "")
        assert seconds < WHOLE_PAGE_SECONDS
        assert "✓" not in done.stdout
