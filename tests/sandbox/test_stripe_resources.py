"""Each kind of object by its own rules: prices, portals, customers, payment methods, refunds."""

import pytest
import stripe


class TestPrices:
    def test_come_from_the_catalogue(self, client):
        prices = client.v1.prices.list(
            {"lookup_keys": ["starter_monthly", "growth_monthly"], "expand": ["data.product"]}
        )

        found = {price.lookup_key: (price.unit_amount, price.product.name) for price in prices.data}
        assert found == {"starter_monthly": (1900, "Starter"), "growth_monthly": (4900, "Growth")}

    def test_hand_their_lookup_key_over(self, client):
        product = client.v1.products.create({"name": "Starter, dearer"})
        new = client.v1.prices.create(
            {
                "product": product.id,
                "currency": "usd",
                "unit_amount": 2100,
                "recurring": {"interval": "month"},
                "lookup_key": "starter_monthly",
                "transfer_lookup_key": True,
            }
        )

        found = client.v1.prices.list({"lookup_keys": ["starter_monthly"]})

        assert [price.id for price in found.data] == [new.id]

    def test_refuse_what_stripe_does_not_take(self, client):
        product = client.v1.products.create({"name": "Starter", "description": "for a start"})
        price = {"currency": "usd", "unit_amount": 100, "recurring": {"interval": "month"}}

        with pytest.raises(stripe.InvalidRequestError, match=r"product_data\[description\]"):
            client.v1.prices.create({**price, "product_data": {"name": "Starter", "description": "for a start"}})
        with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: id"):
            client.v1.products.update(product.id, {"id": "prod_other"})
        with pytest.raises(stripe.InvalidRequestError, match="unknown parameter: unit_amount"):
            client.v1.prices.update("price_growth", {"unit_amount": 100})

    def test_are_not_archived_while_they_are_their_products_default(self, client):
        client.v1.products.update("prod_starter", {"default_price": "price_starter"})

        with pytest.raises(stripe.InvalidRequestError, match="default price"):
            client.v1.prices.update("price_starter", {"active": False})

    def test_do_not_share_a_lookup_key(self, client):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.prices.update("price_growth", {"lookup_key": "starter_monthly"})

    def test_that_are_archived_cannot_be_subscribed(self, sandbox, client):
        client.v1.prices.update("price_starter", {"active": False})
        customer = client.v1.customers.create({})

        with pytest.raises(stripe.InvalidRequestError, match="inactive"):
            client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": "price_starter"}]})


class TestThePortalsConfigurations:
    def test_that_are_inactive_open_no_portal(self, client):
        customer = client.v1.customers.create({})
        features = {"invoice_history": {"enabled": True}}
        made = client.v1.billing_portal.configurations.create({"features": features})
        client.v1.billing_portal.configurations.update(made.id, {"active": False})

        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.billing_portal.sessions.create({"customer": customer.id, "configuration": made.id})

        assert refused.value.param == "configuration"

    def test_keep_the_default_one_active(self, client):
        (default,) = client.v1.billing_portal.configurations.list({"is_default": True}).data

        with pytest.raises(stripe.InvalidRequestError):
            client.v1.billing_portal.configurations.update(default.id, {"active": False})


class TestCustomers:
    def test_keep_and_remove_metadata_by_name(self, client):
        customer = client.v1.customers.create({"metadata": {"org": "org_1", "note": "x"}})

        after = client.v1.customers.update(customer.id, {"metadata": {"note": "", "more": "y"}})

        assert after.metadata.to_dict() == {"org": "org_1", "more": "y"}

    def test_are_a_stub_once_deleted(self, sandbox, client):
        subscription = sandbox.subscribe()
        customer_id = str(subscription.customer)

        client.v1.customers.delete(customer_id)

        assert client.v1.customers.retrieve(customer_id).deleted is True
        assert client.v1.customers.list().data == []
        assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.customers.update(customer_id, {"name": "Ada"})

    def test_have_a_credit_balance_that_pays_the_next_invoice(self, sandbox, client):
        customer = client.v1.customers.create({})
        sandbox.use_card(customer.id, "pm_card_visa")
        client.v1.customers.balance_transactions.create(customer.id, {"amount": -500, "currency": "usd"})

        client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": "price_starter"}]})

        invoice = client.v1.invoices.list({"customer": customer.id}).data[0]
        assert (invoice.total, invoice.amount_due, invoice.starting_balance, invoice.ending_balance) == (
            1900,
            1400,
            -500,
            0,
        )
        assert client.v1.customers.retrieve(customer.id).balance == 0
        kinds = [each.type for each in client.v1.customers.balance_transactions.list(customer.id).data]
        assert kinds == ["applied_to_invoice", "adjustment"]


class TestCustomerSearch:
    def test_finds_by_metadata_what_was_not_made_just_now(self, sandbox, client):
        made = client.v1.customers.create({"metadata": {"org_id": "org_1"}})
        client.v1.customers.create({"metadata": {"org_id": "org_2"}})
        query = {"query": "metadata['org_id']:'org_1'"}
        at_once = client.v1.customers.search(query)

        sandbox.set_clock("2026-04-01T00:01:00Z")

        assert at_once.data == []
        assert [each.id for each in client.v1.customers.search(query).data] == [made.id]

    def test_refuses_a_query_that_it_cannot_read(self, client):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.customers.search({"query": "org_id is org_1"})


class TestPaymentMethods:
    def test_are_attached_listed_and_detached(self, client):
        customer = client.v1.customers.create({})
        card = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        client.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})

        listed = client.v1.customers.payment_methods.list(customer.id)
        client.v1.payment_methods.detach(card.id)

        assert [(each.id, each.card.last4) for each in listed.data] == [(card.id, "4242")]
        assert client.v1.payment_methods.list({"customer": customer.id}).data == []
        after = client.v1.customers.retrieve(customer.id)
        assert after.invoice_settings.default_payment_method is None

    def test_that_decline_cannot_be_attached(self, client):
        customer = client.v1.customers.create({})

        with pytest.raises(stripe.CardError) as refused:
            client.v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})

        assert (refused.value.http_status, refused.value.code) == (402, "card_declined")

    @pytest.mark.parametrize("token", ["pm_card_chargeCustomerFail", "pm_card_authenticationRequired"])
    def test_that_fail_only_when_charged_can(self, client, token):
        customer = client.v1.customers.create({})

        assert client.v1.payment_methods.attach(token, {"customer": customer.id}).customer == customer.id

    def test_of_another_customer_cannot_become_the_default(self, client):
        ada, bob = client.v1.customers.create({}), client.v1.customers.create({})
        card = client.v1.payment_methods.attach("pm_card_visa", {"customer": ada.id})

        with pytest.raises(stripe.InvalidRequestError):
            client.v1.customers.update(bob.id, {"invoice_settings": {"default_payment_method": card.id}})


class TestRefunds:
    def test_give_back_a_part_and_then_the_rest(self, sandbox, client):
        subscription = sandbox.subscribe()
        charge = client.v1.charges.list({"customer": str(subscription.customer)}).data[0]

        client.v1.refunds.create({"charge": charge.id, "amount": 400})
        rest = client.v1.refunds.create({"payment_intent": str(charge.payment_intent)})

        assert rest.amount == 1500
        assert client.v1.charges.retrieve(charge.id).refunded is True
        told = client.v1.events.list({"type": "charge.refunded"})
        assert [event.data.object["amount_refunded"] for event in told.data] == [1900, 400]

    @pytest.mark.parametrize("ends", [None, "lost"])
    def test_refuse_what_the_bank_has_taken_back(self, sandbox, client, ends):
        charge = client.v1.charges.list({"customer": str(sandbox.subscribe().customer)}).data[0]
        dispute = sandbox.knob("disputes", {"charge": charge.id})
        if ends:
            sandbox.knob("disputes/close", {"dispute": dispute["id"], "status": ends})

        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.refunds.create({"payment_intent": str(charge.payment_intent)})

        assert (refused.value.http_status, refused.value.code) == (400, "charge_disputed")

    def test_give_back_what_was_disputed_in_vain(self, sandbox, client):
        charge = client.v1.charges.list({"customer": str(sandbox.subscribe().customer)}).data[0]
        dispute = sandbox.knob("disputes", {"charge": charge.id})
        sandbox.knob("disputes/close", {"dispute": dispute["id"], "status": "won"})

        assert client.v1.refunds.create({"charge": charge.id}).amount == 1900

    def test_refuse_more_than_is_left(self, sandbox, client):
        subscription = sandbox.subscribe()
        charge = client.v1.charges.list({"customer": str(subscription.customer)}).data[0]

        with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
            client.v1.refunds.create({"charge": charge.id, "amount": 1901})
