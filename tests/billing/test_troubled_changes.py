"""Changes of plan that go wrong: bills that stay unpaid, Stripe away, and processes that die in the middle."""

import multiprocessing

import pytest
import requests

from services.billing import stripe_transport
from shared import clock, context, database, errors, revisions
from tests.billing.conftest import BAD, OWNER, open_doors
from tests.sandbox.stripe_process import eventually


class TestUnpaid:
    def test_keeps_the_plan_for_the_grace_period(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)

        billing.set_clock("2026-05-01T00:00:00Z")
        billing.deliver()

        shown = billing.subscription()
        assert (shown["plan"], shown["status"]) == ("starter", "past_due")
        assert shown["payment_problem"]["grace_until"] == "2026-05-08T00:00:00Z"
        assert shown["payment_problem"]["payment_url"].startswith(billing.stripe.address)

    def test_falls_back_to_free_when_grace_is_over(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)
        billing.set_clock("2026-05-01T00:00:00Z")
        billing.deliver()

        billing.set_clock("2026-05-08T00:00:00Z")
        billing.turn_timers()
        billing.turn_timers()

        assert billing.told()[2:] == [(3, "fell_back", "free", "unpaid")]
        assert billing.subscription()["limits"] == {"messages": 200, "bots": 1}

    def test_comes_back_by_itself_when_paid(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)
        billing.set_clock("2026-05-01T00:00:00Z")
        billing.deliver()
        billing.set_clock("2026-05-08T00:00:00Z")
        billing.turn_timers()

        billing.pay(billing.subscription()["payment_problem"]["payment_url"])
        billing.deliver()

        assert billing.told()[3:] == [(4, "recovered", "starter", "active")]
        assert billing.subscription()["payment_problem"] is None

    def test_can_be_paid_though_more_periods_have_gone_by(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)
        billing.set_clock("2026-06-02T00:00:00Z")
        billing.deliver()

        problem = billing.subscription()["payment_problem"]
        billing.pay(problem["payment_url"])
        billing.deliver()

        assert billing.told()[-1][1:] == ("recovered", "starter", "active")

    def test_gives_grace_anew_though_nobody_heard_that_the_former_debt_was_paid(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)
        billing.set_clock("2026-05-01T00:00:00Z")
        billing.deliver()
        billing.set_clock("2026-05-09T00:00:00Z")
        billing.turn_timers()
        assert billing.told()[-1][1:] == ("fell_back", "free", "unpaid")

        billing.stripe.knob("deliveries", {"stopped": True})
        billing.pay(billing.subscription()["payment_problem"]["payment_url"])
        billing.set_clock("2026-06-01T00:00:00Z")
        billing.deliver()

        assert billing.told()[-1][1:] == ("recovered", "starter", "past_due")
        assert billing.subscription()["payment_problem"]["grace_until"] == "2026-06-08T00:00:00Z"

    def test_must_be_paid_before_another_plan(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)
        billing.set_clock("2026-05-01T00:00:00Z")
        billing.deliver()

        with pytest.raises(errors.Conflict, match="payment_due"):
            billing.tell("change_plan", plan="growth")


class TestStripeAway:
    def test_is_said_and_nothing_is_half_done(self, billing):
        billing.subscribe("starter")
        billing.stripe.knob("faults", {"kind": "status", "status": 500, "count": 1})

        with pytest.raises(errors.Unavailable, match="stripe_unavailable"):
            billing.tell("change_plan", plan="growth", command_id="cmd_same")

        billing.turn_timers()
        assert billing.told()[2:] == []

    def test_is_over_for_the_same_command(self, billing):
        billing.subscribe("starter")
        billing.stripe.knob("faults", {"kind": "status", "status": 500, "count": 1})
        with pytest.raises(errors.Unavailable):
            billing.tell("change_plan", plan="growth", command_id="cmd_same")

        answer = billing.tell("change_plan", plan="growth", command_id="cmd_same")

        assert answer["subscription"]["plan"] == "growth"

    def test_does_not_make_the_same_command_forget_which_revision_it_was_for(self, billing):
        billing.subscribe("starter")
        seen = revisions.of(billing.ask("get_subscription"))
        billing.stripe.knob("faults", {"kind": "status", "status": 500, "count": 1})
        with context.use(if_match=(seen,)), pytest.raises(errors.Unavailable):
            billing.tell("change_plan", plan="growth", command_id="cmd_same")
        billing.tell("change_plan", plan="growth")

        with context.use(if_match=(seen,)), pytest.raises(errors.Conflict, match="precondition_failed"):
            billing.tell("change_plan", plan="growth", command_id="cmd_same")

    def test_leaves_a_lost_answer_to_the_worker(self, billing):
        billing.subscribe("starter")
        path = "/v1/subscriptions/"
        lost = {"kind": "drop_after_commit", "count": stripe_transport.TRIES, "path": path, "method": "POST"}
        billing.stripe.knob("faults", lost)

        answer = billing.tell("change_plan", plan="growth", command_id="cmd_same")

        assert answer["outcome"] == "pending"
        assert billing.ask("get_change", change_id=answer["change_id"])["status"] == "pending"
        billing.turn_timers()
        assert billing.ask("get_change", change_id=answer["change_id"])["status"] == "done"
        assert billing.told()[2:] == [(3, "upgraded", "growth", "active")]
        assert len(billing.ask("list_invoices")["invoices"]) == 2

    def test_is_given_up_after_most_of_a_day_because_stripe_forgets_keys(self, billing):
        billing.subscribe("starter")
        path = "/v1/subscriptions/"
        billing.stripe.knob("faults", {"kind": "status", "status": 500, "path": path, "method": "POST"})
        change_id = billing.tell("change_plan", plan="growth")["change_id"]

        billing.set_clock("2026-04-01T20:00:01Z")
        billing.turn_timers()

        assert billing.ask("get_change", change_id=change_id)["status"] == "given_up"
        assert billing.told()[2:] == []

    def test_tries_anew_after_an_answer_that_failed(self, billing):
        billing.subscribe("starter")
        path = "/v1/subscriptions/"
        billing.stripe.knob("faults", {"kind": "status", "status": 500, "path": path, "method": "POST"})

        assert billing.tell("change_plan", plan="growth")["outcome"] == "pending"

        billing.turn_timers()
        assert billing.told()[2:] == [(3, "upgraded", "growth", "active")]

    def test_makes_no_second_customer_of_a_lost_answer(self, billing):
        path = "/v1/customers"
        lost = {"kind": "drop_after_commit", "count": stripe_transport.TRIES, "path": path, "method": "POST"}
        billing.stripe.knob("faults", lost)
        with pytest.raises(errors.Unavailable):
            billing.tell("change_plan", plan="starter")

        billing.subscribe("starter")

        assert len(billing.stripe.client().v1.customers.list().data) == 1
        assert billing.subscription()["plan"] == "starter"


class TestInterrupted:
    @pytest.mark.parametrize("method, path", [("GET", "/v1/subscriptions"), ("POST", "/v1/subscriptions/")])
    def test_change_is_finished_by_the_worker(self, billing, method, path):
        billing.subscribe("starter")

        kill_during(billing, method, path)
        billing.let_leases_run_out()

        eventually(lambda: billing.turn_timers() or len(billing.told()) > 2)
        assert billing.told()[2:] == [(3, "upgraded", "growth", "active")]
        assert len(billing.ask("list_invoices")["invoices"]) == 2
        answer = billing.tell("change_plan", plan="growth", command_id="cmd_of_the_dead")
        assert (answer["outcome"], answer["subscription"]["plan"]) == ("changed", "growth")

    def test_change_is_left_alone_while_its_lease_lasts(self, billing):
        billing.subscribe("starter")
        kill_during(billing, "GET", "/v1/subscriptions")

        billing.turn_timers()

        assert billing.told()[2:] == []
        with pytest.raises(errors.Conflict, match="change_in_progress"):
            billing.tell("cancel", at="now")


def kill_during(billing, method, path):
    """Kill a process that changes the plan, while it waits for this call to Stripe."""
    billing.stripe.knob("faults", {"kind": "slow", "seconds": 1, "method": method, "path": path})
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=change_to_growth, args=(billing.settings, billing.database.clock.file))
    process.start()
    eventually(lambda: not requests.get(f"{billing.stripe.address}/_sandbox/faults", timeout=5).json()["faults"])
    process.kill()
    process.join()


def change_to_growth(settings, clock_file):
    made = open_doors(settings, database.Database(settings.database_url, clock.Clock(clock_file)))
    with context.use(actor=OWNER):
        made.change_plan(command_id="cmd_of_the_dead", plan="growth")
