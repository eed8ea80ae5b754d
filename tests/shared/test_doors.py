import inspect
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import insert, text

from sandbox import ports
from shared import clock, context, database, doors, errors, store, suspensions, tables, verification
from tests.shared import kernel
from tests.shared.kernel import COUNTER, Added, Total

ADA = context.Actor(kind="person", id="acc_ada", org_id="org_1")
STREAM = "counter-org_1"


def render(session: Any, *, stream: str) -> dict[str, Any]:
    return {"stream": stream, "total": session.get_one(Total, stream).total}


def render_repeat(session: Any, *, stream: str, password: str) -> dict[str, Any]:
    return {**render(session, stream=stream), "repeated_with": password}


class Counting(doors.Service):
    name = "counting"

    def __init__(self) -> None:
        self.runs = 0
        self.conflicts = 0  # how many version conflicts there are to come
        self.undone_with = ""  # the SQLSTATE with which PostgreSQL ends every try

    def _add(self, session: Any, by: int) -> dict[str, Any]:
        self.runs += 1
        store.execute(session, STREAM, COUNTER, lambda _total: [Added(by=by)])
        if self.undone_with:
            kernel.fail_with(session, self.undone_with)
        if self.conflicts:
            self.conflicts -= 1
            raise store.VersionConflict(STREAM)
        return {"stream": STREAM}

    @doors.command("counters:write", answer=render)
    def add(self, session: Any, *, by: int) -> dict[str, Any]:
        return self._add(session, by)

    @doors.command("counters:write", answer=render, repeat=render_repeat, secret=("password",))
    def add_secretly(self, session: Any, *, by: int, password: str) -> dict[str, Any]:
        return self._add(session, by)

    @contextmanager
    def _look_first(self, *, by: int) -> Iterator[int]:
        self.connections_before = self.house.database.engine.pool.checkedout()  # type: ignore[attr-defined]
        try:
            yield by * 10
        finally:
            self.left_with = sys.exception()

    @doors.command("counters:write", answer=render, around=_look_first)
    def add_tenfold(self, session: Any, prepared: int, *, by: int) -> dict[str, Any]:
        return self._add(session, prepared)

    @doors.query("counters:read")
    def get(self, session: Any, *, stream: str) -> dict[str, Any]:
        return render(session, stream=stream)

    @doors.opened("counters:write")
    def add_in_two_steps(self, *, by: int) -> int:
        for _ in range(2):
            with self.house.database.begin() as session:
                self._add(session, by)
        return by


def authorise(actor: context.Actor, permission: str) -> None:
    if actor != ADA and not (actor.kind == "service" and permission == "log:read"):
        raise errors.Forbidden("not_allowed")


@pytest.fixture
def counting(home: database.Database) -> Counting:
    return at(home)


@pytest.fixture(autouse=True)
def as_ada():
    with context.use(actor=ADA):
        yield


def at(home: database.Database) -> Counting:
    service = Counting()
    service.house = doors.House(
        database=home,
        authorise=authorise,
        fingerprint_key=b"k" * 32,
        settings=None,
        refused=frozenset({"counting.add"}),
    )
    return service


@pytest.fixture
def suspended(home: database.Database) -> None:
    with home.begin() as session:
        suspensions.begin(session, "org_1", cause="abuse", at=database.now(session))


class TestASuspendedOrg:
    def test_is_refused_at_the_doors_of_the_table_and_served_at_the_others(self, counting, suspended, home):
        with pytest.raises(errors.Forbidden, match="org_suspended"):
            counting.add("cmd_1", by=5)
        assert (counting.runs, kernel.count(home, tables.Command)) == (0, 0)

        assert counting.add_secretly("cmd_1", by=5, password="one") == {"stream": STREAM, "total": 5}
        assert counting.get(stream=STREAM) == {"stream": STREAM, "total": 5}

    def test_is_answered_again_what_was_done_before(self, counting, home):
        answer = counting.add("cmd_1", by=5)
        with home.begin() as session:
            suspensions.begin(session, "org_1", cause="abuse", at=database.now(session))

        assert counting.add("cmd_1", by=5) == answer
        with pytest.raises(errors.Forbidden, match="org_suspended"):
            counting.add("cmd_2", by=5)

    def test_is_served_as_before_once_it_is_restored(self, counting, suspended, home):
        with pytest.raises(errors.Forbidden):
            counting.add("cmd_1", by=5)
        with home.begin() as session:
            suspensions.end(session, "org_1")

        assert counting.add("cmd_1", by=5) == {"stream": STREAM, "total": 5}

    def test_does_not_concern_who_may_not_do_it_anyway_and_no_other_org(self, counting, home):
        with home.begin() as session:
            suspensions.begin(session, "org_2", cause="abuse", at=database.now(session))

        assert counting.add("cmd_1", by=5)["total"] == 5
        bob = context.Actor(kind="person", id="acc_bob", org_id="org_2")
        with context.use(actor=bob), pytest.raises(errors.Forbidden, match="not_allowed"):
            counting.add("cmd_1", by=5)


class TestCommand:
    def test_runs_once_and_renders_its_answer_anew_at_each_repeat(self, counting, home):
        first = counting.add("cmd_1", by=5)
        counting.add("cmd_2", by=2)

        assert first == {"stream": STREAM, "total": 5}
        assert counting.add("cmd_1", by=5) == {"stream": STREAM, "total": 7}
        assert len(kernel.read(home, STREAM)) == 2

    def test_may_answer_a_repeat_in_another_way(self, counting):
        assert counting.add_secretly("cmd_1", by=5, password="one") == {"stream": STREAM, "total": 5}
        assert counting.add_secretly("cmd_1", by=5, password="one")["repeated_with"] == "one"

    def test_does_not_tell_two_bodies_apart_by_what_is_secret(self, counting):
        counting.add_secretly("cmd_1", by=5, password="one")

        assert counting.add_secretly("cmd_1", by=5, password="other")["repeated_with"] == "other"
        with pytest.raises(errors.Invalid):
            counting.add_secretly("cmd_1", by=6, password="one")

    def test_keeps_the_same_id_apart_on_two_doors(self, counting):
        counting.add("cmd_1", by=5)

        assert counting.add_secretly("cmd_1", by=5, password="one") == {"stream": STREAM, "total": 10}

    def test_does_what_takes_long_before_it_holds_a_connection(self, counting):
        assert counting.add_tenfold("cmd_1", by=5) == {"stream": STREAM, "total": 50}
        assert (counting.connections_before, counting.left_with) == (0, None)

    def test_tells_what_is_around_it_of_a_refusal_and_asks_no_caller_for_what_that_gives(self, counting):
        counting.add_tenfold("cmd_1", by=5)
        with pytest.raises(errors.Invalid, match="idempotency_key_reused") as refused:
            counting.add_tenfold("cmd_1", by=6)

        assert counting.left_with is refused.value
        assert "prepared" not in inspect.signature(counting.add_tenfold).parameters

    def test_tries_again_after_a_version_conflict_and_leaves_nothing_of_the_first_try(self, counting, home):
        counting.conflicts = 3

        assert counting.add("cmd_1", by=5) == {"stream": STREAM, "total": 5}

        assert counting.runs == 4
        assert len(kernel.read(home, STREAM)) == 1

    def test_gives_up_after_three_more_tries(self, counting, home):
        counting.conflicts = 4

        with pytest.raises(errors.Conflict) as refusal:
            counting.add("cmd_1", by=5)

        assert refusal.value.code == "changed_meanwhile"
        assert counting.runs == 4
        assert kernel.count(home, tables.Command) == 0

    def test_tries_again_when_it_was_the_victim_of_a_deadlock(self, counting, home):
        kernel.add(home, "counter-one", 0)
        kernel.add(home, "counter-two", 0)
        both_hold_one, runs = threading.Barrier(2), []

        def add_to(session: Any, by: int, order: tuple[str, str]) -> dict[str, Any]:
            runs.append(order)
            kernel.add_in(session, order[0], by)
            if len(runs) <= 2:
                both_hold_one.wait(10)
            kernel.add_in(session, order[1], by)
            return {"stream": order[0]}

        def ask(order: tuple[str, str]) -> Any:
            service = at(home)
            service._add = lambda session, by: add_to(session, by, order)
            with context.use(actor=ADA):
                return service.add(f"cmd_{order[0]}", by=1)

        with ThreadPoolExecutor(2) as both:
            answers = list(both.map(ask, [("counter-one", "counter-two"), ("counter-two", "counter-one")]))

        assert sorted(answer["total"] for answer in answers) == [1, 2]
        assert len(runs) >= 3
        assert [len(kernel.read(home, stream)) for stream in ("counter-one", "counter-two")] == [3, 3]

    @pytest.mark.parametrize("sqlstate", ["40001", "40P01"], ids=["serialization failure", "deadlock"])
    def test_is_unavailable_when_it_is_undone_again_and_again(self, counting, home, sqlstate):
        counting.undone_with = sqlstate

        with pytest.raises(errors.Unavailable):
            counting.add("cmd_1", by=5)

        assert counting.runs == 4
        assert kernel.count(home, tables.Event) == 0

    @pytest.mark.parametrize("sqlstate", ["53100", "55P03", "25006"], ids=["disk full", "locked", "read only"])
    def test_is_unavailable_at_once_where_another_try_would_not_help(self, counting, sqlstate):
        counting.undone_with = sqlstate

        with pytest.raises(errors.Unavailable):
            counting.add("cmd_1", by=5)

        assert counting.runs == 1

    def test_of_32_writers_on_one_stream_each_counts_once_if_it_asks_again_when_told_to(self, home):
        def write(number: int) -> None:
            while True:
                with context.use(actor=ADA), suppress(errors.Conflict):
                    at(home).add(f"cmd_{number}", by=1)
                    return

        with ThreadPoolExecutor(32) as writers:
            list(writers.map(write, range(32)))

        assert kernel.row_of(home, Total, STREAM).total == 32
        assert [event.version for event in kernel.read(home, STREAM)] == list(range(1, 33))
        assert kernel.count(home, tables.Command) == 32
        assert verification.verify(home, kernel.CATALOGUE).faults == {}

    def test_does_not_wait_for_a_lock_when_its_caller_no_longer_waits(self, counting, home):
        counting.add("cmd_1", by=5)
        with home.engine.connect() as other:
            other.execute(text("SELECT 1 FROM streams FOR UPDATE"))
            started = time.monotonic()
            with context.use(deadline=time.time() + 0.2), pytest.raises(errors.Unavailable):
                counting.add("cmd_2", by=5)
            other.rollback()

        assert time.monotonic() - started < 1

    def test_writes_nothing_when_the_answer_cannot_be_rendered(self, counting, home):
        """Or the repeat would never find out what happened."""
        with home.begin() as session:
            session.execute(insert(Total).values(stream="counter-other", total=0))
        counting._add = lambda _session, _by: {"stream": "counter-nowhere"}

        with pytest.raises(Exception, match="No row"):
            counting.add("cmd_1", by=5)

        assert kernel.count(home, tables.Command) == 0


class TestQuery:
    def test_gives_what_the_method_gives(self, counting):
        counting.add("cmd_1", by=5)

        assert counting.get(stream=STREAM) == {"stream": STREAM, "total": 5}


class TestOpened:
    def test_lets_the_method_commit_by_itself(self, counting, home):
        assert counting.add_in_two_steps(by=5) == 5

        assert len(kernel.read(home, STREAM)) == 2


class TestReadLog:
    def test_gives_other_services_the_log_and_nobody_else(self, counting, home):
        (event,) = kernel.publish(home, STREAM)
        question = {"after": 0, "hash": "", "limit": 10}

        with context.use(actor=context.Actor(kind="service", id="listening")):
            assert counting.read_log(**question) == {"events": [event.to_json()], "head": 1}
        with context.use(actor=context.Actor(kind="person", id="acc_bob")), pytest.raises(errors.Forbidden):
            counting.read_log(**question)


CALLS = [
    ("add", ("cmd_1",), {"by": 1}),
    ("get", (), {"stream": STREAM}),
    ("add_in_two_steps", (), {"by": 1}),
    ("read_log", (), {"after": 0, "hash": "", "limit": 1}),
]


@pytest.mark.parametrize("method, positional, named", CALLS, ids=[call[0] for call in CALLS])
class TestEveryDoor:
    def test_asks_first_whether_the_actor_may(self, counting, home, method, positional, named):
        with context.use(actor=context.Actor(kind="person", id="acc_bob")), pytest.raises(errors.Forbidden):
            getattr(counting, method)(*positional, **named)

        assert (counting.runs, kernel.count(home, tables.Event)) == (0, 0)

    def test_says_that_it_is_unavailable_while_the_database_is_away(self, method, positional, named):
        away = database.Database(f"postgresql+psycopg2://nobody@127.0.0.1:{ports.free()}/none", clock.Clock())
        actor = ADA if method != "read_log" else context.Actor(kind="service")
        with context.use(actor=actor), pytest.raises(errors.Unavailable) as refusal:
            getattr(at(away), method)(*positional, **named)

        assert refusal.value.code == "database_unavailable"
