"""What can be read of the months: as the ledger has them, whatever happened, and without looking at every message."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import select, text

from services.quota import boundary, grants, models, projections, tally, worker
from shared import context, errors, rebuilding, store
from tests.quota.conftest import GATEWAY, LEDGER, OWNER
from tests.quota.test_credits import NOW, steps

STRANGER = OWNER.__class__(kind="person", id="acc_2", org_id="org_2", role="owner")


@pytest.fixture
def bot_id(quota):
    return quota.tell("create_bot", name="Anna")["id"]


def at(quota, *moment):
    quota.database.clock.set(frozen_at=datetime(2026, *moment, tzinfo=UTC))


def send(quota, bot_id, first, last):
    quota.send(bot_id, *(f"msg_{number}" for number in range(first, last + 1)))


@pytest.fixture
def story(quota, bot_id):
    """Two days of November with a refund, a reset and another refund; then December."""
    send(quota, bot_id, 1, 4)
    quota.tell("refund_message", message_id="msg_4")
    at(quota, 11, 23, 0, 5)
    send(quota, bot_id, 5, 6)
    quota.subscribe(version=2, plan="starter", action="upgraded", message_limit=20, bot_limit=3)
    quota.tell("refund_message", message_id="msg_6")
    send(quota, bot_id, 7, 9)
    at(quota, 12, 1)
    send(quota, bot_id, 10, 10)
    return quota


def grant(quota, org_id, messages, expires_at):
    wanted = grants.Grant(org_id=org_id, messages=messages, expires_at=expires_at, reason="an outage")
    with context.use(actor=context.Actor(kind="operator", id="ada@night")), quota.database.begin() as session:
        grants.grant(session, wanted, again=True, execute=True)


def refusal(quota, method, **arguments):
    with pytest.raises(errors.ServiceError) as refused:
        quota.ask(method, **arguments)
    return refused.value.code


class TestGetUsage:
    def test_shows_how_a_month_ended(self, story):
        november = story.ask("get_usage", period="2026-11")

        assert november | {"plan": "starter"} == november
        assert (november["used"], november["limit"], november["remaining"]) == (3, 20, 17)
        assert (november["resets_at"], november["blocked"]) == ("2026-12-01T00:00:00Z", False)
        assert november["forecast"] == {"runs_out_at": None}

    def test_shows_the_limits_that_an_orgs_first_subscription_brought(self, quota):
        at(quota, 12, 1)
        quota.ask("get_usage")

        november = quota.ask("get_usage", period="2026-11")

        assert (november["plan"], november["limit"], november["used"]) == ("free", 10, 0)

    def test_shows_the_open_month_with_or_without_its_name(self, story):
        assert story.ask("get_usage", period="2026-12") == story.ask("get_usage")

    def test_shows_what_credits_had_left_when_a_month_ended(self, quota, bot_id):
        grant(quota, "org_1", 3, NOW + timedelta(days=60))
        send(quota, bot_id, 1, 12)
        quota.tell("refund_message", message_id="msg_12")
        shown = quota.ask("get_usage")
        at(quota, 12, 1)
        send(quota, bot_id, 13, 13)

        november, december = quota.ask("get_usage", period="2026-11"), quota.ask("get_usage")

        numbers = ("used", "credits_remaining", "remaining", "blocked")
        assert [november[name] for name in numbers] == [shown[name] for name in numbers] == [10, 2, 2, False]
        assert [december[name] for name in numbers] == [1, 2, 11, False]
        assert sum(day["messages"] for day in quota.ask("list_daily_usage", period="2026-11")["items"]) == 12

    def test_foretells_with_the_plans_messages_and_credits_together(self, quota, bot_id):
        send(quota, bot_id, 1, 5)
        grant(quota, "org_1", 10, NOW + timedelta(days=60))

        assert quota.ask("get_usage")["forecast"] == {"runs_out_at": "2026-11-25T12:00:00Z"}  # 15 left, 5 a day

    def test_foretells_when_the_open_month_runs_out(self, quota, bot_id):
        send(quota, bot_id, 1, 5)
        quota.tell("refund_message", message_id="msg_5")

        assert quota.ask("get_usage")["forecast"] == {"runs_out_at": "2026-11-24T00:00:00Z"}  # 6 left, 4 a day

    def test_opens_the_month_that_it_is_when_it_is_asked_for_by_name(self, quota):
        at(quota, 12, 1)

        assert quota.ask("list_daily_usage", period="2026-12") == {"period": "2026-12", "items": []}
        assert quota.ask("get_usage", period="2026-12")["used"] == 0

    @pytest.mark.parametrize("method", ["get_usage", "list_daily_usage", "get_usage_summary", "list_statement"])
    def test_knows_no_other_month_and_no_other_org(self, story, method):
        assert refusal(story, method, period="2026-10") == "unknown_period"
        assert refusal(story, method, period="2027-01") == "unknown_period"
        assert refusal(story, method, period="2026-13") == "invalid_period"
        assert refusal(story, method, period="2026-11", actor=STRANGER) == "org_not_ready"
        story.subscribe(org_id="org_2")
        assert refusal(story, method, period="2026-11", actor=STRANGER) == "unknown_period"


class TestDailyUsage:
    def test_counts_messages_and_refunds_by_day_and_bot(self, story, bot_id):
        other = story.tell("create_bot", name="Bob")["id"]
        story.send(other, "msg_of_bob")

        november = story.ask("list_daily_usage", period="2026-11")["items"]
        december = story.ask("list_daily_usage")["items"]

        assert november == [
            {"day": "2026-11-22", "bot_id": bot_id, "messages": 4, "refunded": 1},
            {"day": "2026-11-23", "bot_id": bot_id, "messages": 5, "refunded": 1},
        ]
        assert [item["messages"] for item in december] == [1, 1]
        after = f"{december[0]['day']}/{december[0]['bot_id']}"
        assert story.ask("list_daily_usage", after=after)["items"] == december[1:]

    def test_is_summed_up_for_people(self, story, bot_id):
        summary = story.ask("get_usage_summary", period="2026-11")

        assert [(day["day"], day["messages"]) for day in summary["days"]] == [("2026-11-22", 4), ("2026-11-23", 5)]
        assert summary["bots"] == [{"bot_id": bot_id, "name": "Anna", "messages": 9, "refunded": 2}]
        assert summary["periods"] == ["2026-12", "2026-11"]


class TestStatement:
    def test_has_every_entry_and_why(self, story):
        items = story.ask("list_statement", period="2026-11", limit=100)["items"]

        kinds = [(item["kind"], item["change"], item["used"]) for item in items]
        assert kinds == [
            ("period_opened", 0, 0),
            ("limit_changed", 0, 0),
            *(("message", 1, used) for used in (1, 2, 3, 4)),
            ("refund", -1, 3),
            ("message", 1, 4),
            ("message", 1, 5),
            ("limit_changed", 0, 5),
            ("usage_reset", -5, 0),
            ("refund", 0, 0),
            *(("message", 1, used) for used in (1, 2, 3)),
        ]
        assert [item["entry"] for item in items] == list(range(1, len(items) + 1))
        assert items[10]["why"] == "The subscription was upgraded: the count begins anew, after 5."
        assert items[2]["message_id"] == "msg_1"
        assert items[-1]["used"] == story.ask("get_usage", period="2026-11")["used"]

    def test_tells_of_credits_and_counts_the_plans_messages_alone(self, quota, bot_id):
        grant(quota, "org_1", 2, NOW + timedelta(days=40))
        send(quota, bot_id, 1, 11)
        quota.tell("refund_message", message_id="msg_11")
        at(quota, 12, 1)
        quota.ask("get_usage")
        quota.database.clock.set(frozen_at=datetime(2027, 1, 1, 12, tzinfo=UTC))
        worker.expire_credits(quota.database)

        november = quota.ask("list_statement", period="2026-11", limit=100)["items"]
        january = quota.ask("list_statement", limit=100)["items"]

        granted, spent, refund, returned = november[2], *november[-3:]
        told = [(item["kind"], item["change"], item["used"]) for item in (granted, spent, refund, returned)]
        assert told == [("credit_granted", 0, 0), ("message", 0, 10), ("refund", 0, 10), ("credit_returned", 0, 10)]
        assert {item["credit_id"] for item in (spent, returned)} == {granted["credit_id"]}
        assert refund["credit_id"] is None
        assert granted["why"] == "A credit of 2 extra messages was granted; they expire at 2027-01-01T12:00:00Z."
        assert january[1]["why"] == "A credit came over from the month before, with 2 of 2 messages left."
        assert january[2]["why"] == "The credit expired, with 2 messages left."

    def test_goes_on_where_a_page_ended(self, story):
        whole = story.ask("list_statement", period="2026-11", limit=100)["items"]
        paged, after, used = [], 0, 0
        while items := story.ask("list_statement", period="2026-11", after=after, used=used, limit=4)["items"]:
            paged += items
            after, used = items[-1]["entry"], items[-1]["used"]

        assert paged == whole


class TestWatch:
    def test_shows_many_orgs_without_locking_or_turning_any(self, story):
        story.subscribe(org_id="org_2")
        at(story, 12, 31)
        shown = story.ask("get_usage")
        at(story, 12, 30)
        with story.database.begin() as holder:
            holder.execute(text("SELECT 1 FROM orgs FOR UPDATE"))
            seen = story.ask("watch_usage", actor=GATEWAY, org_ids=["org_1", "org_2", "org_nobodys"])

        assert set(seen) == {"org_1", "org_2"}
        assert seen["org_1"] == {name: value for name, value in shown.items() if name != "bot_limit"}

    def test_shows_the_month_that_it_is_before_anybody_has_opened_it(self, story):
        story.database.clock.set(frozen_at=datetime(2027, 1, 1, tzinfo=UTC))

        seen = story.ask("watch_usage", actor=GATEWAY, org_ids=["org_1"])["org_1"]

        assert (seen["period"], seen["used"], seen["remaining"]) == ("2027-01", 0, 20)
        with story.database.begin() as session:
            assert session.scalars(text("SELECT period FROM orgs")).one() == "2026-12"

    def test_is_nothing_for_others(self, story):
        runtime = context.Actor(kind="service", id="bot-runtime", org_id="org_1")

        assert refusal(story, "watch_usage", actor=runtime, org_ids=["org_1"]) == "not_allowed"


class TestTheTally:
    def test_is_what_a_rebuild_makes_of_the_ledger(self, story):
        at(story, 11, 30)  # a clock set back: it counts in the open month, on the day that it shows
        story.send(story.ask("list_bots")[0]["id"], "msg_late")
        story.tell("refund_message", message_id="msg_late")

        report = rebuilding.diff(story.database, projections.READ_MODELS, limit=10)

        assert report.differences == []
        assert report.rows["usage_days"] == 4
        assert report.rows["usage_months"] == 2
        with story.database.begin() as session:
            months = session.execute(text("SELECT period, plan, message_limit, resets, reset_used FROM usage_months"))
            assert sorted(map(tuple, months)) == [("2026-11", "starter", 20, 1, 5), ("2026-12", "starter", 20, 0, 0)]

    numbers = count()

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps)
    def test_agrees_with_the_fold_of_each_month_whatever_happens(self, quota, story):
        org_id, now, version, sent = f"org_x{next(self.numbers)}", NOW, 1, []
        owner = OWNER.__class__(kind="person", id="acc_1", org_id=org_id, role="owner")
        quota.database.clock.set(frozen_at=now)
        quota.subscribe(org_id=org_id, message_limit=3)
        bot_id = quota.tell("create_bot", actor=owner, name="Anna")["id"]
        for number, step in enumerate(story):
            match step:
                case ("message",):
                    (answer,) = quota.send(bot_id, f"msg_{number}", actor=owner)
                    sent += [f"msg_{number}"] if "admitted" in answer else []
                case ("refund", which) if sent:
                    quota.tell("refund_message", actor=owner, message_id=sent.pop(which % len(sent)))
                case ("grant", messages, days):
                    grant(quota, org_id, messages, now + timedelta(days=days))
                case ("days", days):
                    now, sent = now + timedelta(days=days), []
                    quota.database.clock.set(frozen_at=now)
                case ("limit", limit, action):
                    version += 1
                    quota.subscribe(org_id=org_id, version=version, action=action, message_limit=limit)

        quota.database.clock.set(frozen_at=now + timedelta(days=40))  # all are over but the last
        quota.ask("get_usage", actor=owner)
        with quota.database.begin() as session:
            wanted = select(models.UsageMonth.period).where(models.UsageMonth.org_id == org_id)
            ledgers = {period: boundary.ledger_stream(org_id, period) for period in session.scalars(wanted)}
            folded = {period: store.load(session, stream, LEDGER).state for period, stream in ledgers.items()}
        for period, month in folded.items():
            shown = quota.ask("get_usage", actor=owner, period=period)
            seen = (shown["used"], shown["limit"], shown["credits_remaining"], shown["remaining"])
            assert seen == (month.used, month.limit, month.credits_remaining, month.remaining)
        assert rebuilding.diff(quota.database, projections.READ_MODELS, limit=10).differences == []

    def test_is_mended_and_counts_on(self, story, bot_id):
        with story.database.begin() as session:
            session.execute(text("DELETE FROM usage_months; UPDATE usage_days SET messages = 0"))
        story.subscribe(version=3, plan="growth", action="upgraded", message_limit=30, bot_limit=3)

        rebuilding.rebuild(story.database, "quota", projections.READ_MODELS, limit=0)
        send(story, bot_id, 11, 12)

        assert rebuilding.diff(story.database, projections.READ_MODELS, limit=10).differences == []
        assert story.ask("get_usage", period="2026-11")["used"] == 3

    def test_is_read_from_a_streams_name(self):
        assert tally.whose("ledger-org_a-b-2026-11") == ("org_a-b", "2026-11")
