"""What may be asked of a subscription, without a database: facts in, facts out."""

from datetime import timedelta

import pytest

from services.billing import domain
from services.billing.domain import Subscription
from services.billing.events import ChangeRequested, CheckoutOpened, RequestGivenUp, SubscriptionChanged
from shared import errors
from tests.billing.examples import NOW, PLANS, after, followed, founded, requested, seen, subscribed

pytestmark = pytest.mark.pure


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


class TestEvolve:
    def test_keeps_an_opened_checkout_out_of_the_state(self):
        fact = CheckoutOpened(org_id="org_1", session_id="cs_1", plan="growth", expires_at="2026-04-02T00:00:00Z")

        assert after(fact, state=founded()) == founded()

    def test_gives_up_only_the_request_that_is_named(self):
        state = requested(subscribed("starter"), "growth")

        assert after(RequestGivenUp(org_id="org_1", intent_id="int_other"), state=state) == state
