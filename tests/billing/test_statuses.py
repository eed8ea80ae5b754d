"""What Stripe's subscriptions go through on their way: incomplete at first, a draft for an hour at each renewal."""

import pytest

from tests.billing.conftest import BAD

MIDNIGHT, HALF_AN_HOUR, AN_HOUR = "2026-05-01T00:00:00Z", "2026-05-01T00:30:00Z", "2026-05-01T01:00:00Z"


def move_to(billing, moment):
    billing.set_clock(moment)
    billing.turn_timers()
    billing.deliver()


def billed(billing):
    invoices = billing.ask("list_invoices")["invoices"]
    return [(invoice["status"], invoice["total_cents"]) for invoice in reversed(invoices)]


@pytest.fixture
def incomplete(billing):
    """Somebody tried to subscribe our customer by hand, with a card that fails."""
    billing.tell("change_plan", plan="starter")
    client = billing.stripe.client().v1
    (customer,) = client.customers.list().data
    billing.stripe.use_card(customer.id, "pm_card_chargeCustomerFail")
    client.subscriptions.create({"customer": customer.id, "items": [{"price": "price_growth"}]})
    billing.deliver()
    return billing


class TestIncomplete:
    def test_grants_nothing(self, incomplete):
        assert incomplete.subscription()["plan"] == "free"
        assert incomplete.subscription()["payment_problem"] is None

    def test_grants_its_plan_once_it_is_paid(self, incomplete):
        client = incomplete.stripe.client().v1
        (invoice,) = client.invoices.list({"status": "open"}).data

        client.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"})
        incomplete.deliver()

        assert incomplete.subscription()["plan"] == "growth"

    def test_does_not_stand_in_the_way_of_checkout_and_expires(self, incomplete):
        incomplete.subscribe("starter")

        move_to(incomplete, "2026-04-02T00:00:00Z")

        assert incomplete.subscription()["plan"] == "starter"
        found = incomplete.stripe.client().v1.subscriptions.list({"status": "all"}).data
        assert sorted(each.status for each in found) == ["active", "incomplete_expired"]

    def test_that_expired_is_as_if_it_had_never_been(self, incomplete):
        move_to(incomplete, "2026-04-02T00:00:00Z")

        assert [action for _, action, _, _ in incomplete.told()] == ["started"]
        incomplete.subscribe("starter")
        assert incomplete.subscription()["plan"] == "starter"


@pytest.fixture
def drafting(billing):
    """A renewal's invoice is a draft for an hour, as at Stripe."""
    billing.stripe.knob("settings", {"draft_seconds": 3600})
    return billing


class TestTheHourInWhichARenewalIsADraft:
    def test_is_in_the_new_period_already(self, drafting):
        drafting.subscribe("starter")
        move_to(drafting, MIDNIGHT)
        renewed = drafting.subscription()

        move_to(drafting, AN_HOUR)

        assert renewed["period"]["starts_at"] == MIDNIGHT
        assert (renewed["status"], renewed["payment_problem"]) == ("active", None)
        assert drafting.told()[2:] == [(3, "renewed", "starter", "active")]
        assert billed(drafting) == [("paid", 1900), ("paid", 1900)]

    def test_ends_with_a_grace_period_where_the_card_fails(self, drafting):
        drafting.subscribe("starter")
        drafting.use_card(BAD)
        move_to(drafting, MIDNIGHT)

        move_to(drafting, AN_HOUR)

        shown = drafting.subscription()
        assert (shown["plan"], shown["status"]) == ("starter", "past_due")
        assert shown["payment_problem"]["grace_until"] == "2026-05-08T01:00:00Z"
        assert shown["payment_problem"]["payment_url"].startswith(drafting.stripe.address)

    def test_bills_a_downgrade_that_came_due_at_its_new_price(self, drafting):
        drafting.subscribe("growth")
        drafting.tell("change_plan", plan="starter", at="period_end")
        move_to(drafting, MIDNIGHT)
        plan = drafting.subscription()["plan"]

        move_to(drafting, AN_HOUR)

        assert plan == "starter"
        assert billed(drafting) == [("paid", 4900), ("paid", 1900)]

    def test_lets_an_upgrade_through(self, drafting):
        drafting.subscribe("starter")
        move_to(drafting, MIDNIGHT)

        answer = drafting.tell("change_plan", plan="growth")
        move_to(drafting, AN_HOUR)

        assert answer["outcome"] == "changed"
        assert billed(drafting) == [("paid", 1900), ("paid", 1900), ("paid", 3000)]
        assert drafting.subscription()["payment_problem"] is None

    def test_says_of_an_upgrade_that_is_declined_where_to_pay_it(self, drafting):
        drafting.subscribe("starter")
        drafting.use_card(BAD)
        move_to(drafting, HALF_AN_HOUR)

        with pytest.raises(Exception, match="card_declined") as refusal:
            drafting.tell("change_plan", plan="growth")
        drafting.pay(refusal.value.details["payment_url"])
        drafting.deliver()

        assert drafting.subscription()["plan"] == "growth"

    def test_lets_a_cancellation_through_and_bills_nothing_more(self, drafting):
        drafting.subscribe("starter")
        move_to(drafting, MIDNIGHT)

        drafting.tell("cancel", at="now")
        move_to(drafting, AN_HOUR)

        assert drafting.subscription()["plan"] == "free"
        assert billed(drafting) == [("paid", 1900), ("draft", 1900)]
