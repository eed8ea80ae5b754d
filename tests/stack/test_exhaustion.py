"""
What a database can refuse while it is there: a lock that somebody keeps, and everything that is written. Callers hear
so in time, and the others are served.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from sqlalchemy import text

from sandbox.postgres import PostgresServer
from shared import database
from tests.shared import kernel
from tests.stack.stacks import Org, Process, Running, eventually

CROWD = 60  # more than the connections of both quota processes together
ANSWER_SECONDS = 2.0

Ask = Callable[[Org], requests.Response]
ELSEWHERE: dict[str, Ask] = {
    "accounts": lambda org: org.owner.ask("GET", "/v1/account"),
    "billing": lambda org: org.owner.ask("GET", "/v1/plans"),
    "secrets": lambda org: org.owner.ask("GET", "/v1/secrets"),
}


@pytest.fixture(scope="module")
def hot(stack: Running) -> Org:
    return stack.sign_up()


@pytest.fixture(scope="module")
def other(stack: Running) -> Org:
    return stack.sign_up()


@contextmanager
def locked(org: Org) -> Iterator[None]:
    """Somebody else holds the org's row in quota until the end of the block."""
    home = org.stack.database("quota")
    patient = database.Database(home.url, home.clock, statement_timeout_seconds=60)
    with patient.begin() as session:
        session.execute(text("SELECT 1 FROM orgs WHERE org_id = :id FOR UPDATE"), {"id": org.id})
        yield
    patient.close()


def timed(ask: Ask, org: Org) -> tuple[int, float]:
    started = time.monotonic()
    status = ask(org).status_code
    return status, time.monotonic() - started


class TestAnOrgWhoseRowIsLocked:
    def test_has_its_callers_told_in_time_and_takes_nothing_from_the_other_services(
        self, hot: Org, other: Org
    ) -> None:
        with locked(hot), ThreadPoolExecutor(CROWD) as crowd:
            asked = [crowd.submit(timed, lambda org: org.owner.ask("GET", "/v1/usage"), hot) for _ in range(CROWD)]
            elsewhere = {name: timed(ask, other) for name, ask in ELSEWHERE.items()}
            answers = [one.result() for one in asked]

        assert Counter(status for status, _seconds in answers) == {503: CROWD}
        assert max(seconds for _status, seconds in answers) < ANSWER_SECONDS
        assert {name: status for name, (status, _seconds) in elsewhere.items()} == dict.fromkeys(ELSEWHERE, 200)
        assert max(seconds for _status, seconds in elsewhere.values()) < ANSWER_SECONDS

    def test_holds_no_connection_for_callers_who_no_longer_wait(self, hot: Org, other: Org) -> None:
        with locked(hot):
            with ThreadPoolExecutor(CROWD) as crowd:
                list(crowd.map(lambda _number: hot.owner.ask("GET", "/v1/usage"), range(CROWD)))
            ours = "wait_event_type = 'Lock' AND datname = current_database()"
            waiting = f"SELECT count(*) FROM pg_stat_activity WHERE {ours}"
            eventually(lambda: hot.stack.rows("quota", waiting) == [(0,)], "somebody still waits", seconds=1)

            assert other.usage()["blocked"] is False
            assert other.send(f"msg_{time.time_ns()}").status_code == 201

        assert hot.usage()["blocked"] is False

    def test_has_its_messages_refused_in_time_and_counted_once_when_asked_again(self, hot: Org) -> None:
        used = hot.usage()["used"]
        with locked(hot), ThreadPoolExecutor(20) as crowd:
            refused = list(crowd.map(lambda number: timed(lambda org: org.send(f"msg_{number}"), hot), range(20)))

        again = [hot.send(f"msg_{number}").status_code for number in range(20)]

        assert {status for status, _seconds in refused} == {503}
        assert max(seconds for _status, seconds in refused) < ANSWER_SECONDS
        assert again == [201] * 20
        assert hot.usage()["used"] == used + 20

    def test_leaves_the_messages_of_others_in_the_same_batches_alone(self, hot: Org, other: Org) -> None:
        used = other.usage()["used"]
        with locked(hot), ThreadPoolExecutor(40) as crowd:
            asked = {
                (org.id, number): crowd.submit(timed, lambda org, number=number: org.send(f"msg_both_{number}"), org)
                for number in range(20)
                for org in (hot, other)
            }
            answers = {key: one.result() for key, one in asked.items()}

        again = [hot.send(f"msg_both_{number}").status_code for number in range(20)]

        by_org = {
            org.id: Counter(status for (id, _number), (status, _seconds) in answers.items() if id == org.id)
            for org in (hot, other)
        }
        assert by_org == {hot.id: {503: 20}, other.id: {201: 20}}
        assert max(seconds for _status, seconds in answers.values()) < ANSWER_SECONDS
        assert again == [201] * 20
        assert other.usage()["used"] == used + 20


class TestADatabaseThatTakesNothingNew:
    def test_is_told_to_callers_and_probes_and_used_again_when_it_does(
        self, stack: Running, other: Org, postgres: PostgresServer
    ) -> None:
        quota, used = stack.processes["quota 2"], other.usage()["used"]
        with kernel.read_only(postgres, stack.database("quota")):
            refused = [timed(lambda org: org.send("msg_read_only"), other) for _ in range(4)]
            eventually(lambda: readiness(quota)["database quota"] is False, "it says that it is ready")
            elsewhere = {name: ask(other).status_code for name, ask in ELSEWHERE.items()}

        eventually(lambda: other.send("msg_read_only").status_code == 201, "it did not recover")
        assert {status for status, _seconds in refused} == {503}
        assert max(seconds for _status, seconds in refused) < ANSWER_SECONDS
        assert elsewhere == dict.fromkeys(ELSEWHERE, 200)
        assert other.usage()["used"] == used + 1
        assert all(readiness(quota).values())


def readiness(process: Process) -> dict[str, bool]:
    answer: dict[str, bool] = requests.get(f"http://127.0.0.1:{process.health_port}/readyz", timeout=5).json()
    return answer
