"""Subscriptions through the SDK: proration to the cent, declined cards, previews, and what time does."""

import pytest
import stripe

from tests.sandbox.stripe_process import unix


def change(client, subscription, price, **more):
    item = subscription["items"].data[0].id
    params = {"items": [{"id": item, "price": price}], "proration_behavior": "always_invoice", **more}
    return client.v1.subscriptions.update(subscription.id, params)


def price_of(subscription):
    return subscription["items"].data[0].price.id


def period_of(subscription):
    item = subscription["items"].data[0]
    return item.current_period_start, item.current_period_end


def kinds(client):
    return [event.type for event in client.v1.events.list({"limit": 100}).data][::-1]


class TestStart:
    def test_charges_the_first_month_at_once(self, sandbox, client):
        subscription = sandbox.subscribe()

        invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))
        assert (subscription.status, invoice.status, invoice.amount_paid) == ("active", "paid", 1900)
        assert invoice.billing_reason == "subscription_create"
        assert invoice.parent.subscription_details.subscription == subscription.id
        assert period_of(subscription) == (unix("2026-04-01T00:00:00Z"), unix("2026-05-01T00:00:00Z"))

    def test_leaves_nothing_behind_when_the_card_fails(self, sandbox, client):
        customer = client.v1.customers.create({})
        sandbox.use_card(customer.id, "pm_card_chargeCustomerFail")

        with pytest.raises(stripe.CardError):
            client.v1.subscriptions.create(
                {
                    "customer": customer.id,
                    "items": [{"price": "price_starter"}],
                    "payment_behavior": "error_if_incomplete",
                }
            )

        assert client.v1.subscriptions.list({"status": "all"}).data == []
        assert client.v1.invoices.list().data == []
        assert "invoice.created" not in kinds(client)

    def test_is_told_as_incomplete_and_then_as_active(self, sandbox, client):
        subscription = sandbox.subscribe()

        told = [event for event in client.v1.events.list().data if event.type.startswith("customer.subscription.")]

        assert [(event.type, event.data.object["status"]) for event in reversed(told)] == [
            ("customer.subscription.created", "incomplete"),
            ("customer.subscription.updated", "active"),
        ]
        assert told[0].data.to_dict()["previous_attributes"] == {"status": "incomplete"}
        assert subscription.status == "active"


class TestUpgrade:
    def test_charges_the_difference_by_the_second(self, sandbox, client):
        subscription = sandbox.subscribe()
        sandbox.set_clock("2026-04-11T00:00:00Z")

        after = change(client, subscription, "price_growth", payment_behavior="error_if_incomplete")

        invoice = client.v1.invoices.retrieve(str(after.latest_invoice))
        assert [line.amount for line in invoice.lines.data] == [-1267, 3267]
        assert (invoice.amount_paid, invoice.billing_reason) == (2000, "subscription_update")
        assert price_of(after) == "price_growth"
        assert period_of(after) == period_of(subscription)

    @pytest.mark.parametrize("moment, cents", [("2026-04-30T12:00:00Z", 50), ("2026-04-30T12:20:00Z", 0)])
    def test_of_less_than_can_be_charged_is_put_on_the_next_invoice(self, sandbox, client, moment, cents):
        subscription = sandbox.subscribe()
        sandbox.set_clock(moment)

        after = change(client, subscription, "price_growth", payment_behavior="pending_if_incomplete")

        invoice = client.v1.invoices.retrieve(str(after.latest_invoice))
        assert (invoice.status, invoice.amount_due, price_of(after)) == ("paid", cents, "price_growth")
        assert invoice.ending_balance == invoice.total - cents
        sandbox.set_clock("2026-05-01T00:00:00Z")
        renewal = client.v1.invoices.list({"subscription": subscription.id}).data[0]
        assert renewal.amount_paid == 4900 + invoice.total - cents

    def test_takes_the_proration_date_of_the_preview(self, sandbox, client):
        subscription = sandbox.subscribe()
        sandbox.set_clock("2026-04-11T00:00:00Z")
        details = {
            "items": [{"id": subscription["items"].data[0].id, "price": "price_growth"}],
            "proration_behavior": "always_invoice",
            "proration_date": unix("2026-04-11T00:00:00Z"),
        }
        preview = client.v1.invoices.create_preview(
            {"subscription": subscription.id, "subscription_details": details}
        )
        sandbox.set_clock("2026-04-12T10:00:00Z")

        after = change(client, subscription, "price_growth", proration_date=unix("2026-04-11T00:00:00Z"))

        assert client.v1.invoices.retrieve(str(after.latest_invoice)).amount_due == preview.amount_due == 2000

    @pytest.mark.parametrize(
        "card,code",
        [
            ("pm_card_chargeCustomerFail", "card_declined"),
            ("pm_card_authenticationRequired", "subscription_payment_intent_requires_action"),
        ],
    )
    def test_changes_nothing_when_the_card_fails(self, sandbox, client, card, code):
        subscription = sandbox.subscribe(card=card)
        before = client.v1.subscriptions.retrieve(subscription.id).to_dict()
        told = kinds(client)

        with pytest.raises(stripe.CardError) as refused:
            change(client, subscription, "price_growth", payment_behavior="error_if_incomplete")

        assert (refused.value.http_status, refused.value.code) == (402, code)
        assert client.v1.subscriptions.retrieve(subscription.id).to_dict() == before
        assert len(client.v1.invoices.list().data) == 1
        assert kinds(client) == told

    def test_waits_for_the_money_if_asked_to(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        waiting = change(client, subscription, "price_growth", payment_behavior="pending_if_incomplete")
        sandbox.use_card(str(subscription.customer), "pm_card_visa")

        client.v1.invoices.pay(str(waiting.latest_invoice))

        after = client.v1.subscriptions.retrieve(subscription.id)
        assert (price_of(waiting), waiting.pending_update is None) == ("price_starter", False)
        assert (price_of(after), after.pending_update) == ("price_growth", None)

    def test_that_waits_in_vain_expires_with_its_invoice(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        waiting = change(client, subscription, "price_growth", payment_behavior="pending_if_incomplete")
        sandbox.set_clock("2026-04-02T00:00:00Z")

        after = client.v1.subscriptions.retrieve(subscription.id)

        assert (price_of(after), after.pending_update, after.status) == ("price_starter", None, "active")
        assert client.v1.invoices.retrieve(str(waiting.latest_invoice)).status == "void"

    def test_is_past_due_when_it_may_be_incomplete(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")

        after = change(client, subscription, "price_growth")

        assert (after.status, price_of(after)) == ("past_due", "price_growth")
        assert client.v1.invoices.retrieve(str(after.latest_invoice)).status == "open"

    def test_is_refused_for_an_item_that_is_not_its_own(self, sandbox, client):
        subscription = sandbox.subscribe()

        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.subscriptions.update(subscription.id, {"items": [{"id": "si_other", "price": "price_growth"}]})

        assert refused.value.param == "items[0][id]"


class TestDowngrade:
    def test_credits_the_balance(self, sandbox, client):
        subscription = sandbox.subscribe("price_growth")
        sandbox.set_clock("2026-04-16T00:00:00Z")

        after = change(client, subscription, "price_starter")

        invoice = client.v1.invoices.retrieve(str(after.latest_invoice))
        assert (invoice.total, invoice.amount_due, invoice.status) == (-1500, 0, "paid")
        assert client.v1.customers.retrieve(str(subscription.customer)).balance == -1500

    def test_credit_pays_the_renewal(self, sandbox, client):
        subscription = sandbox.subscribe("price_growth")
        sandbox.set_clock("2026-04-16T00:00:00Z")
        change(client, subscription, "price_starter")
        sandbox.set_clock("2026-05-01T00:00:00Z")

        renewal = client.v1.invoices.list({"subscription": subscription.id}).data[0]

        assert (renewal.total, renewal.amount_paid, renewal.status) == (1900, 400, "paid")

    def test_can_wait_for_the_next_invoice(self, sandbox, client):
        subscription = sandbox.subscribe("price_growth")
        sandbox.set_clock("2026-04-16T00:00:00Z")
        change(client, subscription, "price_starter", proration_behavior="create_prorations")
        upcoming = client.v1.invoices.create_preview({"subscription": subscription.id})
        sandbox.set_clock("2026-05-01T00:00:00Z")

        renewal = client.v1.invoices.list({"subscription": subscription.id}).data[0]

        assert [line.amount for line in renewal.lines.data] == [-2450, 950, 1900]
        assert (upcoming.total, renewal.total) == (400, 400)

    def test_without_proration_moves_no_money(self, sandbox, client):
        subscription = sandbox.subscribe("price_growth")

        after = change(client, subscription, "price_starter", proration_behavior="none")

        assert price_of(after) == "price_starter"
        assert len(client.v1.invoices.list().data) == 1


class TestPreview:
    def test_changes_nothing(self, sandbox, client):
        subscription = sandbox.subscribe()
        before = kinds(client)
        details = {
            "items": [{"id": subscription["items"].data[0].id, "price": "price_growth"}],
            "proration_behavior": "always_invoice",
        }

        preview = client.v1.invoices.create_preview(
            {"subscription": subscription.id, "subscription_details": details}
        )

        assert (preview.amount_due, preview.status) == (3000, "draft")
        assert kinds(client) == before
        assert len(client.v1.invoices.list().data) == 1

    def test_without_a_change_is_the_next_renewal(self, sandbox, client):
        subscription = sandbox.subscribe()

        preview = client.v1.invoices.create_preview({"subscription": subscription.id})

        assert (preview.amount_due, preview.next_payment_attempt) == (1900, unix("2026-05-01T00:00:00Z"))

    def test_has_no_next_invoice_for_one_that_ends(self, sandbox, client):
        subscription = sandbox.subscribe()
        client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.invoices.create_preview({"subscription": subscription.id})

        assert (refused.value.http_status, refused.value.code) == (404, "invoice_upcoming_none")


class TestCancel:
    def test_now_ends_it_at_once(self, sandbox, client):
        subscription = sandbox.subscribe()
        sandbox.set_clock("2026-04-16T00:00:00Z")

        after = client.v1.subscriptions.cancel(subscription.id, {"invoice_now": True, "prorate": True})

        assert (after.status, after.ended_at) == ("canceled", unix("2026-04-16T00:00:00Z"))
        assert client.v1.customers.retrieve(str(subscription.customer)).balance == -950
        assert kinds(client)[-1] == "customer.subscription.deleted"

    def test_is_not_listed_unless_all_are_asked_for(self, sandbox, client):
        subscription = sandbox.subscribe()
        client.v1.subscriptions.cancel(subscription.id)

        customer = str(subscription.customer)
        assert client.v1.subscriptions.list({"customer": customer}).data == []
        found = client.v1.subscriptions.list({"customer": customer, "status": "all"})
        assert [each.id for each in found.data] == [subscription.id]

    def test_twice_finds_nothing(self, sandbox, client):
        subscription = sandbox.subscribe()
        client.v1.subscriptions.cancel(subscription.id)

        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.subscriptions.cancel(subscription.id)

        assert refused.value.http_status == 404

    def test_at_the_end_of_the_period_happens_then(self, sandbox, client):
        subscription = sandbox.subscribe()
        marked = client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
        sandbox.set_clock("2026-04-30T23:59:59Z")
        before = client.v1.subscriptions.retrieve(subscription.id)
        sandbox.set_clock("2026-05-01T00:00:00Z")
        after = client.v1.subscriptions.retrieve(subscription.id)

        assert marked.cancel_at == unix("2026-05-01T00:00:00Z")
        assert (before.status, after.status) == ("active", "canceled")
        assert after.ended_at == unix("2026-05-01T00:00:00Z")
        assert len(client.v1.invoices.list().data) == 1

    def test_at_the_end_of_the_period_can_be_withdrawn(self, sandbox, client):
        subscription = sandbox.subscribe()
        client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
        kept = client.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
        sandbox.set_clock("2026-05-01T00:00:00Z")

        assert (kept.cancel_at, kept.canceled_at) == (None, None)
        assert client.v1.subscriptions.retrieve(subscription.id).status == "active"


class TestTime:
    def test_renews_every_month_however_far_the_clock_jumps(self, sandbox, client):
        subscription = sandbox.subscribe()
        sandbox.set_clock("2026-07-15T00:00:00Z")

        after = client.v1.subscriptions.retrieve(subscription.id)

        invoices = client.v1.invoices.list({"subscription": subscription.id}).data
        assert period_of(after) == (unix("2026-07-01T00:00:00Z"), unix("2026-08-01T00:00:00Z"))
        assert [invoice.created for invoice in invoices] == [
            unix(f"2026-{month:02}-01T00:00:00Z") for month in (7, 6, 5, 4)
        ]
        assert {invoice.status for invoice in invoices} == {"paid"}
        assert invoices[0].billing_reason == "subscription_cycle"

    def test_moves_on_by_itself(self, sandbox, client, receiver):
        sandbox.subscribe()
        sandbox.knob("deliveries", {"stopped": False})
        receiver.wait_for_type("customer.subscription.created")
        receiver.forget()

        sandbox.set_clock("2026-05-01T00:00:00Z")

        receiver.wait_for_type("invoice.paid")

    def test_leaves_a_failed_renewal_past_due_and_tries_four_times_more(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        sandbox.set_clock("2026-05-01T00:00:00Z")
        first = client.v1.subscriptions.retrieve(subscription.id)
        invoice_id = str(first.latest_invoice)
        attempts = []
        for day in (1, 2, 4, 6, 8):
            sandbox.set_clock(f"2026-05-{day:02}T00:00:00Z")
            invoice = client.v1.invoices.retrieve(invoice_id)
            attempts.append((invoice.attempt_count, invoice.next_payment_attempt))

        after = client.v1.subscriptions.retrieve(subscription.id)
        assert (first.status, after.status) == ("past_due", "unpaid")
        assert attempts == [
            (1, unix("2026-05-02T00:00:00Z")),
            (2, unix("2026-05-04T00:00:00Z")),
            (3, unix("2026-05-06T00:00:00Z")),
            (4, unix("2026-05-08T00:00:00Z")),
            (5, None),
        ]

    def test_cancels_after_the_last_try_if_set_so(self, sandbox, client):
        sandbox.knob("settings", {"after_dunning": "cancel"})
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        sandbox.set_clock("2026-05-08T00:00:00Z")

        after = client.v1.subscriptions.retrieve(subscription.id)

        assert (after.status, after.cancellation_details.reason) == ("canceled", "payment_failed")
        assert after.ended_at == unix("2026-05-08T00:00:00Z")

    def test_is_active_again_when_the_next_try_succeeds(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        sandbox.set_clock("2026-05-01T00:00:00Z")
        sandbox.use_card(str(subscription.customer), "pm_card_visa")
        sandbox.set_clock("2026-05-02T00:00:00Z")

        assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
        assert client.v1.customers.retrieve(str(subscription.customer)).delinquent is False

    def test_keeps_an_unpaid_one_until_its_last_invoice_is_paid(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        sandbox.set_clock("2026-06-10T00:00:00Z")
        found = client.v1.invoices.list({"subscription": subscription.id}).data

        client.v1.invoices.pay(str(found[1].id), {"payment_method": "pm_card_visa"})
        after_the_older = client.v1.subscriptions.retrieve(subscription.id).status
        client.v1.invoices.pay(str(found[0].id), {"payment_method": "pm_card_visa"})

        assert [each.status for each in found] == ["draft", "open", "paid"]
        assert after_the_older == "unpaid"
        assert client.v1.subscriptions.retrieve(subscription.id).status == "active"

    def test_makes_it_active_again_by_its_newest_invoice_though_an_older_one_is_open(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        sandbox.set_clock("2026-05-01T00:00:00Z")
        change(client, subscription, "price_growth")  # billed at once, and not paid either
        older, newer = reversed(client.v1.invoices.list({"status": "open"}).data)
        client.v1.invoices.pay(newer.id, {"payment_method": "pm_card_visa"})

        assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
        assert client.v1.invoices.retrieve(older.id).status == "open"


class TestPay:
    def test_that_fails_stays_on_record(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        sandbox.set_clock("2026-05-01T00:00:00Z")
        invoice = client.v1.invoices.list({"subscription": subscription.id}).data[0]

        with pytest.raises(stripe.CardError) as refused:
            client.v1.invoices.pay(invoice.id)

        assert refused.value.code == "card_declined"
        assert client.v1.invoices.retrieve(invoice.id).attempt_count == 2
        assert kinds(client).count("invoice.payment_failed") == 2

    def test_twice_is_refused(self, sandbox, client):
        subscription = sandbox.subscribe()

        with pytest.raises(stripe.InvalidRequestError, match="already paid"):
            client.v1.invoices.pay(str(subscription.latest_invoice))
