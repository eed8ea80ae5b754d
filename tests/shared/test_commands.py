import json
from collections.abc import Callable

import pytest
from sqlalchemy import text

from shared import commands, context, database, errors, store, tables
from tests.shared import kernel

KEY = b"k" * 32
ROUTE = "counting.add"
ADA = context.Actor(kind="person", id="acc_ada", org_id="org_1")


def run(
    home: database.Database,
    command_id: str = "cmd_1",
    *,
    route: str = ROUTE,
    before_the_end: Callable[[], None] = lambda: None,
    **body: object,
) -> dict[str, object]:
    """As a door does: recall, or do it and remember."""
    mark = commands.fingerprint(KEY, body)
    with home.begin() as session:
        known = commands.recall(session, route=route, command_id=command_id, fingerprint=mark)
        if known is not None:
            return known
        store.execute(session, "counter-org_1", kernel.COUNTER, lambda _total: [kernel.Added(by=1)])
        outcome = {"number": kernel.count(home, tables.Command) + 1}
        commands.remember(session, route=route, command_id=command_id, fingerprint=mark, outcome=outcome)
        before_the_end()
        return outcome


@pytest.fixture(autouse=True)
def as_ada():
    with context.use(actor=ADA):
        yield


class TestRecall:
    def test_gives_the_first_outcome_to_every_repeat_and_does_it_once(self, home):
        outcomes = [run(home, by=5) for _ in range(3)]

        assert outcomes == [{"number": 1}] * 3
        assert len(kernel.read(home, "counter-org_1")) == 1

    def test_does_not_care_in_which_order_the_body_is_written(self, home):
        first = run(home, by=5, tag="x")

        assert run(home, tag="x", by=5) == first

    def test_refuses_another_body_under_the_same_id(self, home):
        run(home, by=5)

        with pytest.raises(errors.Invalid) as refusal:
            run(home, by=6)

        assert refusal.value.code == "idempotency_key_reused"

    @pytest.mark.parametrize(
        "other",
        [
            {"actor": context.Actor(kind="person", id="acc_bob", org_id="org_1")},
            {"actor": context.Actor(kind="secret", id="acc_ada", org_id="org_1")},
            {"actor": context.Actor(kind="person", id="acc_ada", org_id="org_2")},
            {"route": "counting.clear"},
            {"command_id": "cmd_2"},
        ],
        ids=["another person", "another kind", "another org", "another route", "another id"],
    )
    def test_keeps_others_apart(self, home, other):
        run(home, by=5)

        actor = other.pop("actor", ADA)
        with context.use(actor=actor):
            assert run(home, by=6, **other) == {"number": 2}

    def test_refuses_a_second_one_while_the_first_is_under_way(self, home):
        mark = commands.fingerprint(KEY, {"by": 5})
        with home.begin() as session:
            commands.recall(session, route=ROUTE, command_id="cmd_1", fingerprint=mark)

            with pytest.raises(errors.Conflict) as refusal:
                run(home, by=5)

        assert refusal.value.code == "idempotency_in_progress"
        assert run(home, by=5) == {"number": 1}

    def test_remembers_nothing_of_a_refusal(self, home):
        def refuse() -> None:
            raise errors.LimitReached("full")

        with pytest.raises(errors.LimitReached):
            run(home, before_the_end=refuse, by=5)

        assert run(home, by=6) == {"number": 1}


class TestRemember:
    def test_keeps_nothing_of_the_body(self, home):
        run(home, name="Ada Lovelace", amount=271828)

        with home.begin() as session:
            row = session.scalars(text("SELECT to_jsonb(commands) FROM commands")).one()

        kept = json.dumps(row) + bytes.fromhex(row["fingerprint"].removeprefix("\\x")).decode("latin-1")
        assert "Lovelace" not in kept
        assert "271828" not in kept


class TestFingerprint:
    def test_cannot_be_guessed_without_the_key(self):
        assert commands.fingerprint(KEY, {"by": 1}) != commands.fingerprint(b"x" * 32, {"by": 1})
