"""
Answers of Stripe that were lost, and what becomes of it a day later: Stripe forgets idempotency keys after 24 hours,
so from then on the same call would be done twice. Nothing may be charged or made a second time.
"""

import pytest

from services.billing import stripe_transport
from shared import errors

START, TOMORROW, IN_21_HOURS = "2026-04-01T00:00:00Z", "2026-04-02T01:00:00Z", "2026-04-01T21:00:00Z"


def lose(billing, path):
    """Every try of the next call with this path is done, and its answer lost."""
    settings = {"kind": "drop_after_commit", "method": "POST", "path": path, "count": stripe_transport.TRIES}
    billing.stripe.knob("faults", settings)


def at_stripe(billing):
    return billing.stripe.client().v1


class TestALostAnswer:
    def test_is_asked_for_again_at_once(self, billing):
        billing.subscribe("starter")
        path = "/v1/subscriptions/"
        billing.stripe.knob("faults", {"kind": "drop_after_commit", "method": "POST", "path": path})

        answer = billing.tell("change_plan", plan="growth")

        assert answer["outcome"] == "changed"
        assert len(billing.ask("list_invoices")["invoices"]) == 2

    @pytest.mark.parametrize("moment", [START, IN_21_HOURS, TOMORROW])
    def test_of_a_charge_is_charged_once(self, billing, moment):
        billing.subscribe("starter")
        lose(billing, "/v1/subscriptions/")
        change_id = billing.tell("change_plan", plan="growth")["change_id"]

        billing.set_clock(moment)
        billing.turn_timers()
        billing.turn_timers()

        assert billing.ask("get_change", change_id=change_id)["status"] == "done"
        assert billing.told()[2:] == [(3, "upgraded", "growth", "active")]
        assert len(billing.ask("list_invoices")["invoices"]) == 2

    @pytest.mark.parametrize("moment", [START, IN_21_HOURS, TOMORROW])
    def test_of_a_credit_is_credited_once(self, billing, moment):
        billing.subscribe("growth")
        lose(billing, "/v1/subscriptions/")
        change_id = billing.tell("change_plan", plan="starter")["change_id"]

        billing.set_clock(moment)
        billing.turn_timers()
        billing.turn_timers()

        assert billing.ask("get_change", change_id=change_id)["status"] == "done"
        (customer,) = at_stripe(billing).customers.list().data
        assert (billing.subscription()["plan"], customer.balance) == ("starter", -3000)

    @pytest.mark.parametrize("moment", [START, IN_21_HOURS, TOMORROW])
    @pytest.mark.parametrize("wanted", [{"plan": "starter", "at": "period_end"}, {"plan": "free"}])
    def test_of_a_change_that_is_scheduled_is_known_by_looking(self, billing, wanted, moment):
        billing.subscribe("growth")
        lose(billing, "/v1/subscriptions/")
        change_id = billing.tell("change_plan", **wanted)["change_id"]

        billing.set_clock(moment)
        billing.turn_timers()

        assert billing.ask("get_change", change_id=change_id)["status"] == "done"
        assert billing.subscription()["scheduled_change"]["plan"] == wanted["plan"]
        assert len(billing.ask("list_invoices")["invoices"]) == 1

    @pytest.mark.parametrize("moment", [START, IN_21_HOURS, TOMORROW])
    @pytest.mark.parametrize("scheduled", [{"plan": "starter", "at": "period_end"}, {"plan": "free"}])
    def test_of_a_withdrawal_is_known_by_looking(self, billing, scheduled, moment):
        billing.subscribe("growth")
        billing.tell("change_plan", **scheduled)
        lose(billing, "/v1/subscriptions/")
        change_id = billing.tell("withdraw_change")["change_id"]

        billing.set_clock(moment)
        billing.turn_timers()

        assert billing.ask("get_change", change_id=change_id)["status"] == "done"
        assert (billing.subscription()["plan"], billing.subscription()["scheduled_change"]) == ("growth", None)

    @pytest.mark.parametrize("moment", [START, IN_21_HOURS, TOMORROW])
    def test_of_a_cancellation_is_known_by_looking(self, billing, moment):
        billing.subscribe("starter")
        fault = {"kind": "drop_after_commit", "method": "DELETE", "path": "/v1/subscriptions/"}
        billing.stripe.knob("faults", fault | {"count": stripe_transport.TRIES})
        change_id = billing.tell("cancel", at="now")["change_id"]

        billing.set_clock(moment)
        billing.turn_timers()

        assert billing.ask("get_change", change_id=change_id)["status"] == "done"
        assert billing.told()[-1][1:] == ("canceled", "free", "active")

    @pytest.mark.parametrize("moment", [START, IN_21_HOURS, TOMORROW])
    def test_of_a_new_customer_makes_no_second_one(self, billing, moment):
        lose(billing, "/v1/customers")
        with pytest.raises(errors.Unavailable, match="stripe_unavailable"):
            billing.tell("change_plan", plan="starter")

        billing.set_clock(moment)
        billing.subscribe("starter")

        assert len(at_stripe(billing).customers.list().data) == 1
        assert billing.subscription()["plan"] == "starter"

    @pytest.mark.parametrize("moment", [START, IN_21_HOURS])
    def test_of_a_checkout_page_finds_the_page(self, billing, moment):
        lose(billing, "/v1/checkout/sessions")
        change_id = billing.tell("change_plan", plan="starter")["change_id"]

        billing.set_clock(moment)
        billing.turn_timers()

        assert billing.ask("get_change", change_id=change_id)["status"] == "checkout"
        (page,) = at_stripe(billing).checkout.sessions.list().data
        assert billing.subscription()["pending_checkout"]["checkout_url"] == page.url

    def test_of_a_checkout_page_that_is_closed_by_now_opens_no_other(self, billing):
        lose(billing, "/v1/checkout/sessions")
        change_id = billing.tell("change_plan", plan="starter")["change_id"]

        billing.set_clock(TOMORROW)
        billing.turn_timers()

        assert billing.ask("get_change", change_id=change_id)["status"] == "given_up"
        assert [page.status for page in at_stripe(billing).checkout.sessions.list().data] == ["expired"]
        billing.subscribe("starter")
        assert billing.subscription()["plan"] == "starter"


class TestAKeptFailure:
    """Stripe answers a repetition of the key with the same failure, for a day."""

    @pytest.mark.parametrize("failures", [1, 2])
    def test_does_not_keep_an_org_from_becoming_a_customer(self, billing, failures):
        fault = {"kind": "status", "status": 500, "method": "POST", "path": "/v1/customers", "count": failures}
        billing.stripe.knob("faults", fault)

        assert billing.tell("change_plan", plan="starter")["outcome"] == "checkout"
        assert len(at_stripe(billing).customers.list().data) == 1


class TestTheSameCommand:
    def test_that_nothing_was_sent_for_is_not_too_old_when_asked_again(self, billing):
        billing.subscribe("starter")
        billing.stripe.knob("faults", {"kind": "status", "status": 500})
        with pytest.raises(errors.Unavailable):
            billing.tell("change_plan", plan="growth", command_id="cmd_same")
        billing.set_clock(IN_21_HOURS)

        answer = billing.tell("change_plan", plan="growth", command_id="cmd_same")

        assert (answer["outcome"], answer["subscription"]["plan"]) == ("changed", "growth")
