"""quota's other doors, and what it hears, on a real database: the clock, the plan, the bots."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from services.quota import worker
from shared import context, errors, revisions, tables
from tests.quota.conftest import recorded_messages, told


@pytest.fixture
def bot_id(quota):
    return quota.tell("create_bot", name="Anna")["id"]


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
