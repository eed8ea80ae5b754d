"""Changes of plan, end to end: billing's doors, a real database, and the Stripe sandbox."""

import multiprocessing

import pytest
import requests

from services.billing import stripe_transport
from shared import clock, context, database, errors, revisions
from tests.billing.conftest import ASKS, BAD, GOOD, OWNER, open_doors
from tests.sandbox.stripe_process import eventually


class TestFirstPaidPlan:
    def test_is_refused_to_whoever_saw_an_older_revision(self, billing):
        seen = revisions.of(billing.ask("get_subscription"))
        billing.tell("change_plan", plan="starter")  # a Checkout page is open now, and shown

        with context.use(if_match=(seen,)), pytest.raises(errors.Conflict, match="precondition_failed"):
            billing.tell("change_plan", plan="growth")

        with context.use(if_match=(revisions.of(billing.ask("get_subscription")),)):
            assert billing.tell("change_plan", plan="growth")["outcome"] == "checkout"

    def test_sends_to_checkout_and_changes_nothing_yet(self, billing):
        answer = billing.tell("change_plan", plan="starter")

        assert answer["outcome"] == "checkout"
        shown = billing.subscription()
        assert (shown["plan"], shown["version"]) == ("free", 1)
        assert shown["pending_checkout"]["checkout_url"] == answer["checkout_url"]

    def test_begins_when_stripe_says_that_it_was_paid(self, billing):
        billing.subscribe("starter")

        assert billing.told() == [(1, "started", "free", "active"), (2, "upgraded", "starter", "active")]
        shown = billing.subscription()
        assert shown["limits"] == {"messages": 2000, "bots": 3}
        assert shown["period"] == {"starts_at": "2026-04-01T00:00:00Z", "ends_at": "2026-05-01T00:00:00Z"}
        assert shown["pending_checkout"] is None

    def test_shows_the_same_page_again_while_it_is_open(self, billing):
        first = billing.tell("change_plan", plan="starter")

        assert billing.tell("change_plan", plan="starter")["checkout_url"] == first["checkout_url"]

    def test_opens_another_page_when_the_customer_was_deleted_at_stripe(self, billing):
        first = billing.tell("change_plan", plan="starter")
        client = billing.stripe.client()
        client.v1.customers.delete(client.v1.customers.list().data[0].id)

        second = billing.tell("change_plan", plan="starter")

        assert billing.pay(first["checkout_url"]).status_code != 303
        assert billing.pay(second["checkout_url"]).status_code == 303
        billing.deliver()
        assert billing.subscription()["plan"] == "starter"

    def test_closes_the_page_of_another_plan(self, billing):
        first = billing.tell("change_plan", plan="starter")

        second = billing.tell("change_plan", plan="growth")

        assert billing.pay(first["checkout_url"]).status_code != 303
        assert billing.pay(second["checkout_url"]).status_code == 303
        billing.deliver()
        assert billing.subscription()["plan"] == "growth"

    def test_notices_on_asking_again_that_it_was_paid_meanwhile(self, billing):
        billing.pay(billing.tell("change_plan", plan="starter")["checkout_url"])

        answer = billing.tell("change_plan", plan="starter")

        assert (answer["outcome"], answer["subscription"]["plan"]) == ("changed", "starter")

    def test_answers_a_repeated_command_the_same(self, billing):
        first = billing.tell("change_plan", plan="starter", command_id="cmd_same")

        assert billing.tell("change_plan", plan="starter", command_id="cmd_same") == first
        assert len(billing.stripe.client().v1.checkout.sessions.list().data) == 1

    def test_refuses_a_command_id_that_was_used_for_another_plan(self, billing):
        billing.tell("change_plan", plan="starter", command_id="cmd_same")

        with pytest.raises(errors.Invalid, match="idempotency_key_reused"):
            billing.tell("change_plan", plan="growth", command_id="cmd_same")


class TestUpgrade:
    def test_is_charged_and_takes_effect_at_once(self, billing):
        billing.subscribe("starter")
        billing.set_clock("2026-04-16T00:00:00Z")

        answer = billing.tell("change_plan", plan="growth")

        assert answer["outcome"] == "changed"
        assert (answer["subscription"]["plan"], answer["version"]) == ("growth", 3)
        assert billing.facts()[-1].effective_at == "2026-04-16T00:00:00Z"
        assert billing.ask("list_invoices")["invoices"][0]["total_cents"] == 1500

    def test_is_told_once_though_webhooks_follow(self, billing):
        billing.subscribe("starter")
        billing.tell("change_plan", plan="growth")

        billing.deliver()

        assert billing.told()[2:] == [(3, "upgraded", "growth", "active")]

    def test_changes_nothing_when_the_card_is_declined(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)

        with pytest.raises(errors.Conflict) as refusal:
            billing.tell("change_plan", plan="growth")

        assert refusal.value.code == "card_declined"
        billing.deliver()
        assert billing.told()[2:] == []
        assert billing.subscription()["plan"] == "starter"

    def test_happens_when_the_declined_bill_is_paid_after_all(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)
        with pytest.raises(errors.Conflict) as refusal:
            billing.tell("change_plan", plan="growth")

        billing.pay(refusal.value.details["payment_url"])
        billing.deliver()

        assert billing.told()[2:] == [(3, "upgraded", "growth", "active")]

    def test_asks_for_a_card_where_there_is_none_any_more(self, billing):
        billing.subscribe("starter")
        client = billing.stripe.client().v1
        for card in client.payment_methods.list({"customer": client.customers.list().data[0].id}).data:
            client.payment_methods.detach(card.id)

        with pytest.raises(errors.Conflict) as refusal:
            billing.tell("change_plan", plan="growth")

        assert (refusal.value.code, refusal.value.details["payment_url"]) == ("card_declined", None)
        billing.use_card(GOOD)
        assert billing.tell("change_plan", plan="growth")["outcome"] == "changed"

    def test_says_that_the_bank_wants_the_person(self, billing):
        billing.subscribe("starter")
        billing.use_card(ASKS)

        with pytest.raises(errors.Conflict) as refusal:
            billing.tell("change_plan", plan="growth")

        assert refusal.value.code == "authentication_required"
        assert refusal.value.details["payment_url"].startswith(billing.stripe.address)

    def test_can_be_tried_again_with_another_card(self, billing):
        billing.subscribe("starter")
        billing.use_card(BAD)
        with pytest.raises(errors.Conflict):
            billing.tell("change_plan", plan="growth")
        billing.use_card("5555 5555 5555 4444")

        assert billing.tell("change_plan", plan="growth")["outcome"] == "changed"

    def test_cannot_wait_for_the_end_of_the_period(self, billing):
        billing.subscribe("starter")

        with pytest.raises(errors.Invalid, match="upgrade_is_immediate"):
            billing.tell("change_plan", plan="growth", at="period_end")


class TestDowngrade:
    def test_takes_effect_now_and_gives_credit(self, billing):
        billing.subscribe("growth")
        billing.set_clock("2026-04-16T00:00:00Z")

        answer = billing.tell("change_plan", plan="starter")

        assert answer["subscription"]["limits"] == {"messages": 2000, "bots": 3}
        assert billing.told()[2:] == [(3, "downgraded", "starter", "active")]
        assert billing.ask("list_invoices")["invoices"][0]["total_cents"] == -1500

    def test_at_the_end_of_the_period_keeps_the_plan_until_then(self, billing):
        billing.subscribe("growth")

        answer = billing.tell("change_plan", plan="starter", at="period_end")
        billing.deliver()

        assert answer["subscription"]["plan"] == "growth"
        assert answer["subscription"]["scheduled_change"] == {
            "plan": "starter",
            "takes_effect_at": "2026-05-01T00:00:00Z",
        }
        assert billing.told()[2:] == [(3, "scheduled", "growth", "active")]

    def test_at_the_end_of_the_period_happens_then_and_bills_the_new_price(self, billing):
        billing.subscribe("growth")
        billing.tell("change_plan", plan="starter", at="period_end")

        billing.set_clock("2026-05-01T00:00:01Z")
        billing.turn_timers()

        assert billing.told()[3:] == [(4, "downgraded", "starter", "active")]
        shown = billing.subscription()
        assert (shown["scheduled_change"], shown["period"]["ends_at"]) == (None, "2026-06-01T00:00:00Z")
        assert billing.ask("list_invoices")["invoices"][0]["total_cents"] == 1900

    def test_at_the_end_of_the_period_waits_for_stripe_if_it_is_away(self, billing):
        billing.subscribe("growth")
        billing.tell("change_plan", plan="starter", at="period_end")
        billing.set_clock("2026-05-01T00:00:01Z")
        billing.stripe.knob("faults", {"kind": "status", "status": 500})

        billing.turn_timers()
        told_while_away = billing.told()
        billing.turn_timers()

        assert told_while_away[3:] == []
        assert billing.told()[3:] == [(4, "downgraded", "starter", "active")]
        assert billing.facts()[-2].effective_at == "2026-05-01T00:00:00Z"

    def test_that_was_scheduled_can_be_withdrawn(self, billing):
        billing.subscribe("growth")
        billing.tell("change_plan", plan="starter", at="period_end")

        answer = billing.tell("withdraw_change")

        assert answer["subscription"]["scheduled_change"] is None
        billing.set_clock("2026-05-01T00:00:01Z")
        billing.deliver()
        assert billing.told()[3:] == [(4, "withdrawn", "growth", "active"), (5, "renewed", "growth", "active")]

    def test_cannot_be_withdrawn_when_nothing_is_scheduled(self, billing):
        billing.subscribe("growth")

        with pytest.raises(errors.Conflict, match="nothing_scheduled"):
            billing.tell("withdraw_change")


class TestCancel:
    def test_now_ends_it_at_once(self, billing):
        billing.subscribe("starter")

        answer = billing.tell("cancel", at="now")
        billing.deliver()

        assert answer["subscription"]["limits"] == {"messages": 200, "bots": 1}
        assert billing.told()[2:] == [(3, "canceled", "free", "active")]

    def test_keeps_what_is_paid_for_by_default(self, billing):
        billing.subscribe("starter")

        answer = billing.tell("cancel")

        assert answer["subscription"]["plan"] == "starter"
        assert answer["subscription"]["scheduled_change"]["plan"] == "free"

    def test_ends_with_the_period(self, billing):
        billing.subscribe("starter")
        billing.tell("cancel")

        billing.set_clock("2026-05-01T00:00:01Z")
        billing.deliver()

        assert billing.told()[3:] == [(4, "canceled", "free", "active")]
        assert billing.facts()[-1].effective_at == "2026-05-01T00:00:00Z"

    def test_that_was_scheduled_can_be_withdrawn(self, billing):
        billing.subscribe("starter")
        billing.tell("cancel")

        billing.tell("withdraw_change")

        assert billing.told()[3:] == [(4, "withdrawn", "starter", "active")]

    def test_can_be_followed_by_a_new_start(self, billing):
        billing.subscribe("starter")
        billing.tell("cancel", at="now")

        billing.subscribe("growth")

        assert billing.told()[3:] == [(4, "upgraded", "growth", "active")]


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


class TestPreview:
    def test_of_an_upgrade_shows_the_price_of_the_rest_of_the_period(self, billing):
        billing.subscribe("starter")
        billing.set_clock("2026-04-16T00:00:00Z")

        shown = billing.ask("preview", plan="growth")

        assert (shown["price_today_cents"], shown["credit_cents"]) == (1500, 0)
        assert shown["next_invoice"] == {"amount_cents": 4900, "at": "2026-05-01T00:00:00Z"}
        assert shown["limits"] == {"messages": 10000, "bots": 10}

    def test_of_the_first_plan_shows_its_price(self, billing):
        shown = billing.ask("preview", plan="starter")

        assert (shown["price_today_cents"], shown["next_invoice"]) == (1900, None)

    def test_of_a_later_change_costs_nothing_today(self, billing):
        billing.subscribe("growth")

        shown = billing.ask("preview", plan="starter", at="period_end")

        assert (shown["price_today_cents"], shown["effective_at"]) == (0, "2026-05-01T00:00:00Z")
        assert shown["next_invoice"] == {"amount_cents": 1900, "at": "2026-05-01T00:00:00Z"}

    def test_counts_the_credit_that_is_there_as_stripe_does(self, billing):
        billing.subscribe("growth")
        billing.set_clock("2026-04-16T00:00:00Z")
        billing.tell("change_plan", plan="starter")  # 15.00 are left
        billing.set_clock("2026-04-21T00:00:00Z")

        shown = billing.ask("preview", plan="growth")
        billing.tell("change_plan", plan="growth")
        billing.set_clock("2026-05-01T00:00:00Z")

        renewal, upgrade, *_ = billing.ask("list_invoices")["invoices"]
        assert shown["price_today_cents"] == upgrade["amount_due_cents"] == 0
        assert shown["next_invoice"]["amount_cents"] == renewal["amount_due_cents"] == 4900 - 500

    def test_puts_what_is_too_little_to_be_charged_on_the_next_invoice_as_stripe_does(self, billing):
        billing.subscribe("starter")
        billing.set_clock("2026-04-30T18:00:00Z")

        shown = billing.ask("preview", plan="growth")
        answer = billing.tell("change_plan", plan="growth")
        billing.set_clock("2026-05-01T00:00:00Z")

        assert (answer["outcome"], shown["price_today_cents"], shown["credit_cents"]) == ("changed", 0, 0)
        renewal, upgrade, *_ = billing.ask("list_invoices")["invoices"]
        assert (upgrade["total_cents"], upgrade["amount_due_cents"]) == (25, 0)
        assert shown["next_invoice"]["amount_cents"] == renewal["amount_due_cents"] == 4925

    def test_of_a_later_change_and_of_a_new_start_count_the_credit_too(self, billing):
        billing.subscribe("growth")
        billing.set_clock("2026-04-16T00:00:00Z")
        billing.tell("change_plan", plan="starter")
        customer = str(billing.stripe.client().v1.customers.list().data[0].id)
        billing.stripe.client().v1.customers.update(customer, {"balance": -500})
        billing.tell("change_plan", plan="growth")
        billing.stripe.client().v1.customers.update(customer, {"balance": -600})

        later = billing.ask("preview", plan="starter", at="period_end")
        billing.tell("cancel", at="now")
        anew = billing.ask("preview", plan="starter")

        assert later["next_invoice"]["amount_cents"] == anew["price_today_cents"] == 1300

    def test_changes_nothing(self, billing):
        billing.subscribe("starter")
        before = billing.facts()

        billing.ask("preview", plan="growth")

        assert billing.facts() == before


class TestPortal:
    def test_lets_the_customer_in(self, billing):
        billing.subscribe("starter")

        assert requests.get(billing.tell("open_portal")["url"], timeout=10).status_code == 200

    def test_has_nothing_for_an_org_that_never_paid(self, billing):
        with pytest.raises(errors.Conflict, match="no_customer"):
            billing.tell("open_portal")
