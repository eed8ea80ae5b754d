"""What Stripe refuses is told as that, and not as Stripe being away; above all a price that somebody has archived."""

from dataclasses import replace

import pytest
from sqlalchemy import update

from services.billing import account_setup, models, stripe_api
from services.billing.stripe_api import Stripe
from shared import context, errors
from tests.billing.conftest import OWNER, open_doors


@pytest.fixture
def archived(billing):
    """Growth can be bought no more."""
    billing.subscribe("starter")
    billing.stripe.client().v1.prices.update("price_growth", {"active": False})
    return billing


class TestAnArchivedPrice:
    def test_keeps_a_change_from_happening_and_says_so(self, archived):
        with pytest.raises(errors.Conflict, match="stripe_refused"):
            archived.tell("change_plan", plan="growth")

        assert archived.subscription()["plan"] == "starter"

    def test_has_no_preview_and_says_why(self, archived):
        with pytest.raises(errors.Conflict) as refusal:
            archived.ask("preview", plan="growth")

        assert refusal.value.code == "stripe_refused"
        assert refusal.value.message == "Growth cannot be bought at the moment: Stripe has no active price for it."

    def test_has_no_preview_as_a_first_plan_either(self, billing):
        billing.stripe.client().v1.prices.update("price_growth", {"active": False})

        with pytest.raises(errors.Conflict, match="stripe_refused"):
            billing.ask("preview", plan="growth")

    def test_has_no_preview_for_the_end_of_the_period(self, billing):
        billing.subscribe("growth")
        billing.stripe.client().v1.prices.update("price_starter", {"active": False})

        with pytest.raises(errors.Conflict, match="stripe_refused"):
            billing.ask("preview", plan="starter", at="period_end")

    def test_leaves_the_plan_to_who_has_it(self, archived):
        archived.stripe.client().v1.prices.update("price_starter", {"active": False})

        archived.set_clock("2026-05-01T00:00:01Z")
        archived.deliver()

        assert archived.subscription()["plan"] == "starter"
        assert archived.subscription()["period"]["ends_at"] == "2026-06-01T00:00:00Z"


@pytest.fixture
def elsewhere(billing):
    """The org's customer is one of another Stripe account: a key was changed, or a database restored elsewhere."""
    billing.subscribe("starter")
    with billing.database.begin() as session:
        session.execute(update(models.Customer).values(customer_id="cus_elsewhere"))
    return billing


class TestACustomerOfAnotherAccount:
    def test_has_no_invoices_rather_than_a_wrong_cursor(self, elsewhere):
        with pytest.raises(errors.Conflict, match="stripe_refused"):
            elsewhere.ask("list_invoices", after="in_1")

    def test_has_no_portal(self, elsewhere):
        with pytest.raises(errors.Conflict, match="stripe_refused"):
            elsewhere.tell("open_portal")

    def test_has_no_preview(self, elsewhere):
        with pytest.raises(errors.Conflict, match="stripe_refused"):
            elsewhere.ask("preview", plan="growth")


class TestAKeyThatStripeDoesNotTake:
    def test_is_said_to_be_a_failure_and_not_a_silence(self, elsewhere):
        other = replace(elsewhere.settings, stripe_api_key="sk_live_of_another_account")
        doors = open_doors(other, elsewhere.database)

        with context.use(actor=OWNER), pytest.raises(errors.Unavailable, match="Stripe failed"):
            doors.list_invoices()


class TestAnIdempotencyKey:
    def test_that_stripe_knows_for_something_else_is_not_asked_with_again(self, billing):
        stripe = Stripe(settings=billing.settings)
        stripe.create_customer("org_1", key="key_1")

        with pytest.raises(stripe_api.Away) as refusal:
            stripe.create_customer("org_2", key="key_1")

        assert refusal.value.answered

    def test_of_the_portal_is_another_one_where_the_portal_is(self, billing):
        billing.subscribe("starter")
        first = billing.tell("open_portal", command_id="cmd_same")
        same = billing.tell("open_portal", command_id="cmd_same")
        mark = {"metadata": {account_setup.MARK: "portal"}, "features": {"invoice_history": {"enabled": True}}}
        billing.stripe.client().v1.billing_portal.configurations.create(mark)

        other = billing.tell("open_portal", command_id="cmd_same")

        assert first == same != other
