from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quota import ledger
from services.quota.events import (
    BotsRestarted,
    BotsStopped,
    LimitChanged,
    MessageRecorded,
    MessageRefunded,
    PeriodOpened,
    QuotaReset,
    UsageReset,
    UsageThresholdReached,
)
from shared import errors

pytestmark = pytest.mark.pure


def month(*, limit=10, used=0, **changes):
    state = {"org_id": "org_1", "period": "2026-11", "plan": "free", "max_resets": 2, "subscription_version": 1}
    return ledger.Month(**(state | {"limit": limit, "used": used} | changes))


def change(state, **changes):
    starter = {
        "version": state.subscription_version + 1,
        "plan": "starter",
        "limit": 100,
        "max_resets": 2,
        "action": "upgraded",
        "effective_period": "2026-11",
    }
    return ledger.follow_subscription(state, **(starter | changes))


class TestAdmit:
    def test_counts_a_message(self):
        facts = ledger.admit(month(), message_id="msg_1", bot_id="bot_1")

        assert facts == [MessageRecorded(message_id="msg_1", bot_id="bot_1")]

    def test_says_so_when_it_takes_the_last_message(self):
        facts = ledger.admit(month(limit=10, used=9, threshold=100), message_id="msg_10", bot_id="bot_1")

        assert facts == [
            MessageRecorded(message_id="msg_10", bot_id="bot_1"),
            BotsStopped(org_id="org_1", period="2026-11", reason="limit"),
        ]

    def test_refuses_when_none_is_left(self):
        with pytest.raises(errors.LimitReached) as refused:
            ledger.admit(month(limit=10, used=10), message_id="msg_11", bot_id="bot_1")

        assert refused.value.code == "message_limit_reached"
        assert refused.value.details == {"used": 10, "limit": 10, "credits_remaining": 0}

    def test_refuses_when_a_smaller_limit_came_meanwhile(self):
        with pytest.raises(errors.LimitReached):
            ledger.admit(month(limit=10, used=50), message_id="msg_51", bot_id="bot_1")


SENT_AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
WINDOW = timedelta(minutes=15)


def message(**changes):
    counted = {"message_id": "msg_1", "bot_id": "bot_1", "period": "2026-11", "generation": 0}
    return ledger.Counted(**({**counted, "recorded_at": SENT_AT, "refunded": False} | changes))


def refund(state, refunded, *, after=timedelta(minutes=1)):
    return ledger.refund(state, message=refunded, at=SENT_AT + after, window=WINDOW)


class TestRefund:
    def test_gives_a_message_back_to_the_month_that_counted_it(self):
        facts = refund(month(used=7), message())

        assert facts == [MessageRefunded(message_id="msg_1", bot_id="bot_1", gives_back=True)]
        assert ledger.after(month(used=7), facts).used == 6

    def test_lets_bots_run_again_when_the_month_had_ended_at_its_limit(self):
        ended = month(limit=10, used=10, stopped=True)

        facts = refund(ended, message())

        assert facts[1:] == [BotsRestarted(org_id="org_1", period="2026-11", reason="refund")]
        assert not ledger.after(ended, facts).stopped

    def test_leaves_bots_stopped_when_a_smaller_limit_is_still_used_up(self):
        assert len(refund(month(limit=10, used=50, stopped=True), message())) == 1

    @pytest.mark.parametrize(
        "later",
        [month(used=7, generation=1), month(used=7, period="2026-12"), month(used=10, stopped=True, generation=1)],
        ids=["a reset", "another month", "a reset, and all used since"],
    )
    def test_gives_nothing_back_to_a_count_that_began_anew_since(self, later):
        facts = refund(later, message())

        assert facts == [MessageRefunded(message_id="msg_1", bot_id="bot_1", gives_back=False)]
        assert ledger.after(later, facts) == later

    def test_is_said_once(self):
        assert refund(month(used=7), message(refunded=True)) == []

    def test_takes_its_time_until_the_window_closes(self):
        in_time = refund(month(used=7), message(), after=WINDOW - timedelta(microseconds=1))
        with pytest.raises(errors.Conflict) as refused:
            refund(month(used=7), message(), after=WINDOW)

        assert in_time[0].gives_back
        assert (refused.value.code, "15 minutes" in refused.value.message) == ("refund_window_over", True)

    def test_of_what_is_refunded_already_is_no_refusal_after_the_window(self):
        assert refund(month(used=7), message(refunded=True), after=WINDOW) == []


def reached(threshold, *, used, limit=10, credits_remaining=0):
    return UsageThresholdReached(
        org_id="org_1",
        period="2026-11",
        threshold=threshold,
        used=used,
        limit=limit,
        credits_remaining=credits_remaining,
    )


def told_of(facts):
    return [fact for fact in facts if isinstance(fact, UsageThresholdReached)]


class TestThresholds:
    def test_are_told_by_the_message_that_reaches_them_and_once(self):
        state, told = month(limit=10), []
        for number in range(10):
            facts = ledger.admit(state, message_id=f"msg_{number}", bot_id="bot_1")
            state = ledger.after(state, facts)
            told += told_of(facts)

        assert told == [reached(80, used=8), reached(100, used=10)]

    def test_are_not_told_again_when_a_refund_made_room_for_a_while(self):
        state = month(limit=10, used=8, threshold=80)
        state = ledger.after(state, refund(state, message()))

        assert told_of(ledger.admit(state, message_id="msg_9", bot_id="bot_1")) == []

    def test_are_told_by_the_higher_alone_where_one_message_reaches_both(self):
        assert told_of(ledger.admit(month(limit=3, used=2), message_id="msg_3", bot_id="bot_1")) == [
            reached(100, used=3, limit=3)
        ]

    @pytest.mark.parametrize(
        "begin",
        [
            lambda state: change(state, action="upgraded", limit=10),
            lambda state: ledger.turn(state, period="2026-12"),
            lambda state: change(state, action="corrected", limit=20),
        ],
        ids=["a reset", "a month", "a higher limit"],
    )
    def test_are_armed_again_by(self, begin):
        state = month(limit=10, used=10, threshold=100, stopped=True)

        assert ledger.after(state, begin(state)).threshold == 0

    def test_are_told_at_once_where_a_higher_limit_is_nearly_used_as_well(self):
        state = month(limit=10, used=10, threshold=100, stopped=True)

        assert told_of(change(state, action="corrected", limit=12)) == [reached(80, used=10, limit=12)]

    def test_are_told_where_a_smaller_limit_is_used_up_but_not_what_was_told_before(self):
        state = month(limit=10, used=9, threshold=80)

        assert told_of(change(state, action="corrected", limit=11)) == [reached(80, used=9, limit=11)]
        assert told_of(change(state, action="corrected", limit=9)) == [reached(100, used=9, limit=9)]
        assert told_of(change(month(limit=20, used=16, threshold=80), action="corrected", limit=18)) == []

    def test_are_none_of_an_org_without_messages(self):
        assert told_of(change(month(limit=10, used=0), action="corrected", limit=0)) == []


class TestTurn:
    def test_opens_the_month_that_it_is(self):
        facts = ledger.turn(month(used=7, generation=2), period="2026-12")

        assert facts == [PeriodOpened(period="2026-12", plan="free", limit=10, max_resets=2, subscription_version=1)]
        turned = ledger.after(month(used=7, generation=2), facts)
        assert (turned.period, turned.used, turned.generation) == ("2026-12", 0, 0)

    def test_lets_stopped_bots_run_again(self):
        facts = ledger.turn(month(used=10, stopped=True), period="2026-12")

        assert facts[-1] == BotsRestarted(org_id="org_1", period="2026-12", reason="month")

    @pytest.mark.parametrize("period", ["2026-11", "2026-10", "2025-12"])
    def test_never_goes_back(self, period):
        assert ledger.turn(month(), period=period) == []


class TestFollowSubscription:
    def test_resets_usage_under_the_new_limit(self):
        facts = change(month(used=7))

        assert facts == [
            LimitChanged(plan="starter", limit=100, max_resets=2, subscription_version=2, action="upgraded"),
            UsageReset(generation=1, used_before=7, action="upgraded", subscription_version=2),
            QuotaReset(org_id="org_1", period="2026-11", generation=1, limit=100, used_before=7, action="upgraded"),
        ]

    @pytest.mark.parametrize("version", [0, 1])
    def test_ignores_what_it_knows(self, version):
        assert change(month(), version=version) == []

    @pytest.mark.parametrize("action", ["scheduled", "withdrawn", "renewed", "fell_back", "recovered", "corrected"])
    def test_resets_only_for_what_a_person_does(self, action):
        after = ledger.after(month(used=7), change(month(used=7), action=action))

        assert (after.limit, after.used, after.generation) == (100, 7, 0)

    def test_carries_usage_over_when_the_resets_are_used_up(self):
        worn = month(used=7, generation=2)

        facts = change(worn)

        assert facts[0].carried_over == "max_resets"
        assert ledger.after(worn, facts).used == 7

    def test_changes_only_the_limit_for_an_action_of_an_earlier_month(self):
        facts = change(month(used=7), effective_period="2026-10")

        assert facts[0].carried_over == "earlier_month"
        assert len(facts) == 1

    def test_does_not_spend_a_reset_on_the_first_subscription(self):
        new = ledger.Month(org_id="org_1", period="2026-11")

        after = ledger.after(new, change(new, action="started", version=1))

        assert (after.limit, after.generation) == (100, 0)

    def test_lets_bots_run_again_when_there_is_room(self):
        facts = change(month(used=10, stopped=True))

        assert facts[-1] == BotsRestarted(org_id="org_1", period="2026-11", reason="subscription")

    def test_stops_bots_when_a_smaller_limit_is_used_up_already(self):
        worn = month(limit=1000, used=500, generation=2)

        facts = change(worn, action="downgraded")

        assert facts[-1] == BotsStopped(org_id="org_1", period="2026-11", reason="subscription")


steps = st.lists(
    st.one_of(
        st.just(("message",)),
        st.tuples(st.just("refund"), st.integers(0, 60)),
        st.tuples(st.just("turn"), st.sampled_from(["2026-10", "2026-11", "2026-12", "2027-01"])),
        st.tuples(
            st.just("change"),
            st.integers(0, 30),
            st.sampled_from(["upgraded", "downgraded", "canceled", "renewed", "corrected"]),
            st.integers(0, 3),
        ),
    ),
    max_size=60,
)


class TestWhateverHappens:
    @given(steps)
    def test_no_message_is_admitted_beyond_the_limit_and_stopped_tells_the_truth(self, story):
        state, version, sent = month(limit=5), 1, []
        for step in story:
            before = state
            if step[0] == "message":
                try:
                    facts = ledger.admit(state, message_id="msg", bot_id="bot")
                except errors.LimitReached:
                    assert state.used >= state.limit
                    continue
                state = ledger.after(state, facts)
                sent.append(message(period=state.period, generation=state.generation))
                assert state.used <= state.limit
            elif step[0] == "refund":
                if sent:
                    state = ledger.after(state, refund(state, sent.pop(step[1] % len(sent))))
                assert 0 <= before.used - state.used <= 1
                assert state.used >= 0
            elif step[0] == "turn":
                state = ledger.after(state, ledger.turn(state, period=step[1]))
                assert state.period >= before.period
            else:
                version += 1
                _, limit, action, max_resets = step
                facts = change(state, version=version, limit=limit, action=action, max_resets=max_resets)
                state = ledger.after(state, facts)
                assert state.generation - before.generation in (0, 1)
            if state.limit > 0:
                assert state.stopped == (state.remaining == 0)
