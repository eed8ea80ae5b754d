"""Extra messages: which is spent when, what outlives what, and that none is lost or spent twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quota import credits, ledger
from services.quota.events import (
    BotsRestarted,
    BotsStopped,
    CreditCarried,
    CreditExpired,
    CreditGranted,
    CreditReturned,
    MessageRecorded,
    MessageRefunded,
    UsageThresholdReached,
)
from shared import errors
from tests.quota.test_ledger import change, message, month, refund

pytestmark = pytest.mark.pure

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def credit(id="credit_1", *, days=30, remaining=5, messages=5):
    return credits.Credit(
        id=id, messages=messages, remaining=remaining, granted_at=NOW, expires_at=NOW + timedelta(days=days)
    )


def ended(*live, **changes):
    """A month whose plan is used up."""
    stopped = not any(one.remaining for one in live)
    return month(**({"limit": 10, "used": 10, "threshold": 100, "stopped": stopped, "credits": live} | changes))


def admit(state, message_id="msg_11"):
    return ledger.admit(state, message_id=message_id, bot_id="bot_1")


def grant(state, *, messages=5, days=30, credit_id="credit_1", at=NOW):
    return ledger.grant(
        state,
        credit_id=credit_id,
        messages=messages,
        expires_at=NOW + timedelta(days=days),
        at=at,
        reason_version=1,
    )


class TestAdmit:
    def test_takes_the_plans_messages_first(self):
        state = month(limit=10, used=8, threshold=80, credits=(credit(),))

        facts = admit(state)

        assert facts == [MessageRecorded(message_id="msg_11", bot_id="bot_1", credit_id="")]
        assert (state.remaining, ledger.after(state, facts).remaining) == (7, 6)

    def test_then_takes_from_the_credit_that_expires_first_and_has_one_left(self):
        state = ended(
            credit("credit_spent", days=1, remaining=0), credit("credit_a", days=2), credit("credit_b", days=3)
        )

        facts = admit(state)

        assert facts == [MessageRecorded(message_id="msg_11", bot_id="bot_1", credit_id="credit_a")]
        after = ledger.after(state, facts)
        assert (after.used, [one.remaining for one in after.credits]) == (10, [0, 4, 5])

    def test_says_at_the_plans_last_message_that_credits_are_left_and_stops_nothing(self):
        facts = admit(month(limit=10, used=9, threshold=80, credits=(credit(),)))

        assert [type(fact) for fact in facts] == [MessageRecorded, UsageThresholdReached]
        assert (facts[1].threshold, facts[1].used, facts[1].credits_remaining) == (100, 10, 5)

    def test_stops_the_bots_with_the_last_message_of_the_last_credit_and_refuses_the_next(self):
        state = ended(credit(remaining=1))

        facts = admit(state)

        assert facts[1:] == [BotsStopped(org_id="org_1", period="2026-11", reason="limit")]
        with pytest.raises(errors.LimitReached) as refused:
            admit(ledger.after(state, facts), "msg_12")
        assert refused.value.details == {"used": 10, "limit": 10, "credits_remaining": 0}


class TestGrant:
    def test_lets_stopped_bots_run_again(self):
        facts = grant(ended())

        assert [type(fact) for fact in facts] == [CreditGranted, BotsRestarted]
        assert (facts[0].messages, facts[0].expires_at) == (5, "2026-12-22T12:00:00Z")
        assert facts[1].reason == "credit"

    def test_puts_it_where_its_end_belongs(self):
        state = month(credits=(credit("credit_b", days=20),))

        for id, days in (("credit_c", 30), ("credit_a", 10)):
            state = ledger.after(state, grant(state, credit_id=id, days=days))

        assert [one.id for one in state.credits] == ["credit_a", "credit_b", "credit_c"]

    @pytest.mark.parametrize("changes", [{"messages": 0}, {"messages": 10_000_001}, {"days": 0}, {"days": -1}])
    def test_refuses_what_would_be_none(self, changes):
        with pytest.raises(errors.Invalid, match="invalid_credit"):
            grant(month(), **changes)

    def test_refuses_more_than_a_row_should_hold(self):
        with pytest.raises(errors.Conflict, match="too_many_credits"):
            grant(month(credits=tuple(credit(f"credit_{number}") for number in range(credits.MOST_CREDITS))))


class TestExpire:
    def test_drops_what_is_over_at_its_very_moment_and_stops_the_bots_where_nothing_is_left(self):
        state = ended(credit(days=1))

        early = ledger.expire(state, at=NOW + timedelta(days=1, microseconds=-1))
        facts = ledger.expire(state, at=NOW + timedelta(days=1))

        assert early == []
        assert facts == [
            CreditExpired(credit_id="credit_1", unused=5),
            BotsStopped(org_id="org_1", period="2026-11", reason="credit"),
        ]

    def test_leaves_bots_running_while_anything_else_is_left(self):
        over, later = credit("credit_1", days=1), credit("credit_2", days=2)

        for state in (ended(over, later), month(used=3, credits=(over,))):
            assert ledger.expire(state, at=NOW + timedelta(days=1)) == [CreditExpired(credit_id="credit_1", unused=5)]


class TestRefund:
    @pytest.mark.parametrize("period, generation", [("2026-11", 0), ("2026-11", 1), ("2026-12", 0)])
    def test_goes_back_to_the_credit_whatever_count_runs(self, period, generation):
        state = ended(credit(remaining=2), period=period, generation=generation)

        facts = refund(state, message(credit_id="credit_1"))

        assert facts == [
            MessageRefunded(message_id="msg_1", bot_id="bot_1", gives_back=False),
            CreditReturned(credit_id="credit_1", message_id="msg_1"),
        ]
        assert (ledger.after(state, facts).used, ledger.after(state, facts).credits_remaining) == (10, 3)

    def test_lets_bots_run_again_where_it_was_the_last(self):
        facts = refund(ended(credit(remaining=0)), message(credit_id="credit_1"))

        assert facts[-1] == BotsRestarted(org_id="org_1", period="2026-11", reason="refund")

    def test_is_lost_with_a_credit_that_has_expired(self):
        assert refund(ended(), message(credit_id="credit_1")) == [
            MessageRefunded(message_id="msg_1", bot_id="bot_1", gives_back=False)
        ]


class TestWhatOutlivesWhat:
    def test_a_month_begins_with_the_credits_of_the_one_before(self):
        state = ended(credit("credit_1", days=30, remaining=2), credit("credit_2", days=40))

        facts = ledger.turn(state, period="2026-12")

        assert [(fact.credit_id, fact.remaining) for fact in facts if isinstance(fact, CreditCarried)] == [
            ("credit_1", 2),
            ("credit_2", 5),
        ]
        folded = ledger.after(ledger.Month(), facts)
        assert folded.credits == ledger.after(state, facts).credits == state.credits

    def test_a_reset_leaves_them_alone(self):
        state = ended(credit())

        assert ledger.after(state, change(state)).credits == (credit(),)

    def test_a_smaller_limit_stops_no_bot_while_credits_are_left(self):
        facts = change(month(limit=1000, used=500, generation=2, credits=(credit(),)), action="downgraded")

        assert not any(isinstance(fact, BotsStopped) for fact in facts)


steps = st.lists(
    st.one_of(
        *(st.just(("message",)) for _ in range(3)),
        st.tuples(st.just("refund"), st.integers(0, 60)),
        st.tuples(st.just("grant"), st.integers(1, 6), st.integers(1, 60)),
        st.tuples(st.just("days"), st.integers(1, 40)),
        st.tuples(st.just("limit"), st.integers(1, 8), st.sampled_from(["upgraded", "corrected"])),
    ),
    max_size=80,
)


class TestWhateverHappens:
    @given(steps)
    def test_every_credit_is_spent_once_in_order_and_the_month_folds_to_the_same(self, story):
        state, at, sent = month(limit=3), NOW, []
        own = [*ledger.turn(replace(state, period=""), period="2026-11")]  # the open month's ledger
        balance: dict[str, int] = {}
        ends: dict[str, datetime] = {}
        for number, step in enumerate(story):
            if step[0] == "days":
                at += timedelta(days=step[1])
                facts = ledger.turn(state, period=f"{at:%Y-%m}")
                own = facts or own
                state = ledger.after(state, facts)
                facts = ledger.expire(state, at=at)
                balance = {id: left for id, left in balance.items() if ends[id] > at}
            elif step[0] == "message":
                live = [id for id, left in balance.items() if left]
                first = min(live, key=lambda id: (ends[id], id), default="")
                expected = "" if state.used < state.limit else first
                try:
                    facts = admit(state, f"msg_{number}")
                except errors.LimitReached:
                    assert (state.used >= state.limit, live) == (True, [])
                    continue
                assert facts[0].credit_id == expected
                if expected:
                    balance[expected] -= 1
                sent.append(message(period=state.period, generation=state.generation, credit_id=expected))
            elif step[0] == "refund":
                if not sent:
                    continue
                refunded = sent.pop(step[1] % len(sent))
                facts = [
                    fact
                    for fact in refund(state, refunded)
                    if not isinstance(fact, MessageRefunded) or fact.gives_back
                ]
                if refunded.credit_id in balance:
                    balance[refunded.credit_id] += 1
            elif step[0] == "grant":
                id = f"credit_{number}"
                facts = ledger.grant(
                    state,
                    credit_id=id,
                    messages=step[1],
                    expires_at=at + timedelta(days=step[2]),
                    at=at,
                    reason_version=1,
                )
                balance[id], ends[id] = step[1], at + timedelta(days=step[2])
            else:
                facts = change(state, limit=step[1], action=step[2], effective_period=state.period)
            state = ledger.after(state, facts)
            own = [*own, *facts]

            assert {one.id: one.remaining for one in state.credits} == balance
            assert all(0 <= one.remaining <= one.messages for one in state.credits)
            assert state.stopped == (state.remaining == 0)
            folded = ledger.after(ledger.Month(), own)
            assert (folded.used, folded.limit, folded.credits) == (state.used, state.limit, state.credits)
