"""Credits and thresholds on a real database: granted, spent, given back, expired, and told."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from services.quota import boundary, grants, models, worker
from shared import context, errors, personal, store, tables
from tests.quota.conftest import LEDGER, OWNER, codes, recorded_messages, told

OPERATOR = context.Actor(kind="operator", id="ada@night")
END = datetime(2027, 2, 1, tzinfo=UTC)


@pytest.fixture
def bot_id(quota):
    return quota.tell("create_bot", name="Anna")["id"]


def grant(quota, messages=5, *, expires_at=END, reason="the outage of Monday", again=False, execute=True):
    wanted = grants.Grant(org_id="org_1", messages=messages, expires_at=expires_at, reason=reason)
    with context.use(actor=OPERATOR), quota.database.begin() as session:
        return grants.grant(session, wanted, again=again, execute=execute)


def send(quota, bot_id, count, prefix="msg"):
    return quota.send(bot_id, *(f"{prefix}_{number}" for number in range(count)))


def live(quota):
    return [(credit["id"], credit["remaining"]) for credit in quota.ask("list_credits")]


def assert_row_is_what_the_ledger_says(quota):
    with quota.database.begin() as session:
        page = boundary.open_page(session, "org_1")
        folded = store.load(session, boundary.ledger_stream("org_1", page.month.period), LEDGER)
    assert (folded.version, folded.hash) == (page.ledger_version, bytes(page.ledger_hash))
    assert (folded.state.used, folded.state.credits) == (page.month.used, page.month.credits)


class TestGrant:
    def test_lets_through_just_so_many_more_and_answers_say_so(self, quota, bot_id):
        id = grant(quota, 3)["id"]

        answers = send(quota, bot_id, 15)

        assert codes(answers) == ["admitted"] * 13 + ["message_limit_reached"] * 2
        shown = [answers[number]["admitted"] for number in (8, 9, 10, 12)]
        assert [(one["used"], one["limit"], one["credits_remaining"], one["remaining"]) for one in shown] == [
            (9, 10, 3, 4),
            (10, 10, 3, 3),
            (10, 10, 2, 2),
            (10, 10, 0, 0),
        ]
        usage = quota.ask("get_usage")
        assert (usage["used"], usage["credits_remaining"], usage["blocked"]) == (10, 0, True)
        assert live(quota) == [(id, 0)]
        assert send(quota, bot_id, 13) == answers[:13]
        assert_row_is_what_the_ledger_says(quota)

    def test_lets_stopped_bots_run_again(self, quota, bot_id):
        send(quota, bot_id, 10)

        grant(quota, 1)

        assert quota.ask("get_bot", bot_id=bot_id)["state"] == "running"
        assert codes(send(quota, bot_id, 2, "more")) == ["admitted", "message_limit_reached"]
        thresholds = ["UsageThresholdReached"] * 2
        assert told(quota) == [*thresholds, "BotsStopped", "BotsRestarted", "BotsStopped"]

    def test_stays_exact_though_many_send_at_once(self, quota, bot_id, make_quota):
        grant(quota, 7)
        other = make_quota(quota.database)

        def work(number):
            return codes(send(quota if number % 2 else other, bot_id, 3, f"msg_{number}"))

        with ThreadPoolExecutor(8) as pool:
            outcomes = [code for codes in pool.map(work, range(12)) for code in codes]

        assert outcomes.count("admitted") == recorded_messages(quota) == 17
        assert_row_is_what_the_ledger_says(quota)

    def test_records_who_did_and_keeps_why_where_it_can_be_erased(self, quota):
        id = grant(quota, reason="Canary Wharf")["id"]

        with quota.database.begin() as session:
            (event,) = session.scalars(select(tables.Event).where(tables.Event.name == "quota.CreditGranted"))
            assert personal.get(session, id) == {"reason": "Canary Wharf"}
            personal.erase(session, "org_1")
            assert personal.get(session, id) == {}
        assert json.loads(event.meta)["actor"] == {"kind": "operator", "id": "ada@night"}
        assert b"Canary" not in event.data + event.meta
        with pytest.raises(errors.NotFound, match="erased"):
            grant(quota)

    def test_is_done_once_though_the_command_is_given_twice(self, quota):
        grant(quota)

        with pytest.raises(errors.Conflict, match="already_granted"):
            grant(quota)
        grant(quota, again=True)
        grant(quota, reason="another")

        assert quota.ask("get_usage")["credits_remaining"] == 15

    def test_only_looks_without_execute(self, quota):
        seen = grant(quota, execute=False)

        assert (seen["id"], seen["credits_remaining"]) == (None, 5)
        assert live(quota) == []
        with pytest.raises(errors.Invalid, match="expired already"):
            grant(quota, expires_at=datetime(2026, 11, 22, 12, tzinfo=UTC), execute=False)

    def test_does_not_know_an_org_that_quota_does_not(self, quota):
        wanted = grants.Grant(org_id="org_2", messages=1, expires_at=END, reason="because")
        with quota.database.begin() as session, pytest.raises(errors.NotFound, match="unknown_org"):
            grants.grant(session, wanted, again=False, execute=True)

    def test_is_the_orgs_own(self, quota, bot_id):
        quota.subscribe(org_id="org_2")
        grant(quota)

        assert quota.ask("list_credits", actor=replace(OWNER, org_id="org_2")) == []


class TestRefundMessage:
    @pytest.mark.parametrize("later", [timedelta(minutes=1), timedelta(minutes=10)], ids=["same month", "next month"])
    def test_goes_back_to_its_credit_whatever_the_month(self, quota, bot_id, later):
        quota.database.clock.set(frozen_at=datetime(2026, 11, 30, 23, 55, tzinfo=UTC))
        id = grant(quota, 2)["id"]
        send(quota, bot_id, 12)
        quota.database.clock.set(frozen_at=datetime(2026, 11, 30, 23, 55, tzinfo=UTC) + later)

        for _ in range(2):
            quota.tell("refund_message", message_id="msg_11")

        assert live(quota) == [(id, 1)]
        with quota.database.begin() as session:
            (refunded,) = session.scalars(select(tables.Event).where(tables.Event.name == "quota.MessageRefunded"))
        assert refunded.stream == "ledger-org_1-2026-11"
        assert_row_is_what_the_ledger_says(quota)


class TestExpireCredits:
    def test_shows_bots_as_stopped_without_a_message(self, quota, bot_id):
        grant(quota, 5, expires_at=datetime(2026, 11, 25, tzinfo=UTC))
        send(quota, bot_id, 11)

        quota.database.clock.set(frozen_at=datetime(2026, 11, 24, 23, 59, tzinfo=UTC))
        worker.expire_credits(quota.database)
        assert quota.ask("get_bot", bot_id=bot_id)["state"] == "running"

        quota.database.clock.set(frozen_at=datetime(2026, 11, 25, tzinfo=UTC))
        worker.expire_credits(quota.database)
        worker.expire_credits(quota.database)
        assert quota.ask("get_bot", bot_id=bot_id)["state"] == "stopped"
        assert told(quota)[-1] == "BotsStopped"
        assert_row_is_what_the_ledger_says(quota)

    def test_happens_to_a_message_too(self, quota, bot_id):
        grant(quota, 5, expires_at=datetime(2026, 11, 25, tzinfo=UTC))
        send(quota, bot_id, 11)
        quota.database.clock.set(frozen_at=datetime(2026, 11, 25, tzinfo=UTC))

        assert codes(quota.send(bot_id, "late")) == ["message_limit_reached"]
        assert live(quota) == []

    def test_leaves_what_outlives_the_month(self, quota, bot_id):
        id = grant(quota, 5)["id"]
        send(quota, bot_id, 11)
        quota.database.clock.set(frozen_at=datetime(2026, 12, 1, tzinfo=UTC))

        worker.turn_months(quota.database)
        worker.expire_credits(quota.database)

        usage = quota.ask("get_usage")
        assert (usage["used"], usage["remaining"]) == (0, 14)
        assert live(quota) == [(id, 4)]
        assert_row_is_what_the_ledger_says(quota)


class TestPruneMessages:
    def test_forgets_those_of_all_but_the_open_month_and_the_two_before_it(self, quota, bot_id, monkeypatch):
        monkeypatch.setattr("shared.pruning.BATCH", 2)
        for month in (8, 9, 10, 11):
            quota.database.clock.set(frozen_at=datetime(2027, month, 28, tzinfo=UTC))
            send(quota, bot_id, 3, f"msg_{month}")
        quota.database.clock.set(frozen_at=datetime(2027, 8, 1, tzinfo=UTC))  # set back: it counts in November
        quota.send(bot_id, "msg_back")
        quota.database.clock.set(frozen_at=datetime(2027, 11, 30, tzinfo=UTC))

        assert (worker.prune_messages(quota.database), worker.prune_messages(quota.database)) == (3, 0)

        with quota.database.begin() as session:
            kept = select(models.Message.period, func.count()).group_by(models.Message.period)
            assert dict(session.execute(kept.order_by(models.Message.period)).all()) == {
                "2027-09": 3,
                "2027-10": 3,
                "2027-11": 4,
            }
