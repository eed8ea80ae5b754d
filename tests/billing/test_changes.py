"""Changes of plan, end to end: billing's doors, a real database, and the Stripe sandbox."""

import pytest

from shared import context, errors, revisions
from tests.billing.conftest import ASKS, BAD, GOOD


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
