"""quota's doors on a real database: exactness under concurrency, repeats, the clock, the bots."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from services.quota import boundary, ledger, models, worker
from services.quota.events import CATALOGUE, MessageRecorded
from shared import context, errors, outbox, revisions, store, tables
from tests.quota.conftest import GATEWAY, OWNER, for_gateway

RUNTIME = context.Actor(kind="service", id="runtime")
BUSY = "service_unavailable"
LEDGER = store.Aggregate(catalogue=CATALOGUE, initial=ledger.Month(), evolve=ledger.evolve)


def until_decided(doors, bot_id, ids):
    """Ask again, as the API says, for what was not counted because somebody else held on to the org."""
    answers = dict(zip(ids, doors.send(bot_id, *ids), strict=True))
    while undecided := [id for id, code in zip(ids, codes(answers.values()), strict=True) if code == BUSY]:
        answers |= zip(undecided, doors.send(bot_id, *undecided), strict=True)
    return list(answers.values())


def codes(answers):
    return [answer.get("refused", {"code": "admitted"})["code"] for answer in answers]


def recorded_messages(quota, org_id="org_1"):
    with quota.database.begin() as session:
        wanted = select(func.count()).where(
            tables.Event.name == MessageRecorded.name, tables.Event.stream.like(f"ledger-{org_id}-%")
        )
        return session.scalars(wanted).one()


def told(quota):
    """The names of what quota has told the others, in order."""
    outbox.sequence(quota.database)
    with quota.database.begin() as session:
        return [event.name.removeprefix("quota.") for event in outbox.read_log(session, "quota", after=0, limit=100)]


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


class TestTheClock:
    LAST = datetime(2026, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC)
    FIRST = datetime(2026, 12, 1, tzinfo=UTC)

    def test_counts_each_message_in_its_own_month(self, quota, bot_id):
        quota.database.clock.set(frozen_at=self.LAST)
        last = quota.send(bot_id, "msg_last")[0]["admitted"]
        quota.database.clock.set(frozen_at=self.FIRST)
        first = quota.send(bot_id, "msg_first")[0]["admitted"]

        assert (last["period"], last["used"]) == ("2026-11", 1)
        assert (first["period"], first["used"]) == ("2026-12", 1)

    def test_counts_in_the_open_month_when_the_clock_is_set_back(self, quota, bot_id):
        quota.database.clock.set(frozen_at=self.FIRST)
        quota.send(bot_id, "msg_1")
        quota.database.clock.set(frozen_at=self.LAST)
        quota.send(bot_id, "msg_2")
        quota.database.clock.set(frozen_at=self.FIRST)
        answer = quota.send(bot_id, "msg_3")[0]["admitted"]

        assert (answer["period"], answer["used"]) == ("2026-12", 3)
        with quota.database.begin() as session:
            opened = select(tables.Event.stream).where(tables.Event.name == "quota.PeriodOpened")
            streams = session.scalars(opened.order_by(tables.Event.stream)).all()
        assert streams == ["ledger-org_1-2026-11", "ledger-org_1-2026-12"]

    def test_opens_a_month_once_though_many_ask_at_its_first_moment(self, quota, bot_id):
        quota.database.clock.set(frozen_at=self.FIRST)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: quota.send(bot_id, f"msg_{number}"), range(40)))

        assert recorded_messages(quota) == 10
        assert quota.ask("get_usage")["used"] == 10

    def test_gives_the_first_answer_to_an_id_of_the_month_before(self, quota, bot_id):
        quota.database.clock.set(frozen_at=self.LAST)
        last = quota.send(bot_id, "msg_last")
        quota.database.clock.set(frozen_at=self.FIRST)

        assert quota.send(bot_id, "msg_last") == last
        assert quota.ask("get_usage")["used"] == 0

    def test_lets_bots_run_again_without_a_message(self, quota, bot_id):
        quota.database.clock.set(frozen_at=self.LAST)
        quota.send(bot_id, *(f"msg_{number}" for number in range(10)))
        assert quota.ask("get_bot", bot_id=bot_id)["state"] == "stopped"
        quota.database.clock.set(frozen_at=self.FIRST)

        worker.turn_months(quota.database)
        worker.turn_months(quota.database)

        assert quota.ask("get_bot", bot_id=bot_id)["state"] == "running"
        assert told(quota) == [*["UsageThresholdReached"] * 2, "BotsStopped", "BotsRestarted"]


class TestOnSubscriptionChanged:
    def test_resets_usage_and_pauses_the_bots_without_room(self, quota, bot_id):
        quota.subscribe(version=2, action="upgraded", plan="starter", message_limit=100, bot_limit=3)
        bots = [bot_id, *(quota.tell("create_bot", name=name)["id"] for name in ("Bob", "Carla"))]
        quota.send(bot_id, "msg_1", "msg_2")

        quota.subscribe(version=3, action="downgraded", message_limit=10, bot_limit=1)

        usage = quota.ask("get_usage")
        assert (usage["used"], usage["limit"], usage["resets_left"]) == (0, 10, 0)
        states = {bot["id"]: bot["state"] for bot in quota.ask("list_bots")}
        assert [states[id] for id in bots] == ["running", "paused", "paused"]
        assert told(quota) == ["QuotaReset", "QuotaReset", "BotPaused", "BotPaused"]

    def test_happens_once_though_it_is_told_twice_and_late(self, quota, bot_id):
        quota.subscribe(version=3, action="upgraded", message_limit=300)
        quota.send(bot_id, "msg_1")

        quota.subscribe(version=3, action="upgraded", message_limit=300)
        quota.subscribe(version=2, action="upgraded", message_limit=200)

        usage = quota.ask("get_usage")
        assert (usage["used"], usage["limit"]) == (1, 300)

    def test_gives_room_to_the_oldest_again(self, quota, bot_id):
        quota.subscribe(version=2, action="upgraded", bot_limit=3)
        for name in ("Bob", "Carla"):
            quota.tell("create_bot", name=name)
        quota.subscribe(version=3, action="downgraded", bot_limit=1)

        quota.subscribe(version=4, action="upgraded", bot_limit=2)

        assert [bot["state"] for bot in quota.ask("list_bots")] == ["running", "running", "paused"]

    def test_lets_no_bot_run_in_room_that_the_owner_made_when_the_plan_is_only_renewed(self, quota, bot_id):
        quota.subscribe(version=2, action="upgraded", bot_limit=2)
        quota.tell("create_bot", name="Bob")
        quota.subscribe(version=3, action="downgraded", bot_limit=1)
        quota.tell("delete_bot", bot_id=bot_id)

        quota.subscribe(version=4, action="renewed", bot_limit=1)

        assert [bot["pause_reasons"] for bot in quota.ask("list_bots")] == [["plan"]]


class TestBots:
    def test_are_folded_from_a_snapshot_when_their_story_is_long(self, quota, bot_id):
        for _ in range(101):
            quota.tell("pause_bot", bot_id=bot_id)
            quota.tell("resume_bot", bot_id=bot_id)

        with quota.database.begin() as session:
            assert session.scalars(select(tables.Snapshot.version)).all() == [200]
        with pytest.raises(errors.Conflict, match="bot_limit"):
            quota.tell("create_bot", name="Bob")

    def test_are_made_once_though_asked_for_twice(self, quota):
        first = quota.tell("create_bot", command_id="cmd_same", name="Anna")
        again = quota.tell("create_bot", command_id="cmd_same", name="Anna")

        assert first == again
        assert len(quota.ask("list_bots")) == 1

    def test_are_listed_in_the_order_of_their_making_page_by_page(self, quota):
        quota.subscribe(version=2, bot_limit=5, action="corrected")
        made = [quota.tell("create_bot", name=f"Bot {number}")["id"] for number in range(5)]

        first = quota.ask("list_bots", limit=3)
        rest = quota.ask("list_bots", after=first[-1]["id"], limit=3)

        assert [bot["id"] for bot in first + rest] == made

    def test_take_another_name(self, quota, bot_id):
        quota.tell("rename_bot", bot_id=bot_id, name="Berta")

        assert quota.ask("get_bot", bot_id=bot_id)["name"] == "Berta"

    @pytest.mark.parametrize("command", ["rename_bot", "delete_bot"])
    def test_are_left_alone_by_whoever_saw_an_older_revision(self, quota, bot_id, command):
        change = {"bot_id": bot_id, **({"name": "Clara"} if command == "rename_bot" else {})}
        seen = revisions.of(quota.ask("get_bot", bot_id=bot_id))
        quota.tell("rename_bot", bot_id=bot_id, name="Berta")

        with context.use(if_match=(seen,)), pytest.raises(errors.Conflict, match="precondition_failed"):
            quota.tell(command, **change)

        assert quota.ask("get_bot", bot_id=bot_id)["name"] == "Berta"
        with context.use(if_match=(revisions.of(quota.ask("get_bot", bot_id=bot_id)),)):
            quota.tell(command, **change)

    @pytest.mark.parametrize("command", ["rename_bot", "delete_bot"])
    def test_are_what_was_read_just_now_though_the_month_has_not_turned_yet(self, quota, bot_id, command):
        change = {"bot_id": bot_id, **({"name": "Clara"} if command == "rename_bot" else {})}
        quota.send(bot_id, *(f"msg_{number}" for number in range(10)))
        quota.database.clock.set(frozen_at=datetime(2026, 12, 1, tzinfo=UTC))
        seen = quota.ask("get_bot", bot_id=bot_id)

        with context.use(if_match=(revisions.of(seen),)):
            quota.tell(command, **change)

        assert seen["state"] == "stopped"

    def test_are_gone_when_deleted(self, quota, bot_id):
        quota.tell("delete_bot", bot_id=bot_id)

        with pytest.raises(errors.NotFound):
            quota.ask("get_bot", bot_id=bot_id)

    @pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "nul\x00"])
    def test_have_a_name_that_can_be_shown(self, quota, name):
        with pytest.raises(errors.Invalid) as refused:
            quota.tell("create_bot", name=name)

        assert refused.value.details["errors"][0]["pointer"] == "/name"

    def test_leave_no_name_in_any_event(self, quota):
        quota.tell("create_bot", name="Canary Wharf")

        with quota.database.begin() as session:
            data = session.scalars(select(tables.Event.data)).all()
        assert not any(b"Canary" in bytes(one) for one in data)

    def test_do_not_outnumber_the_plan_though_many_are_made_at_once(self, quota):
        quota.subscribe(version=2, bot_limit=3, action="corrected")

        def make(number):
            try:
                return quota.tell("create_bot", command_id=f"cmd_x{number}", name=f"Bot {number}")["id"]
            except errors.Conflict as refusal:
                return refusal.code

        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(make, range(12)))

        assert made.count("bot_limit") == 9
        assert len(quota.ask("list_bots")) == 3


def test_messages_are_kept_as_the_models_say(quota, bot_id):
    quota.send(bot_id, "msg_1")

    assert quota.ask("get_message", message_id="msg_1")["used"] == 1
    with pytest.raises(errors.NotFound):
        quota.ask("get_message", message_id="msg_2")
    with quota.database.begin() as session:
        assert session.get(models.Message, ("org_1", "msg_1")).generation == 0
