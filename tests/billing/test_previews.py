"""What a change would bring, before it is made; and the way to Stripe's own portal."""

import pytest
import requests

from shared import errors


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
