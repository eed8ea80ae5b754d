"""What follows from what Stripe says, without a database: state and object in, facts out."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing import domain, sight
from services.billing.events import (
    ChangeScheduled,
    ChangeWithdrawn,
    PaymentFailed,
    PaymentRecovered,
    PeriodStarted,
    SubscriptionChanged,
)
from services.billing.sight import Seen
from tests.billing.examples import (
    END,
    NEXT_END,
    NOW,
    PLANS,
    START,
    after,
    changes,
    follow,
    followed,
    founded,
    kinds,
    requested,
    seen,
    subscribed,
)

pytestmark = pytest.mark.pure


class TestFollow:
    def test_says_nothing_of_what_is_known(self):
        assert follow(subscribed("growth"), seen("growth")) == []

    def test_says_nothing_of_an_org_that_never_paid(self):
        assert follow(founded(), Seen()) == []

    def test_names_what_was_asked_for_by_rank(self):
        up = follow(requested(subscribed("starter"), "growth"), seen("growth"))
        down = follow(requested(subscribed("growth"), "starter"), seen("starter"))
        out = follow(requested(subscribed("growth"), "free", "now"), seen("growth", status="canceled"))

        assert changes(up) == [("upgraded", "starter", "growth")]
        assert changes(down) == [("downgraded", "growth", "starter")]
        assert changes(out) == [("canceled", "growth", "free")]

    def test_calls_a_change_that_nobody_asked_us_for_corrected(self):
        assert changes(follow(subscribed("starter"), seen("scale"))) == [("corrected", "starter", "scale")]
        assert changes(follow(subscribed("starter"), Seen())) == [("corrected", "starter", "free")]

    def test_forgets_a_request_that_was_given_up(self):
        state = requested(subscribed("starter"), "growth")
        given_up = after(*domain.give_up(state, intent_id="int_2"), state=state)

        assert changes(follow(given_up, seen("growth"))) == [("corrected", "starter", "growth")]

    def test_takes_stripes_moment_for_what_was_asked_for(self):
        charged_at = NOW - timedelta(hours=3)

        facts = follow(requested(subscribed("starter"), "growth"), seen("growth", changed_at=charged_at))

        assert facts[0].effective_at == "2026-04-16T09:00:00Z"

    def test_never_takes_a_moment_in_the_future(self):
        ahead = NOW + timedelta(hours=3)

        facts = follow(requested(subscribed("starter"), "growth"), seen("growth", changed_at=ahead))

        assert facts[0].effective_at == "2026-04-16T12:00:00Z"

    def test_keeps_the_limits_while_a_cancellation_waits(self):
        facts = follow(requested(subscribed("growth"), "free"), seen("growth", cancel_at_period_end=True))

        assert changes(facts) == [("scheduled", "growth", "growth")]
        assert facts[1] == ChangeScheduled(org_id="org_1", plan="free", takes_effect_at="2026-05-01T00:00:00Z")

    def test_keeps_the_dearer_plan_until_the_period_is_over(self):
        lowered = seen("starter", kept_plan="growth", kept_until=END)

        facts = follow(requested(subscribed("growth"), "starter", "period_end"), lowered)

        assert changes(facts) == [("scheduled", "growth", "growth")]
        assert facts[1].plan == "starter"

    def test_downgrades_when_the_period_is_over_and_dates_it_there(self):
        lowered = seen("starter", kept_plan="growth", kept_until=END)
        state = followed(requested(subscribed("growth"), "starter", "period_end"), lowered)

        facts = follow(state, replace(lowered, period_start=END, period_end=NEXT_END), now=END + timedelta(hours=2))

        assert changes(facts) == [("downgraded", "growth", "starter")]
        assert facts[0].effective_at == "2026-05-01T00:00:00Z"

    def test_does_not_believe_a_kept_plan_that_is_cheaper(self):
        faked = seen("starter", kept_plan="free", kept_until=END)

        assert follow(subscribed("starter"), faked) == []

    def test_tells_of_a_withdrawal(self):
        state = followed(subscribed("growth"), seen("growth", cancel_at_period_end=True))

        facts = follow(state, seen("growth"))

        assert changes(facts) == [("withdrawn", "growth", "growth")]
        assert facts[1] == ChangeWithdrawn(org_id="org_1")

    def test_tells_of_a_new_period_that_is_paid(self):
        facts = follow(subscribed("growth"), seen("growth", period_start=END, period_end=NEXT_END))

        assert changes(facts) == [("renewed", "growth", "growth")]
        assert facts[1].ends_at == "2026-06-01T00:00:00Z"

    def test_keeps_the_plan_of_who_is_past_due(self):
        facts = follow(subscribed("growth"), seen("growth", status="past_due", period_start=END, period_end=NEXT_END))

        assert facts == [
            PaymentFailed(
                org_id="org_1", plan="growth", since="2026-04-16T12:00:00Z", grace_until="2026-04-23T12:00:00Z"
            )
        ]

    def test_falls_back_when_grace_is_over_and_not_a_moment_before(self):
        owing = seen("growth", status="past_due")
        state = followed(subscribed("growth"), owing)
        over = NOW + PLANS.grace_period

        assert follow(state, owing, now=over - timedelta(microseconds=1)) == []
        [fact] = follow(state, owing, now=over)
        assert (fact.action, fact.plan, fact.status, fact.message_limit) == ("fell_back", "free", "unpaid", 200)

    def test_does_not_fall_back_twice(self):
        owing = seen("growth", status="unpaid")
        late = NOW + timedelta(days=8)
        state = followed(followed(subscribed("growth"), owing), owing, now=late)

        assert follow(state, owing, now=late + timedelta(days=30)) == []

    def test_does_not_go_back_into_grace_when_the_clock_does(self):
        owing = seen("growth", status="past_due")
        state = followed(followed(subscribed("growth"), owing), owing, now=NOW + timedelta(days=8))

        assert follow(state, owing, now=NOW) == []

    @pytest.mark.parametrize("days", [1, 8])
    def test_recovers_when_it_is_paid_in_grace_or_after(self, days):
        owing = seen("growth", status="past_due")
        later = NOW + timedelta(days=days)
        state = followed(followed(subscribed("growth"), owing), owing, now=later)

        facts = follow(state, seen("growth", period_start=END, period_end=NEXT_END), now=later)

        assert kinds(facts) == [PaymentRecovered, SubscriptionChanged, PeriodStarted]
        assert (facts[1].action, facts[1].plan, facts[1].status) == ("recovered", "growth", "active")

    @pytest.mark.parametrize("days", [1, 8])
    def test_gives_grace_anew_where_nobody_saw_that_the_former_debt_was_paid(self, days):
        owing = seen("growth", status="past_due", unpaid_since=NOW - timedelta(hours=1))
        later = NOW + timedelta(days=days)
        state = followed(followed(subscribed("growth"), owing), owing, now=later)

        another = seen("growth", status="past_due", unpaid_since=later - timedelta(hours=1))
        facts = follow(state, another, now=later)

        assert kinds(facts)[:2] == [PaymentRecovered, PaymentFailed]
        assert changes(facts) == ([("recovered", "free", "growth")] if days > 7 else [])
        state = after(*facts, state=state)
        assert (state.plan, state.status) == ("growth", "past_due")
        assert state.owing.grace_until == later + PLANS.grace_period
        assert follow(state, another, now=later) == []

    def test_keeps_the_grace_of_a_debt_that_an_older_bill_has_begun(self):
        older = seen("growth", status="past_due", unpaid_since=NOW - timedelta(days=3))
        state = followed(subscribed("growth"), older)

        assert follow(state, older, now=NOW + timedelta(days=1)) == []

    def test_ends_the_debt_with_the_subscription(self):
        owing = seen("growth", status="past_due")
        state = followed(followed(subscribed("growth"), owing), owing, now=NOW + timedelta(days=8))

        ended = followed(state, seen("growth", status="canceled"), now=NOW + timedelta(days=9))

        assert (ended.plan, ended.status, ended.owing) == ("free", "active", None)


class TestCallFor:
    @pytest.mark.parametrize(
        "what, plan, at, call",
        [
            (Seen(), "starter", "now", "checkout"),
            (seen("growth", status="canceled"), "starter", "now", "checkout"),
            (seen("starter"), "growth", "now", "upgrade"),
            (seen("growth"), "starter", "now", "downgrade"),
            (seen("growth"), "starter", "period_end", "downgrade_at_period_end"),
            (seen("growth"), "free", "now", "cancel"),
            (seen("growth"), "free", "period_end", "cancel_at_period_end"),
        ],
    )
    def test_is_what_is_missing(self, what, plan, at, call):
        assert sight.call_for(what, plan=plan, at=at, plans=PLANS) == call

    @pytest.mark.parametrize(
        "what, plan, at",
        [
            (seen("growth"), "growth", "now"),
            (seen("starter", kept_plan="growth", kept_until=END), "starter", "period_end"),
            (seen("growth", status="canceled"), "free", "now"),
            (seen("growth", cancel_at_period_end=True), "free", "period_end"),
        ],
    )
    def test_is_nothing_when_it_is_so(self, what, plan, at):
        assert sight.call_for(what, plan=plan, at=at, plans=PLANS) is None


MOMENTS = st.sampled_from([(START, END), (END, NEXT_END)])


@st.composite
def anything_seen(draw):
    """Any state that Stripe's object could be in."""
    start, end = draw(MOMENTS)
    return Seen(
        subscription_id=draw(st.sampled_from(["sub_1", "sub_2"])),
        status=draw(st.sampled_from(["active", "trialing", "past_due", "unpaid", "canceled", "incomplete", "none"])),
        plan=draw(st.sampled_from(["starter", "growth", "scale"])),
        kept_plan=draw(st.sampled_from(["", "growth", "scale", "nonsense"])),
        kept_until=draw(st.sampled_from([None, END, NEXT_END])),
        cancel_at_period_end=draw(st.booleans()),
        period_start=start,
        period_end=end,
        changed_at=draw(st.sampled_from([None, START, END])),
        unpaid_since=draw(st.sampled_from([None, START, END, NEXT_END])),
    )


NOWS = st.integers(0, 60).map(lambda days: START + timedelta(days=days))


class TestFollowAnything:
    @given(st.lists(st.tuples(anything_seen(), NOWS), max_size=8), anything_seen(), NOWS)
    def test_says_nothing_the_second_time(self, before, last, now):
        state = founded()
        for what, moment in before:
            state = followed(state, what, now=moment)
        state = followed(state, last, now=now)

        assert follow(state, last, now=now) == []

    @given(st.lists(anything_seen(), max_size=8), anything_seen().filter(lambda what: what.status not in sight.OWING))
    def test_ends_where_the_last_look_alone_would(self, before, last):
        state = founded()
        for what in before:
            state = followed(state, what)

        long_way, short_way = followed(state, last), followed(founded(), last)

        for name in ("plan", "status", "scheduled", "owing"):
            assert getattr(long_way, name) == getattr(short_way, name)

    @given(st.lists(st.tuples(anything_seen(), NOWS), max_size=12))
    def test_tells_each_change_as_one_link_of_a_chain(self, looks):
        state, told = founded(), []
        for what, now in looks:
            facts = follow(state, what, now=now)
            links = [fact for fact in facts if isinstance(fact, SubscriptionChanged)]
            assert len(links) <= 1
            told += links
            state = after(*facts, state=state)

        assert [fact.version for fact in told] == list(range(2, len(told) + 2))
        assert [fact.plan_before for fact in told] == ["free", *(fact.plan for fact in told)][: len(told)]

    @given(st.lists(st.tuples(anything_seen(), NOWS), max_size=12))
    def test_never_lets_an_unasked_change_reset_usage(self, looks):
        state = founded()
        for what, now in looks:
            for action, _before, _plan in changes(follow(state, what, now=now)):
                assert action not in ("started", "upgraded") or state.requested
            state = followed(state, what, now=now)
