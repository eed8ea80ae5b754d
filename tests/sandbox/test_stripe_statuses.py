"""What subscriptions, payments and invoices go through before they are what they become."""

import pytest
import stripe

from tests.sandbox.stripe_process import unix
from tests.sandbox.test_stripe_subscriptions import change, period_of


@pytest.fixture
def incomplete(sandbox, client):
    """One whose first invoice could not be collected."""
    customer = client.v1.customers.create({})
    sandbox.use_card(customer.id, "pm_card_chargeCustomerFail")
    return client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": "price_starter"}]})


class TestIncomplete:
    def test_begins_when_its_first_invoice_is_paid(self, client, incomplete):
        opened = client.v1.invoices.retrieve(str(incomplete.latest_invoice))

        client.v1.invoices.pay(opened.id, {"payment_method": "pm_card_visa"})

        assert (incomplete.status, opened.status, opened.next_payment_attempt) == ("incomplete", "open", None)
        assert client.v1.subscriptions.retrieve(incomplete.id).status == "active"

    def test_expires_after_23_hours(self, sandbox, client, incomplete):
        sandbox.set_clock("2026-04-01T22:59:59Z")
        before = client.v1.subscriptions.retrieve(incomplete.id).status
        sandbox.set_clock("2026-04-01T23:00:00Z")

        assert (before, client.v1.subscriptions.retrieve(incomplete.id).status) == (
            "incomplete",
            "incomplete_expired",
        )
        assert client.v1.invoices.retrieve(str(incomplete.latest_invoice)).status == "void"
        sandbox.set_clock("2026-06-01T00:00:00Z")
        assert len(client.v1.invoices.list().data) == 1
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.subscriptions.cancel(incomplete.id)

    def test_cannot_be_changed(self, client, incomplete):
        with pytest.raises(stripe.InvalidRequestError, match="incomplete subscription"):
            change(client, incomplete, "price_growth")


class TestACustomerWithoutACard:
    @pytest.mark.parametrize("behavior", ["allow_incomplete", "error_if_incomplete"])
    def test_cannot_begin(self, client, behavior):
        customer = client.v1.customers.create({})
        wanted = {"customer": customer.id, "items": [{"price": "price_starter"}], "payment_behavior": behavior}

        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.subscriptions.create(wanted)

        assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, "resource_missing", None)
        assert client.v1.subscriptions.list({"status": "all"}).data == []

    @pytest.mark.parametrize("behavior", ["allow_incomplete", "pending_if_incomplete"])
    def test_cannot_upgrade(self, sandbox, client, behavior):
        subscription = sandbox.subscribe()
        (card,) = client.v1.payment_methods.list({"customer": str(subscription.customer), "type": "card"}).data
        client.v1.payment_methods.detach(card.id)

        with pytest.raises(stripe.InvalidRequestError) as refused:
            change(client, subscription, "price_growth", payment_behavior=behavior)

        assert (refused.value.code, refused.value.param) == ("resource_missing", None)
        assert client.v1.subscriptions.retrieve(subscription.id).pending_update is None


class TestAPaymentThatThePersonMustConfirm:
    def test_requires_an_action_and_is_no_charge_yet(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_authenticationRequired")

        waiting = change(client, subscription, "price_growth", payment_behavior="pending_if_incomplete")

        (payment,) = client.v1.invoice_payments.list(
            {"invoice": str(waiting.latest_invoice), "expand": ["data.payment.payment_intent"]}
        ).data
        intent = payment.payment.payment_intent
        assert (intent.status, intent.next_action.type) == ("requires_action", "use_stripe_sdk")
        assert (intent.last_payment_error, intent.latest_charge) == (None, None)

    def test_is_refused_to_a_program(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_authenticationRequired")
        waiting = change(client, subscription, "price_growth", payment_behavior="pending_if_incomplete")

        with pytest.raises(stripe.CardError) as refused:
            client.v1.invoices.pay(str(waiting.latest_invoice))

        assert (refused.value.http_status, refused.value.code) == (402, "invoice_payment_intent_requires_action")


@pytest.fixture
def drafting(sandbox):
    """Renewals as at Stripe: their invoice is a draft for an hour."""
    sandbox.knob("settings", {"draft_seconds": 3600})
    return sandbox


class TestADraft:
    def test_of_a_renewal_is_charged_an_hour_later(self, drafting, client):
        subscription = drafting.subscribe()
        drafting.set_clock("2026-05-01T00:00:00Z")
        renewed = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})
        drafting.set_clock("2026-05-01T01:00:00Z")

        charged = client.v1.invoices.retrieve(renewed.latest_invoice.id)

        assert (renewed.status, period_of(renewed)[0]) == ("active", unix("2026-05-01T00:00:00Z"))
        assert (renewed.latest_invoice.status, renewed.latest_invoice.hosted_invoice_url) == ("draft", None)
        assert renewed.latest_invoice.automatically_finalizes_at == unix("2026-05-01T01:00:00Z")
        assert (charged.status, charged.amount_paid) == ("paid", 1900)

    def test_that_cannot_be_charged_leaves_it_past_due_from_then_on(self, drafting, client):
        subscription = drafting.subscribe(card="pm_card_chargeCustomerFail")
        drafting.set_clock("2026-05-01T00:59:59Z")
        before = client.v1.subscriptions.retrieve(subscription.id).status
        drafting.set_clock("2026-05-01T01:00:00Z")

        after = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})

        assert (before, after.status) == ("active", "past_due")
        assert after.latest_invoice.next_payment_attempt == unix("2026-05-02T01:00:00Z")

    def test_of_what_was_canceled_stays_one(self, drafting, client):
        subscription = drafting.subscribe()
        drafting.set_clock("2026-05-01T00:00:00Z")
        client.v1.subscriptions.cancel(subscription.id)
        drafting.set_clock("2026-05-02T00:00:00Z")

        assert [each.status for each in client.v1.invoices.list().data] == ["draft", "paid"]
