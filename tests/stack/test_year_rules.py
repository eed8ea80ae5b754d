"""The rules of the year find every kind of lie in the books, and nothing in books that agree."""

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.billing import catalogue
from tests.stack import year_rules
from tests.stack.year_rules import AtStripe, Object, WithUs

pytestmark = pytest.mark.pure

PLANS = catalogue.load()
START, END = datetime(2028, 2, 10, tzinfo=UTC), datetime(2028, 3, 10, tzinfo=UTC)
NOW = datetime(2028, 2, 29, 12, tzinfo=UTC)
A_BOT = {"id": "bot_1", "state": "running", "pause_reasons": []}


def unix(moment: datetime) -> int:
    return int(moment.timestamp())


def invoice(status: str = "paid", **other: Any) -> Object:
    line = {
        "period": {"start": unix(START), "end": unix(END)},
        "parent": {"subscription_item_details": {"proration": False}},
    }
    return {
        "status": status,
        "billing_reason": "subscription_cycle",
        "created": unix(START),
        "parent": {"subscription_details": {"subscription": "sub_1"}},
        "lines": {"data": [line]},
        "id": "in_1",
        **other,
    }


def subscription(**other: Any) -> Object:
    item = {
        "price": {"lookup_key": "chatness_starter_monthly"},
        "current_period_start": unix(START),
        "current_period_end": unix(END),
    }
    usual = {"id": "sub_1", "status": "active", "created": unix(START), "cancel_at_period_end": False, "metadata": {}}
    usual |= {"latest_invoice": "in_1", "pending_update": None}
    return {**usual, "items": {"data": [item]}, **other}


def change(version: int, before: str, plan: str) -> Object:
    limits = PLANS.plan(plan)
    told = {"version": version, "plan_before": before, "plan": plan}
    return {**told, "message_limit": limits.messages, "bot_limit": limits.bots}


@pytest.fixture
def stripe() -> AtStripe:
    return AtStripe(
        subscriptions=[subscription()],
        invoices=[invoice()],
        charges=[{"id": "ch_1", "amount_refunded": 0}],
        prices=frozenset({"chatness_starter_monthly"}),
    )


@pytest.fixture
def us() -> WithUs:
    return WithUs(
        org_id="org_1",
        subscription={
            "plan": "starter",
            "status": "active",
            "version": 2,
            "limits": {"messages": 2000, "bots": 3},
            "payment_problem": None,
            "scheduled_change": None,
        },
        usage={"limit": 2000, "used": 5, "remaining": 1995, "blocked": False},
        bots=[A_BOT],
        changes=[change(1, "", "free"), change(2, "free", "starter")],
        applied=2,
        roster=[("limit", 1), ("created", "bot_1"), ("limit", 3)],
    )


def difference(us: WithUs, stripe: AtStripe) -> str:
    return year_rules.first_difference(us, stripe, PLANS, NOW)


def shown(us: WithUs, **other: Any) -> WithUs:
    return replace(us, subscription={**us.subscription, **other})


def owing(us: WithUs, *, until: str, plan: str, status: str) -> WithUs:
    return shown(us, plan=plan, status=status, payment_problem={"grace_until": until})


def test_say_nothing_of_books_that_agree(us: WithUs, stripe: AtStripe) -> None:
    assert difference(us, stripe) == ""


def test_say_nothing_of_a_change_that_waits_for_a_payment(us: WithUs, stripe: AtStripe) -> None:
    waiting = subscription(pending_update={"expires_at": unix(END)}, latest_invoice="in_2")
    bills = [invoice(), invoice("open", id="in_2", billing_reason="subscription_update")]

    assert difference(us, replace(stripe, subscriptions=[waiting], invoices=bills)) == ""


LIES_OF_STRIPE: dict[str, tuple[Callable[[AtStripe], AtStripe], str]] = {
    "a second subscription": (
        lambda stripe: replace(stripe, subscriptions=[subscription(), subscription(id="sub_2")]),
        "2 subscriptions live",
    ),
    "none": (lambda stripe: replace(stripe, subscriptions=[subscription(status="canceled")]), "by Stripe ('free'"),
    "an unpaid period": (lambda stripe: replace(stripe, invoices=[invoice("open")]), "bill of this period"),
    "a period paid twice": (lambda stripe: replace(stripe, invoices=[invoice(), invoice()]), "paid 2 times"),
    "a price nobody had": (lambda stripe: replace(stripe, prices=frozenset()), "which no subscription ever was for"),
    "an end ahead": (
        lambda stripe: replace(stripe, subscriptions=[subscription(cancel_at_period_end=True)]),
        "scheduled is None",
    ),
    "a debt": (lambda stripe: replace(stripe, subscriptions=[subscription(status="past_due")]), "no payment is said"),
    "a refund": (lambda stripe: replace(stripe, charges=[{"id": "ch_1", "amount_refunded": 5}]), "refunds are {}"),
    "a dispute": (lambda stripe: replace(stripe, disputes=[{"id": "dp_1", "status": "won"}]), "disputes are {}"),
}
LIES_OF_OURS: dict[str, tuple[Callable[[WithUs], WithUs], str]] = {
    "another plan": (lambda us: shown(us, plan="growth"), "by Stripe ('starter', 'active')"),
    "another status": (lambda us: shown(us, status="past_due"), "by Stripe ('starter', 'active')"),
    "a debt": (lambda us: shown(us, payment_problem={}), "Stripe misses none"),
    "other limits": (lambda us: shown(us, limits={"messages": 1, "bots": 3}), "the limits of starter"),
    "a gap": (lambda us: replace(us, changes=[us.changes[0], change(3, "free", "starter")]), "are [1, 3]"),
    "a broken chain": (lambda us: replace(us, changes=[us.changes[0], change(2, "growth", "starter")]), "gave free"),
    "a change that quota has not heard": (lambda us: replace(us, applied=1), "version 1 of 2"),
    "another version": (lambda us: shown(us, version=3), "told last was"),
    "another limit in quota": (lambda us: replace(us, usage={**us.usage, "limit": 200}), "quota counts by 200"),
    "a pause without a reason": (lambda us: replace(us, bots=[{**A_BOT, "state": "paused"}]), "are not running"),
    "a bot that nobody made": (lambda us: replace(us, bots=[A_BOT, {**A_BOT, "id": "bot_2"}]), "should be"),
    "a duplicate that lives": (
        lambda us: replace(
            us, facts={"DuplicateSubscriptionEnded": [{"subscription_id": "sub_1", "refunded_cents": 0}]}
        ),
        "lives at Stripe",
    ),
}


@pytest.mark.parametrize("lie, found", LIES_OF_STRIPE.values(), ids=LIES_OF_STRIPE)
def test_find_what_stripe_has_and_we_do_not(us: WithUs, stripe: AtStripe, lie: Any, found: str) -> None:
    assert found in difference(us, lie(copy.deepcopy(stripe)))


@pytest.mark.parametrize("lie, found", LIES_OF_OURS.values(), ids=LIES_OF_OURS)
def test_find_what_we_say_and_stripe_does_not(us: WithUs, stripe: AtStripe, lie: Any, found: str) -> None:
    assert found in difference(lie(copy.deepcopy(us)), stripe)


class TestGrace:
    @pytest.fixture
    def stripe(self, stripe: AtStripe) -> AtStripe:
        return replace(stripe, subscriptions=[subscription(status="past_due")], invoices=[invoice("open")])

    def test_keeps_the_plan_until_it_is_over(self, us: WithUs, stripe: AtStripe) -> None:
        assert difference(owing(us, until="2028-03-01T00:00:00Z", plan="starter", status="past_due"), stripe) == ""

    def test_is_no_longer_than_that(self, us: WithUs, stripe: AtStripe) -> None:
        late = owing(us, until="2028-02-29T00:00:00Z", plan="starter", status="past_due")

        assert "('free', 'unpaid')" in difference(late, stripe)

    def test_is_no_shorter_than_its_days(self, us: WithUs, stripe: AtStripe) -> None:
        early = owing(us, until="2028-02-16T00:00:00Z", plan="free", status="unpaid")

        assert "less than its days" in difference(early, stripe)


class TestRoster:
    def test_pauses_the_newest_and_lets_the_oldest_run_again(self) -> None:
        made = [("limit", 3), *(("created", f"bot_{number}") for number in range(3))]

        assert year_rules.rostered([*made, ("limit", 1)]) == {"bot_0": set(), "bot_1": {"plan"}, "bot_2": {"plan"}}
        assert year_rules.rostered([*made, ("limit", 1), ("limit", 2)])["bot_1"] == set()

    def test_leaves_what_a_person_paused(self) -> None:
        happened = [("limit", 3), ("created", "bot_0"), ("paused", "bot_0"), ("limit", 1), ("limit", 3)]

        assert year_rules.rostered(happened) == {"bot_0": {"user"}}
