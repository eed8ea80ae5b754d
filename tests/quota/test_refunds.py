"""A message that could not be sent, taken back through the doors."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from services.quota.events import MessageRefunded
from shared import context, errors, store, tables
from tests.quota.conftest import LEDGER, OWNER, codes, told


@pytest.fixture
def bot_id(quota):
    return quota.tell("create_bot", name="Anna")["id"]


def refunds(quota):
    """Of each refund that was recorded: in which stream, and whether it gives back."""
    with quota.database.begin() as session:
        recorded = select(tables.Event).where(tables.Event.name == MessageRefunded.name).order_by(tables.Event.id)
        return [(row.stream, json.loads(row.data)["gives_back"]) for row in session.scalars(recorded)]


class TestRefundMessage:
    def test_gives_it_back_and_records_it_once(self, quota, bot_id):
        quota.send(bot_id, "msg_1", "msg_2")

        answers = [quota.tell("refund_message", message_id="msg_1") for _ in range(2)]
        repeated = [quota.tell("refund_message", command_id="cmd_same", message_id="msg_2") for _ in range(2)]

        assert [*answers, *repeated] == [{}] * 4
        assert quota.ask("get_usage")["used"] == 0
        assert refunds(quota) == [("ledger-org_1-2026-11", True)] * 2

    def test_shows_on_the_message_and_spends_its_id(self, quota, bot_id):
        quota.send(bot_id, "msg_1")
        quota.tell("refund_message", message_id="msg_1")

        assert quota.ask("get_message", message_id="msg_1")["refunded_at"] == "2026-11-22T12:00:00Z"
        assert codes(quota.send(bot_id, "msg_1", "msg_2")) == ["message_refunded", "admitted"]

    def test_lets_the_bots_of_an_ended_month_run_again_and_one_more_message_through(self, quota, bot_id):
        quota.send(bot_id, *(f"msg_{number}" for number in range(10)))
        quota.tell("refund_message", message_id="msg_3")

        assert quota.ask("get_bot", bot_id=bot_id)["state"] == "running"
        assert codes(quota.send(bot_id, "msg_a", "msg_b")) == ["admitted", "message_limit_reached"]
        assert told(quota) == [*["UsageThresholdReached"] * 2, "BotsStopped", "BotsRestarted", "BotsStopped"]

    def test_stands_in_the_month_that_counted_it_though_that_is_over(self, quota, bot_id):
        quota.database.clock.set(frozen_at=datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
        quota.send(bot_id, "msg_1", "msg_2")
        quota.database.clock.set(frozen_at=datetime(2026, 12, 1, 0, 5, tzinfo=UTC))
        quota.send(bot_id, "msg_3")

        quota.tell("refund_message", message_id="msg_1")

        assert refunds(quota) == [("ledger-org_1-2026-11", False)]
        assert quota.ask("get_usage")["used"] == 1
        with quota.database.begin() as session:
            november = store.load(session, "ledger-org_1-2026-11", LEDGER)
        assert (november.state.used, november.version) == (2, 5)

    def test_opens_the_new_month_where_it_is_the_first_to_come(self, quota, bot_id):
        quota.database.clock.set(frozen_at=datetime(2026, 11, 30, 23, 59, tzinfo=UTC))
        quota.send(bot_id, *(f"msg_{number}" for number in range(10)))
        quota.database.clock.set(frozen_at=datetime(2026, 12, 1, tzinfo=UTC))

        quota.tell("refund_message", message_id="msg_1")

        assert refunds(quota) == [("ledger-org_1-2026-11", False)]
        assert told(quota) == [*["UsageThresholdReached"] * 2, "BotsStopped", "BotsRestarted"]
        assert quota.ask("get_usage")["used"] == 0

    def test_gives_nothing_back_after_a_reset(self, quota, bot_id):
        quota.send(bot_id, "msg_1")
        quota.subscribe(version=2, action="upgraded", message_limit=100)
        quota.send(bot_id, "msg_2")

        quota.tell("refund_message", message_id="msg_1")

        assert quota.ask("get_usage")["used"] == 1
        assert refunds(quota) == [("ledger-org_1-2026-11", False)]

    def test_is_refused_after_a_quarter_of_an_hour(self, quota, bot_id):
        quota.send(bot_id, "msg_1")
        quota.database.clock.set(frozen_at=datetime(2026, 11, 22, 12, 15, tzinfo=UTC))

        with pytest.raises(errors.Conflict, match="refund_window_over"):
            quota.tell("refund_message", message_id="msg_1")

        assert quota.ask("get_usage")["used"] == 1
        assert codes(quota.send(bot_id, "msg_1")) == ["admitted"]

    @pytest.mark.parametrize(
        "org_id, message_id", [("org_1", "msg_never"), ("org_2", "msg_1"), ("org_unheard_of", "msg_1")]
    )
    def test_does_not_know_what_was_never_counted_or_is_another_orgs(self, quota, bot_id, org_id, message_id):
        quota.subscribe(org_id="org_2")
        quota.send(bot_id, "msg_1")

        with pytest.raises(errors.NotFound, match="unknown_message"):
            quota.tell("refund_message", actor=replace(OWNER, org_id=org_id), message_id=message_id)

        assert refunds(quota) == []

    def test_needs_a_scope_of_its_own(self, quota, bot_id):
        quota.send(bot_id, "msg_1")
        writer, refunder = (
            context.Actor(kind="secret", id="sec_1", org_id="org_1", scopes=(scope,))
            for scope in ("messages:write", "messages:refund")
        )

        with pytest.raises(errors.Forbidden, match="insufficient_scope"):
            quota.tell("refund_message", actor=writer, message_id="msg_1")
        assert quota.tell("refund_message", actor=refunder, message_id="msg_1") == {}

    def test_keeps_the_count_exact_though_many_refund_and_send_at_once(self, quota, bot_id, make_quota):
        quota.send(bot_id, *(f"msg_{number}" for number in range(10)))
        other = make_quota(quota.database)

        def work(number):
            doors = quota if number % 2 else other
            doors.tell("refund_message", command_id=f"cmd_r{number}", message_id=f"msg_{number % 4}")
            return codes(doors.send(bot_id, f"more_{number}"))

        with ThreadPoolExecutor(8) as pool:
            outcomes = [code for codes in pool.map(work, range(16)) for code in codes]

        assert outcomes.count("admitted") == 4
        assert refunds(quota) == [("ledger-org_1-2026-11", True)] * 4
        assert quota.ask("get_usage")["used"] == 10
