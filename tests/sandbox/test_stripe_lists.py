"""Lists in pages, and what `expand` puts into an answer."""

import pytest
import stripe


class TestLists:
    def test_are_paged_newest_first(self, client):
        made = [client.v1.customers.create({"name": str(number)}).id for number in range(5)]

        first = client.v1.customers.list({"limit": 2})
        rest = client.v1.customers.list({"limit": 10, "starting_after": first.data[-1].id})
        before = client.v1.customers.list({"limit": 1, "ending_before": made[0]})

        assert [each.id for each in first.data] == [made[4], made[3]]
        assert (first.has_more, rest.has_more) == (True, False)
        assert [each.id for each in rest.data] == [made[2], made[1], made[0]]
        assert [each.id for each in before.data] == [made[1]]

    def test_can_be_walked_by_the_sdk(self, client):
        made = {client.v1.customers.create({}).id for _ in range(5)}

        assert {each.id for each in client.v1.customers.list({"limit": 2}).auto_paging_iter()} == made

    @pytest.mark.parametrize("limit", [0, 101])
    def test_refuse_a_limit_out_of_bounds(self, client, limit):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.customers.list({"limit": limit})

    @pytest.mark.parametrize(
        "name, param",
        [
            ("subscriptions", "customer"),
            ("invoices", "customer"),
            ("invoices", "subscription"),
            ("invoice_payments", "invoice"),
            ("charges", "customer"),
            ("disputes", "charge"),
            ("prices", "product"),
        ],
    )
    def test_refuse_to_be_of_what_there_is_not(self, client, name, param):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            getattr(client.v1, name).list({param: "nobody"})

        assert (refused.value.http_status, refused.value.code, refused.value.param) == (
            400,
            "resource_missing",
            param,
        )

    def test_of_a_deleted_customer_are_still_there(self, sandbox, client):
        customer_id = str(sandbox.subscribe().customer)

        client.v1.customers.delete(customer_id)

        assert len(client.v1.invoices.list({"customer": customer_id}).data) == 1
        assert client.v1.subscriptions.list({"customer": customer_id}).data == []

    def test_refuse_two_cursors_at_once(self, client):
        made = client.v1.customers.create({}).id

        with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
            client.v1.customers.list({"starting_after": made, "ending_before": made})

    def test_refuse_a_cursor_that_is_not_in_the_list(self, client):
        with pytest.raises(stripe.InvalidRequestError, match="No such"):
            client.v1.customers.list({"starting_after": "cus_nobody"})


class TestExpand:
    def test_follows_several_steps(self, sandbox, client):
        subscription = sandbox.subscribe()

        found = client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice.payments", "customer"]})
        payments = client.v1.invoice_payments.list(
            {"invoice": found.latest_invoice.id, "expand": ["data.payment.payment_intent"]}
        )

        assert found.latest_invoice.payments.data[0].id == payments.data[0].id
        assert payments.data[0].payment.payment_intent.status == "succeeded"
        assert found.customer.email == "ada@example.com"

    @pytest.mark.parametrize("field", ["friends", "email", "id", "livemode", "balance"])
    def test_refuses_what_is_no_field_that_names_another_object(self, client, field):
        customer = client.v1.customers.create({"email": "ada@example.com"})

        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded") as refused:
            client.v1.customers.retrieve(customer.id, {"expand": [field]})

        assert refused.value.param == "expand"

    def test_goes_down_four_levels_at_most(self, sandbox, client):
        sandbox.subscribe()

        with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
            client.v1.subscriptions.list({"expand": ["data.latest_invoice.payments.data.payment"]})
