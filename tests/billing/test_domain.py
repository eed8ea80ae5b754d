"""The subscription's rules, without a database: facts in, what is asked or seen, facts out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing import catalogue, domain
from services.billing.domain import Seen, Subscription
from services.billing.events import (
    ChangeRequested,
    ChangeScheduled,
    ChangeWithdrawn,
    CheckoutOpened,
    PaymentFailed,
    PaymentRecovered,
    PeriodStarted,
    RequestGivenUp,
    SubscriptionChanged,
)
from shared import errors

pytestmark = pytest.mark.pure

PLANS = catalogue.load()
NOTHING = Subscription()
START = datetime(2026, 4, 1, tzinfo=UTC)
END = datetime(2026, 5, 1, tzinfo=UTC)
NEXT_END = datetime(2026, 6, 1, tzinfo=UTC)
NOW = datetime(2026, 4, 16, 12, tzinfo=UTC)


def after(*facts, state=NOTHING):
    for fact in facts:
        state = domain.evolve(state, fact)
    return state


def founded():
    return after(*domain.begin(Subscription(), org_id="org_1", plans=PLANS, now=START))


def subscribed(plan, **changes):
    """An org that asked for a plan, and paid for it."""
    state = after(*domain.request(founded(), intent_id="int_1", plan=plan, at=None, plans=PLANS), state=founded())
    return followed(state, seen(plan, **changes), now=START)


def seen(plan, **changes):
    usual = {
        "subscription_id": "sub_1",
        "item_id": "si_1",
        "status": "active",
        "plan": plan,
        "period_start": START,
        "period_end": END,
        "changed_at": START,
    }
    return Seen(**(usual | changes))


def follow(state, what, now=NOW):
    return domain.follow(state, seen=what, plans=PLANS, now=now)


def followed(state, what, now=NOW):
    return after(*follow(state, what, now), state=state)


def requested(state, plan, at=None):
    return after(*domain.request(state, intent_id="int_2", plan=plan, at=at, plans=PLANS), state=state)


def changes(facts):
    return [(fact.action, fact.plan_before, fact.plan) for fact in facts if isinstance(fact, SubscriptionChanged)]


def kinds(facts):
    return [type(fact) for fact in facts]


class TestBegin:
    def test_puts_a_new_org_on_free(self):
        [fact] = domain.begin(Subscription(), org_id="org_1", plans=PLANS, now=NOW)

        assert fact == SubscriptionChanged(
            org_id="org_1",
            version=1,
            plan_before="",
            plan="free",
            action="started",
            status="active",
            message_limit=200,
            bot_limit=1,
            max_resets_per_month=2,
            effective_at="2026-04-16T12:00:00Z",
        )

    def test_does_so_once(self):
        assert domain.begin(founded(), org_id="org_1", plans=PLANS, now=NOW) == []


class TestRequest:
    def test_of_a_dearer_plan_is_for_now(self):
        facts = domain.request(subscribed("starter"), intent_id="int_2", plan="growth", at=None, plans=PLANS)

        assert facts == [ChangeRequested(org_id="org_1", intent_id="int_2", plan="growth", at="now")]

    @pytest.mark.parametrize(
        "plan, at, when",
        [
            ("starter", None, "now"),
            ("starter", "period_end", "period_end"),
            ("free", None, "period_end"),
            ("free", "now", "now"),
        ],
    )
    def test_of_a_cheaper_plan_is_for_when_it_says(self, plan, at, when):
        [fact] = domain.request(subscribed("growth"), intent_id="int_2", plan=plan, at=at, plans=PLANS)

        assert fact.at == when

    @pytest.mark.parametrize(
        "plan, at, code",
        [
            ("scale", "period_end", "upgrade_is_immediate"),
            ("scale", "tomorrow", "invalid_at"),
            ("gold", None, "unknown_plan"),
        ],
    )
    def test_is_invalid_if_it_makes_no_sense(self, plan, at, code):
        with pytest.raises(errors.Invalid, match=code):
            domain.request(subscribed("growth"), intent_id="int_2", plan=plan, at=at, plans=PLANS)

    def test_of_the_plan_it_has_is_refused(self):
        with pytest.raises(errors.Conflict, match="plan_unchanged"):
            domain.request(subscribed("growth"), intent_id="int_2", plan="growth", at=None, plans=PLANS)

    def test_is_refused_while_another_change_waits(self):
        state = followed(subscribed("growth"), seen("growth", cancel_at_period_end=True))

        with pytest.raises(errors.Conflict, match="change_scheduled"):
            domain.request(state, intent_id="int_2", plan="scale", at=None, plans=PLANS)

    def test_to_cancel_now_is_possible_while_another_change_waits(self):
        state = followed(subscribed("growth"), seen("growth", cancel_at_period_end=True))

        [fact] = domain.request(state, intent_id="int_2", plan="free", at="now", plans=PLANS)

        assert (fact.plan, fact.at) == ("free", "now")

    def test_is_refused_before_the_bill_is_paid(self):
        state = followed(subscribed("growth"), seen("growth", status="past_due"))

        with pytest.raises(errors.Conflict, match="payment_due"):
            domain.request(state, intent_id="int_2", plan="scale", at=None, plans=PLANS)

    def test_to_cancel_is_possible_for_an_org_that_fell_back(self):
        owing = seen("growth", status="past_due")
        state = followed(followed(subscribed("growth"), owing), owing, now=NOW + timedelta(days=8))

        [fact] = domain.request(state, intent_id="int_2", plan="free", at=None, plans=PLANS)

        assert (fact.plan, fact.at) == ("free", "now")


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
        assert domain.call_for(what, plan=plan, at=at, plans=PLANS) == call

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
        assert domain.call_for(what, plan=plan, at=at, plans=PLANS) is None


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

    @given(
        st.lists(anything_seen(), max_size=8), anything_seen().filter(lambda what: what.status not in domain.OWING)
    )
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


class TestEvolve:
    def test_keeps_an_opened_checkout_out_of_the_state(self):
        fact = CheckoutOpened(org_id="org_1", session_id="cs_1", plan="growth", expires_at="2026-04-02T00:00:00Z")

        assert after(fact, state=founded()) == founded()

    def test_gives_up_only_the_request_that_is_named(self):
        state = requested(subscribed("starter"), "growth")

        assert after(RequestGivenUp(org_id="org_1", intent_id="int_other"), state=state) == state
