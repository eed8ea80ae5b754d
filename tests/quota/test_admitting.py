"""quota's door for messages on a real database: exact under concurrency, and under repeats."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from services.quota import boundary, models
from shared import context, errors, store
from tests.quota.conftest import GATEWAY, LEDGER, OWNER, codes, for_gateway, recorded_messages

RUNTIME = context.Actor(kind="service", id="runtime")
BUSY = "service_unavailable"


def until_decided(doors, bot_id, ids):
    """Ask again, as the API says, for what was not counted because somebody else held on to the org."""
    answers = dict(zip(ids, doors.send(bot_id, *ids), strict=True))
    while undecided := [id for id, code in zip(ids, codes(answers.values()), strict=True) if code == BUSY]:
        answers |= zip(undecided, doors.send(bot_id, *undecided), strict=True)
    return list(answers.values())


@pytest.fixture
def bot_id(quota):
    return quota.tell("create_bot", name="Anna")["id"]


class TestAdmitMessages:
    def test_counts_up_to_the_limit_and_not_beyond(self, quota, bot_id):
        answers = quota.send(bot_id, *(f"msg_{number}" for number in range(12)))

        assert codes(answers) == ["admitted"] * 10 + ["message_limit_reached"] * 2
        assert answers[-1]["refused"]["details"] == {
            "used": 10,
            "limit": 10,
            "credits_remaining": 0,
            "resets_at": "2026-12-01T00:00:00Z",
        }
        assert recorded_messages(quota) == 10

    def test_answers_a_repeat_as_it_did_the_first_time(self, quota, bot_id):
        first = quota.send(bot_id, "msg_1")
        quota.send(bot_id, "msg_2", "msg_3")

        assert quota.send(bot_id, "msg_1") == first
        assert quota.send(bot_id, "msg_4", "msg_4")[0] == quota.send(bot_id, "msg_4")[0]
        assert recorded_messages(quota) == 4

    def test_decides_a_refusal_anew(self, quota, bot_id):
        quota.send(bot_id, *(f"msg_{number}" for number in range(10)))
        assert codes(quota.send(bot_id, "msg_late")) == ["message_limit_reached"]

        quota.subscribe(version=2, action="upgraded", message_limit=100)

        assert codes(quota.send(bot_id, "msg_late")) == ["admitted"]

    def test_refuses_an_id_that_was_used_for_another_bot(self, quota, bot_id):
        quota.subscribe(version=2, bot_limit=2, action="corrected")
        other = quota.tell("create_bot", name="Bob")["id"]
        quota.send(bot_id, "msg_1")

        assert codes(quota.send(other, "msg_1")) == ["message_id_reused"]

    def test_refuses_a_paused_bot(self, quota, bot_id):
        quota.tell("pause_bot", bot_id=bot_id)

        assert codes(quota.send(bot_id, "msg_1")) == ["bot_paused"]

    def test_does_not_know_the_bot_of_another_org(self, quota, bot_id):
        quota.subscribe(org_id="org_2")
        stranger = OWNER.__class__(kind="person", id="acc_2", org_id="org_2", role="owner")

        assert codes(quota.send(bot_id, "msg_1", actor=stranger)) == ["unknown_bot"]

    def test_says_that_an_org_without_limits_yet_is_being_set_up(self, quota):
        stranger = OWNER.__class__(kind="person", id="acc_9", org_id="org_9", role="owner")

        assert codes(quota.send("bot_x", "msg_1", actor=stranger)) == ["org_not_ready"]

    def test_admits_what_another_service_asks_in_orgs_that_it_names(self, quota, bot_id):
        quota.subscribe(org_id="org_2")
        items = [
            {"message_id": "msg_1", "bot_id": bot_id, **org} for org in ({"org_id": "org_1"}, {"org_id": "org_2"}, {})
        ]

        assert codes(quota.ask("admit_messages", actor=RUNTIME, items=items)) == [
            "admitted",
            "unknown_bot",
            "org_required",
        ]
        assert codes(quota.ask("admit_messages", actor=replace(RUNTIME, org_id="org_1"), items=items[2:])) == [
            "admitted"
        ]
        assert recorded_messages(quota) == 1

    @pytest.mark.parametrize(
        "items",
        [
            [{"message_id": "msg_1", "bot_id": "bot_1", "org_id": "org_1", "actor": OWNER.to_json()}],
            [{"message_id": "msg_1", "bot_id": "bot_1", "org_id": "org_1", "deadline": 1.0}],
            [{"message_id": "msg 1", "bot_id": "bot_1", "org_id": "org_1"}],
            [{"message_id": "msg_1", "bot_id": ["bot_1"], "org_id": "org_1"}],
            [{"message_id": "msg_1", "bot_id": "bot_1", "org_id": None}],
            [{"message_id": "msg_1", "bot_id": "bot_1", "org_id": {}}],
            [{"message_id": "msg_1", "bot_id": "bot_1", "org_id": "org_1"}, {}],
            [{"message_id": "msg_1", "bot_id": "bot_1", "org_id": "org_1"}] * 257,
        ],
    )
    def test_refuses_what_another_service_may_not_ask(self, quota, items):
        with pytest.raises(errors.Invalid) as refused:
            quota.ask("admit_messages", actor=RUNTIME, items=items)

        assert refused.value.code == "invalid_items"

    def test_refuses_each_item_by_its_own_actor(self, quota, bot_id):
        reader = OWNER.__class__(kind="secret", id="sec_1", org_id="org_1", scopes=("usage:read",))
        items = [
            for_gateway("msg_1", bot_id, actor=0),
            for_gateway("msg_2", bot_id, actor=1),
            for_gateway("msg_3", bot_id, actor=1, seconds=-1.0),
        ]
        actors = [reader.to_json(), OWNER.to_json()]

        answers = quota.ask("admit_messages", actor=GATEWAY, items=items, actors=actors)

        assert codes(answers) == ["insufficient_scope", "admitted", "deadline_passed"]

    def test_is_for_services_only(self, quota):
        with pytest.raises(errors.Forbidden):
            quota.ask("admit_messages", actor=OWNER, items=[])

    def test_admits_exactly_what_is_left_to_a_thousand_at_once_through_two_processes(self, quota, bot_id, make_quota):
        quota.subscribe(version=2, action="upgraded", message_limit=1000)
        quota.send(bot_id, *(f"used_{number}" for number in range(990)))
        other = make_quota(quota.database)
        start = threading.Barrier(16)

        def send(thread):
            start.wait()
            doors = quota if thread % 2 else other
            answers = []
            for batch in range(0, 1000, 16 * 8):
                ids = [f"msg_{number}" for number in range(batch + thread, min(batch + 16 * 8, 1000), 16)]
                answers += until_decided(doors, bot_id, ids)
            return answers

        with ThreadPoolExecutor(16) as pool:
            answers = [answer for thread in pool.map(send, range(16)) for answer in thread]

        assert len(answers) == 1000
        assert codes(answers).count("admitted") == 10
        refusals = [answer["refused"] for answer in answers if "refused" in answer]
        assert {refusal["details"]["resets_at"] for refusal in refusals} == {"2026-12-01T00:00:00Z"}
        assert quota.ask("get_usage")["used"] == 1000
        assert recorded_messages(quota) == 1000

    def test_keeps_the_row_and_the_ledger_the_same(self, quota, bot_id):
        quota.send(bot_id, *(f"msg_{number}" for number in range(7)))
        quota.subscribe(version=2, action="upgraded", message_limit=50)
        quota.send(bot_id, "msg_a", "msg_b")

        with quota.database.begin() as session:
            page = boundary.open_page(session, "org_1")
            folded = store.load(session, boundary.ledger_stream("org_1", page.month.period), LEDGER)

        assert (folded.version, folded.hash) == (page.ledger_version, bytes(page.ledger_hash))
        assert (folded.state.used, folded.state.limit, folded.state.generation) == (2, 50, 1)
        assert (page.month.used, page.month.limit, page.month.generation) == (2, 50, 1)

    def test_does_not_deadlock_where_batches_hold_the_same_orgs_in_another_order(self, quota, make_quota):
        actors = []
        for number in range(4):
            org_id = f"org_{number + 10}"
            quota.subscribe(org_id=org_id, message_limit=10_000)
            actor = OWNER.__class__(kind="person", id="acc", org_id=org_id, role="owner")
            actors.append((actor, quota.tell("create_bot", actor=actor, name="Anna")["id"]))

        def send(thread):
            order = actors if thread % 2 else actors[::-1]
            items = [
                for_gateway(f"m{thread}_{round_}", bot, actor=place)
                for place, (_, bot) in enumerate(order)
                for round_ in range(5)
            ]
            asking = [actor.to_json() for actor, _ in order]
            return codes(quota.ask("admit_messages", actor=GATEWAY, items=items, actors=asking))

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, range(8)))

        assert answers == [["admitted"] * 20] * 8


class TestABatchThatComesTooLate:
    def test_is_refused_whole_and_not_tried_one_by_one(self, quota, bot_id):
        with (
            capture_logs() as lines,
            context.use(deadline=time.time() - 1),
            pytest.raises(errors.Unavailable, match="deadline_passed"),
        ):
            quota.send(bot_id, "msg_1", "msg_2")

        assert lines == []


def test_messages_are_kept_as_the_models_say(quota, bot_id):
    quota.send(bot_id, "msg_1")

    assert quota.ask("get_message", message_id="msg_1")["used"] == 1
    with pytest.raises(errors.NotFound):
        quota.ask("get_message", message_id="msg_2")
    with quota.database.begin() as session:
        assert session.get(models.Message, ("org_1", "msg_1")).generation == 0
