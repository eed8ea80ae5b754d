"""What a person clicks: Checkout, the invoice, the portal; as a browser without JavaScript sends it."""

import re

import pytest
import requests
import stripe

BAD, POOR, ASKS = "4000 0000 0000 0002", "4000 0000 0000 9995", "4000 0025 0000 3155"


def checkout(client, **more):
    return client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": "price_growth", "quantity": 1}],
            "success_url": "https://example.com/paid?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "https://example.com/plans",
            "client_reference_id": "org_1",
            "metadata": {"intent": "int_1"},
            "subscription_data": {"metadata": {"org": "org_1"}},
            **more,
        }
    )


def submit(url, **form):
    return requests.post(url, data=form, allow_redirects=False, timeout=10)


class TestCheckout:
    def test_shows_the_plan_the_price_and_a_test_card(self, client):
        session = checkout(client)

        page = requests.get(session.url, timeout=10)

        assert page.status_code == 200
        for shown in ("Growth", "$49.00", 'value="4242 4242 4242 4242"', "no money moves", "Stripe sandbox"):
            assert shown in page.text
        assert 'href="https://example.com/plans"' in page.text
        assert "<script" not in page.text

    def test_labels_every_field(self, client):
        page = requests.get(checkout(client).url, timeout=10).text

        fields = set(re.findall(r'<input id="(\w+)"', page))
        assert fields == set(re.findall(r'<label for="(\w+)"', page)) == {"email", "number", "expiry", "cvc"}

    def test_takes_nothing_from_a_customer_who_is_deleted(self, client):
        customer = client.v1.customers.create({"email": "ada@example.com"})
        session = checkout(client, customer=customer.id)
        client.v1.customers.delete(customer.id)

        answer = submit(session.url, number="4242 4242 4242 4242")

        assert (answer.status_code, "No such customer" in answer.text) == (400, True)
        assert client.v1.charges.list({"customer": customer.id}).data == []

    def test_starts_the_subscription_and_goes_back(self, client):
        customer = client.v1.customers.create({"email": "ada@example.com"})
        session = checkout(client, customer=customer.id)

        answer = submit(session.url, number="4242 4242 4242 4242")

        assert answer.status_code == 303
        assert answer.headers["Location"] == f"https://example.com/paid?session={session.id}"
        done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "invoice"]})
        assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
        assert (done.subscription.status, done.subscription.metadata.to_dict()) == ("active", {"org": "org_1"})
        assert (done.invoice.amount_paid, done.customer) == (4900, customer.id)
        assert (done.client_reference_id, done.metadata.to_dict()) == ("org_1", {"intent": "int_1"})

    def test_makes_a_customer_when_there_is_none(self, client):
        session = checkout(client)

        submit(session.url, number="4242424242424242", email="new@example.com")

        done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["customer"]})
        assert done.customer.email == done.customer_details.email == "new@example.com"

    @pytest.mark.parametrize(
        "number,message",
        [
            (BAD, "Your card was declined."),
            (POOR, "Your card has insufficient funds."),
            ("4000 0000 0000 0341", "Your card was declined."),
            ("1234", "Your card number is incorrect."),
        ],
    )
    def test_shows_a_decline_and_makes_nothing(self, client, number, message):
        customer = client.v1.customers.create({})
        session = checkout(client, customer=customer.id)
        told = [event.id for event in client.v1.events.list().data]

        answer = submit(session.url, number=number)

        assert answer.status_code == 402
        assert message in answer.text
        assert client.v1.checkout.sessions.retrieve(session.id).status == "open"
        assert client.v1.subscriptions.list({"status": "all"}).data == []
        assert client.v1.payment_methods.list({"customer": customer.id}).data == []
        assert [event.id for event in client.v1.events.list().data] == told

    def test_lets_the_person_authenticate(self, client):
        session = checkout(client, customer=client.v1.customers.create({}).id)

        asked = submit(session.url, number=ASKS)
        failed = submit(session.url, number=ASKS, authentication="fail")
        completed = submit(session.url, number=ASKS, authentication="complete")

        assert "Complete authentication" in asked.text
        assert (failed.status_code, "requires authentication" in failed.text) == (402, True)
        assert completed.status_code == 303

    def test_is_paid_once_in_two_tabs(self, client):
        session = checkout(client, customer=client.v1.customers.create({}).id)
        submit(session.url, number="4242424242424242")

        again = submit(session.url, number="4242424242424242")

        assert "paid already" in again.text
        assert len(client.v1.subscriptions.list().data) == 1

    def test_expires_after_a_day(self, sandbox, client):
        session = checkout(client, customer=client.v1.customers.create({}).id)
        sandbox.set_clock("2026-04-02T00:00:00Z")

        late = submit(session.url, number="4242424242424242")

        assert "has expired" in late.text
        assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"
        assert client.v1.events.list().data[0].type == "checkout.session.expired"

    def test_can_be_expired_once(self, client):
        session = checkout(client)

        assert client.v1.checkout.sessions.expire(session.id).status == "expired"
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.checkout.sessions.expire(session.id)

    def test_refuses_a_return_to_anything_but_a_web_page(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            checkout(client, success_url="javascript:alert(1)")

        assert (refused.value.code, refused.value.param) == ("url_invalid", "success_url")

    def test_escapes_what_it_shows(self, client):
        client.v1.products.update("prod_growth", {"name": "<b>Growth</b>"})

        assert "&lt;b&gt;Growth" in requests.get(checkout(client).url, timeout=10).text

    def test_is_404_for_an_unknown_session(self, sandbox):
        assert requests.get(f"{sandbox.address}/checkout/cs_test_no", timeout=10).status_code == 404


class TestInvoice:
    def test_open_can_be_paid_by_hand(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        sandbox.set_clock("2026-05-01T00:00:00Z")
        invoice = client.v1.invoices.list({"subscription": subscription.id}).data[0]

        declined = submit(invoice.hosted_invoice_url, number=BAD)
        paid = submit(invoice.hosted_invoice_url, number="4242424242424242")

        assert "Pay $19.00" in declined.text
        assert (declined.status_code, paid.status_code) == (402, 303)
        assert client.v1.invoices.retrieve(invoice.id).status == "paid"
        assert client.v1.subscriptions.retrieve(subscription.id).status == "active"

    def test_paid_shows_no_form(self, sandbox, client):
        subscription = sandbox.subscribe()
        invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))

        page = requests.get(invoice.hosted_invoice_url, timeout=10).text

        assert "Paid" in page
        assert "<form" not in page

    def test_is_a_pdf_too(self, sandbox, client):
        subscription = sandbox.subscribe()
        invoice = client.v1.invoices.retrieve(str(subscription.latest_invoice))

        answer = requests.get(invoice.invoice_pdf, timeout=10)

        body = answer.content
        assert answer.headers["Content-Type"] == "application/pdf"
        assert body.startswith(b"%PDF-1.4\n")
        assert body.endswith(b"%%EOF\n")
        table = int(re.search(rb"startxref\n(\d+)\n", body)[1])
        assert body[table : table + 4] == b"xref"
        for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", body), start=1):
            assert body[int(offset) :].startswith(b"%d 0 obj" % number)
        assert b"1 x Starter \\(at $19.00 / month\\)" in body


class TestPortal:
    @pytest.fixture
    def subscription(self, sandbox):
        return sandbox.subscribe()

    @pytest.fixture
    def session(self, client, subscription):
        return client.v1.billing_portal.sessions.create(
            {"customer": subscription.customer, "return_url": "https://example.com/billing"}
        )

    def test_shows_subscription_card_and_invoices(self, session):
        page = requests.get(session.url, timeout=10).text

        for shown in ("Starter", "$19.00", "ending in 4242", "1 May 2026", 'href="https://example.com/billing"'):
            assert shown in page
        assert len(re.findall(r"/invoice/in_", page)) == 1

    def test_changes_the_card(self, client, session, subscription):
        declined = submit(f"{session.url}/card", number=BAD)
        changed = submit(f"{session.url}/card", number="5555555555554444")

        assert (declined.status_code, changed.status_code) == (402, 303)
        customer = client.v1.customers.retrieve(
            str(subscription.customer), {"expand": ["invoice_settings.default_payment_method"]}
        )
        assert customer.invoice_settings.default_payment_method.card.last4 == "4444"

    def test_cancels_at_the_end_of_the_period_and_takes_it_back(self, client, session, subscription):
        submit(f"{session.url}/subscriptions/{subscription.id}/cancel")
        canceled = client.v1.subscriptions.retrieve(subscription.id)
        submit(f"{session.url}/subscriptions/{subscription.id}/keep")
        kept = client.v1.subscriptions.retrieve(subscription.id)

        assert (canceled.cancel_at_period_end, canceled.status) == (True, "active")
        assert kept.cancel_at_period_end is False

    def test_does_not_touch_the_subscription_of_another(self, sandbox, client, session):
        other = sandbox.subscribe()

        answer = submit(f"{session.url}/subscriptions/{other.id}/cancel")

        assert answer.status_code == 404
        assert client.v1.subscriptions.retrieve(other.id).cancel_at_period_end is False

    def test_hides_what_its_configuration_switches_off(self, client, subscription):
        configuration = client.v1.billing_portal.configurations.create(
            {"features": {"subscription_cancel": {"enabled": False}, "invoice_history": {"enabled": True}}}
        )
        session = client.v1.billing_portal.sessions.create(
            {"customer": str(subscription.customer), "configuration": configuration.id}
        )

        page = requests.get(session.url, timeout=10).text

        assert "Cancel at the end" not in page
        assert "/invoice/in_" in page

    def test_is_closed_to_others(self, sandbox):
        assert requests.get(f"{sandbox.address}/portal/portal_guess", timeout=10).status_code == 404
