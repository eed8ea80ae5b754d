import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.quota import bots
from services.quota.events import BotCreated, BotPaused, BotResumed
from shared import errors

pytestmark = pytest.mark.pure


def roster(**reasons):
    """`roster(anna="", bob="plan user")`, in the order in which they were made."""
    return bots.Roster("org_1", {name: frozenset(held.split()) for name, held in reasons.items()})


def after(state, facts):
    for fact in facts:
        state = bots.evolve(state, fact)
    return state


class TestCreate:
    def test_makes_a_running_bot(self):
        facts = bots.create(roster(), org_id="org_1", bot_id="anna", name_version=1, limit=1)

        assert facts == [BotCreated(org_id="org_1", bot_id="anna", name_version=1)]
        assert after(roster(), facts).running == ["anna"]

    def test_needs_room(self):
        with pytest.raises(errors.Conflict) as refused:
            bots.create(roster(anna=""), org_id="org_1", bot_id="bob", name_version=1, limit=1)

        assert refused.value.code == "bot_limit"

    def test_finds_room_beside_a_paused_bot(self):
        assert bots.create(roster(anna="user"), org_id="org_1", bot_id="bob", name_version=1, limit=1)

    @pytest.mark.parametrize("bots_there, limit, most", [(1000, 1, 1000), (1200, 1200, 1200)])
    def test_finds_none_beside_as_many_as_an_org_may_have_however_many_are_paused(self, bots_there, limit, most):
        full = roster(**{f"bot{number}": "user" for number in range(bots_there)})

        with pytest.raises(errors.Conflict, match="too_many_bots") as refused:
            bots.create(full, org_id="org_1", bot_id="bob", name_version=1, limit=limit)

        assert f"{most:,} bots at most" in refused.value.message


class TestPause:
    def test_adds_the_reason_to_those_that_hold(self):
        facts = bots.pause(roster(anna="plan"), bot_id="anna")

        assert facts == [BotPaused(org_id="org_1", bot_id="anna", reason="user", reasons=("plan", "user"))]

    def test_refuses_a_bot_that_a_person_has_paused(self):
        with pytest.raises(errors.Conflict, match="bot_already_paused"):
            bots.pause(roster(anna="user"), bot_id="anna")

    def test_does_not_know_other_bots(self):
        with pytest.raises(errors.NotFound):
            bots.pause(roster(anna=""), bot_id="bob")


class TestResume:
    def test_removes_both_reasons(self):
        facts = bots.resume(roster(anna="plan user"), bot_id="anna", limit=1)

        assert facts == [BotResumed(org_id="org_1", bot_id="anna", reason="user", reasons=())]

    def test_needs_room(self):
        with pytest.raises(errors.Conflict, match="bot_limit"):
            bots.resume(roster(anna="plan", bob=""), bot_id="anna", limit=1)

    def test_refuses_a_running_bot(self):
        with pytest.raises(errors.Conflict, match="bot_already_running"):
            bots.resume(roster(anna=""), bot_id="anna", limit=2)


class TestFit:
    def test_pauses_the_newest_first(self):
        state = roster(anna="", bob="", carla="")

        facts = bots.fit(state, before=3, limit=1)

        assert [fact.bot_id for fact in facts] == ["carla", "bob"]
        assert after(state, facts).running == ["anna"]

    def test_leaves_bots_alone_that_a_person_has_paused(self):
        state = roster(anna="user", bob="", carla="")

        assert after(state, bots.fit(state, before=3, limit=1)).bots == roster(anna="user", bob="", carla="plan").bots

    def test_lets_the_oldest_run_first_when_there_is_more_room(self):
        state = roster(anna="", bob="plan", carla="plan")

        assert after(state, bots.fit(state, before=1, limit=2)).running == ["anna", "bob"]

    @pytest.mark.parametrize("before, limit", [(2, 2), (3, 2)])
    def test_leaves_room_that_the_owner_made_to_the_owner_until_the_plan_is_larger(self, before, limit):
        state = roster(anna="", bob="plan")

        assert bots.fit(state, before=before, limit=limit) == []

    def test_removes_no_reason_that_a_person_gave(self):
        state = roster(anna="plan user")

        facts = bots.fit(state, before=0, limit=1)

        assert facts == [BotResumed(org_id="org_1", bot_id="anna", reason="plan", reasons=("user",))]

    def test_says_nothing_when_nothing_changes(self):
        assert bots.fit(roster(anna="", bob="plan"), before=1, limit=1) == []

    @given(
        st.lists(st.sampled_from(["", "user", "plan", "plan user"]), max_size=8), st.integers(0, 8), st.integers(0, 8)
    )
    def test_never_runs_more_than_the_limit_and_is_done_at_once(self, reasons, before, limit):
        state = roster(**{f"bot{number}": held for number, held in enumerate(reasons)})

        fitted = after(state, bots.fit(state, before=before, limit=limit))

        assert len(fitted.running) <= limit
        assert bots.fit(fitted, before=before, limit=limit) == []
        assert bots.restore(json.loads(json.dumps(bots.dump(fitted)))) == fitted
        for bot_id, held in state.bots.items():
            assert (bots.USER in held) == (bots.USER in fitted.bots[bot_id])


class Model:
    """What the product page says of bots, on names in the order in which they were made."""

    def __init__(self):
        self.reasons, self.limit = {}, 1

    def room(self):
        return self.limit - sum(not held for held in self.reasons.values())

    def create(self, bot_id):
        return bot_id not in self.reasons and self.room() > 0 and self.reasons.update({bot_id: set()}) is None

    def pause(self, bot_id):
        return "user" not in self.reasons.get(bot_id, {"user"}) and self.reasons[bot_id].add("user") is None

    def resume(self, bot_id):
        return bool(self.reasons.get(bot_id)) and self.room() > 0 and self.reasons[bot_id].clear() is None

    def delete(self, bot_id):
        return self.reasons.pop(bot_id, None) is not None

    def change_plan(self, limit):
        larger, self.limit = limit > self.limit, limit
        for held in reversed(self.reasons.values()):  # the newest first
            if not held and self.room() < 0:
                held.add("plan")
        for held in self.reasons.values():  # the oldest first
            if larger and self.room() > 0:
                held.discard("plan")


BEGINNING = [("change_plan", 3), *(("create", name) for name in "abc")]


class TestWhateverHappens:
    @settings(max_examples=500, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.sampled_from(["create", "pause", "resume", "delete"]), st.sampled_from("abc")),
                st.tuples(st.just("change_plan"), st.integers(0, 3)),
            ),
            min_size=4,
            max_size=20,
        )
    )
    def test_bots_are_paused_and_run_as_the_product_page_says(self, story):
        state, model = bots.Roster(), Model()
        for what, value in [*BEGINNING, *story]:
            before, said = model.limit, getattr(model, what)(value)
            try:
                facts = _decided(state, what, value, before=before, limit=model.limit)
            except (errors.Conflict, errors.NotFound):
                assert not said
            else:
                assert said is not False
                state = after(state, facts)
            assert [(bot_id, set(held)) for bot_id, held in state.bots.items()] == [*model.reasons.items()]
            assert len(state.running) <= model.limit


def _decided(state, what, value, *, before, limit):
    match what:
        case "create":
            if value in state.bots:
                raise errors.Conflict("exists", "An id is made once.")
            return bots.create(state, org_id="org_1", bot_id=value, name_version=1, limit=limit)
        case "resume":
            return bots.resume(state, bot_id=value, limit=limit)
        case "change_plan":
            return bots.fit(state, before=before, limit=limit)
        case _:
            return getattr(bots, what)(state, bot_id=value)
