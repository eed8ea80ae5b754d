"""Webhooks as a receiver sees them: signed, in order, tried again, and as unreliable as a test asks for."""

import pytest
import requests
import stripe

from tests.sandbox import stripe_process
from tests.sandbox.stripe_process import SECRET, eventually


@pytest.fixture
def flowing(sandbox):
    """A sandbox that delivers its events."""
    sandbox.knob("deliveries", {"stopped": False})
    return sandbox


class TestDelivery:
    def test_is_one_that_the_sdk_verifies(self, flowing, client, receiver):
        customer = client.v1.customers.create({"name": "Ada"})

        received = receiver.wait_for(bool)[0]

        event = client.construct_event(received.payload, received.signature, SECRET)
        assert (event.type, event.data.object["id"]) == ("customer.created", customer.id)
        assert event.request.id == customer.last_response.request_id

    def test_fails_verification_when_it_is_tampered_with(self, flowing, client, receiver):
        client.v1.customers.create({})
        received = receiver.wait_for(bool)[0]

        with pytest.raises(stripe.SignatureVerificationError):
            client.construct_event(received.payload + b" ", received.signature, SECRET)

    def test_keeps_the_order_of_the_events(self, flowing, client, receiver):
        flowing.subscribe()

        receiver.wait_for_type("customer.subscription.created")
        assert receiver.types() == [
            "customer.created",
            "payment_method.attached",
            "customer.updated",
            "invoice.created",
            "invoice.finalized",
            "invoice.updated",
            "invoice.paid",
            "customer.subscription.created",
        ]

    def test_of_a_change_carries_what_was_before(self, flowing, client, receiver):
        customer = client.v1.customers.create({"name": "Ada", "metadata": {"a": "1", "b": "2"}})
        client.v1.customers.update(customer.id, {"name": "Bea", "metadata": {"a": "3"}})

        data = receiver.wait_for(lambda received: len(received) == 2)[1].event["data"]

        assert data["previous_attributes"] == {"name": "Ada", "metadata": {"a": "1"}}
        assert data["object"]["name"] == "Bea"

    def test_is_tried_again_until_it_is_taken(self, flowing, client, receiver):
        receiver.statuses += [500, 302]
        client.v1.customers.create({})

        first, second, third = receiver.wait_for(lambda received: len(received) == 3)

        assert first.event["id"] == second.event["id"] == third.event["id"]
        eventually(lambda: flowing.deliveries()[0]["status"] == "delivered")
        assert flowing.deliveries()[0]["attempts"] == 3
        assert client.v1.events.retrieve(first.event["id"]).pending_webhooks == 0

    def test_does_not_wait_for_one_that_fails(self, flowing, client, receiver):
        receiver.statuses += [500]
        ada, bea = client.v1.customers.create({}), client.v1.customers.create({})

        received = receiver.wait_for(lambda received: len(received) == 3)

        assert [each.event["data"]["object"]["id"] for each in received] == [ada.id, bea.id, ada.id]

    def test_is_given_up_three_days_of_the_test_clock_later(self, flowing, client, receiver):
        receiver.statuses += [500] * 50
        client.v1.customers.create({})
        receiver.wait_for(bool)

        flowing.set_clock("2026-04-04T00:00:01Z")

        eventually(lambda: flowing.deliveries()[0]["status"] == "given_up")


class TestEndpoint:
    def test_gets_only_what_it_wants_signed_with_its_own_secret(self, flowing, client, receiver):
        endpoint = client.v1.webhook_endpoints.create(
            {"url": f"{receiver.url}/own", "enabled_events": ["customer.updated"]}
        )
        customer = client.v1.customers.create({})
        client.v1.customers.update(customer.id, {"name": "Ada"})

        received = receiver.wait_for(lambda received: len(received) == 3)

        verified = [each for each in received if verifies(each, endpoint.secret)]
        assert [each.event["type"] for each in verified] == ["customer.updated"]

    @pytest.mark.parametrize("events", [["invoice.*"], ["*", "everything"]])
    def test_takes_names_of_events_and_no_patterns(self, client, receiver, events):
        with pytest.raises(stripe.InvalidRequestError, match="enabled_events"):
            client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": events})

    def test_shows_its_secret_only_once(self, client, receiver):
        endpoint = client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]})

        again = client.v1.webhook_endpoints.retrieve(endpoint.id)

        assert endpoint.secret.startswith("whsec_")
        assert "secret" not in again

    def test_gets_nothing_while_disabled_or_once_deleted(self, flowing, client, receiver):
        made = [
            client.v1.webhook_endpoints.create({"url": receiver.url, "enabled_events": ["*"]}).id for _ in range(2)
        ]
        client.v1.webhook_endpoints.update(made[0], {"disabled": True})
        client.v1.webhook_endpoints.delete(made[1])

        client.v1.customers.create({})

        assert [each["endpoint"] for each in flowing.deliveries()] == ["we_sandbox"]


def verifies(received, secret):
    try:
        stripe.Webhook.construct_event(received.payload, received.signature, secret)
    except stripe.SignatureVerificationError:
        return False
    return True


class TestKnobs:
    def test_duplicate(self, flowing, client, receiver):
        flowing.knob("deliveries", {"duplicate": 2})
        client.v1.customers.create({})

        received = receiver.wait_for(lambda received: len(received) == 3)

        assert len({each.event["id"] for each in received}) == 1

    def test_reorder(self, flowing, client, receiver):
        flowing.knob("deliveries", {"reorder": True})
        made = [client.v1.customers.create({}).id for _ in range(3)]

        received = receiver.wait_for(lambda received: len(received) == 3)

        assert [each.event["data"]["object"]["id"] for each in received] == made[::-1]

    def test_drop(self, flowing, client, receiver):
        flowing.knob("deliveries", {"drop_next": 1})
        client.v1.customers.create({})
        second = client.v1.customers.create({})

        received = receiver.wait_for(bool)

        assert [each.event["data"]["object"]["id"] for each in received] == [second.id]
        assert flowing.deliveries()[0]["status"] == "dropped"

    def test_stop_and_start(self, sandbox, client, receiver):
        client.v1.customers.create({})
        waiting = [each["status"] for each in sandbox.deliveries()]

        sandbox.knob("deliveries", {"stopped": False})

        receiver.wait_for(bool)
        assert waiting == ["pending"]

    def test_wrong_signature_and_old_timestamp(self, flowing, client, receiver):
        flowing.knob("deliveries", {"wrong_signature_next": 1})
        client.v1.customers.create({})
        receiver.wait_for(lambda received: len(received) == 1)
        flowing.knob("deliveries", {"signature_offset_seconds": -600})
        client.v1.customers.create({})

        received = receiver.wait_for(lambda received: len(received) == 2)

        assert [verifies(each, SECRET) for each in received] == [False, False]
        with pytest.raises(stripe.SignatureVerificationError, match="tolerance"):
            stripe.Webhook.construct_event(received[1].payload, received[1].signature, SECRET)

    def test_resend(self, flowing, client, receiver):
        client.v1.customers.create({})
        event_id = receiver.wait_for(bool)[0].event["id"]

        flowing.knob(f"events/{event_id}/resend")

        received = receiver.wait_for(lambda received: len(received) == 2)
        assert received[1].event["id"] == event_id

    def test_dispute(self, sandbox, client):
        subscription = sandbox.subscribe()
        charge = client.v1.charges.list({"customer": str(subscription.customer)}).data[0]

        dispute = sandbox.knob("disputes", {"charge": charge.id})

        assert client.v1.disputes.retrieve(dispute["id"]).status == "needs_response"
        told = [event.type for event in client.v1.events.list({"limit": 2}).data]
        assert told == ["charge.dispute.funds_withdrawn", "charge.dispute.created"]

    def test_refuse_what_they_do_not_know(self, sandbox):
        for body in ({"colour": 1}, {"duplicate": "many"}, []):
            answer = requests.post(f"{sandbox.address}/_sandbox/deliveries", json=body, timeout=10)
            assert answer.status_code == 400


class TestEvents:
    def test_are_listed_by_type_and_time(self, sandbox, client):
        client.v1.customers.create({})
        sandbox.set_clock("2026-04-02T00:00:00Z")
        customer = client.v1.customers.create({})
        client.v1.customers.update(customer.id, {"name": "Ada"})

        since = stripe_process.unix("2026-04-02T00:00:00Z")
        found = client.v1.events.list({"type": "customer.created", "created": {"gte": since}})
        several = client.v1.events.list({"types": ["customer.created", "customer.updated"]})

        assert [event.data.object["id"] for event in found.data] == [customer.id]
        assert len(several.data) == 3

    def test_are_forgotten_after_thirty_days(self, sandbox, client):
        client.v1.customers.create({"name": "Ada"})
        (event,) = client.v1.events.list().data
        sandbox.set_clock("2026-05-01T00:00:00Z")
        last_day = client.v1.events.list().data
        sandbox.set_clock("2026-05-01T00:00:01Z")

        assert (len(last_day), client.v1.events.list().data) == (1, [])
        with pytest.raises(stripe.InvalidRequestError, match="No such event"):
            client.v1.events.retrieve(event.id)
        with pytest.raises(stripe.InvalidRequestError, match="No such"):
            client.v1.events.list({"starting_after": event.id})

    def test_say_of_what_is_new_that_it_was_null(self, sandbox, client):
        customer = client.v1.customers.create({"metadata": {"old": "1"}})
        client.v1.customers.update(customer.id, {"metadata": {"new": "2", "old": ""}})

        told = client.v1.events.list({"type": "customer.updated"}).data[0]

        assert told.data.to_dict()["previous_attributes"] == {"metadata": {"old": "1", "new": None}}


class TestKill:
    def test_loses_neither_objects_nor_waiting_deliveries(self, tmp_path, receiver):
        receiver.forget()
        sandbox = stripe_process.Sandbox(tmp_path, receiver.url)
        sandbox.start()
        sandbox.knob("deliveries", {"stopped": True})
        subscription = sandbox.subscribe()
        customer = sandbox.client().v1.customers.create({"name": "Ada"}, {"idempotency_key": "k1"})
        sandbox.kill()

        sandbox.start()

        try:
            client = sandbox.client()
            assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
            assert client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k1"}).id == customer.id
            assert len(client.v1.prices.list().data) == 2
            sandbox.knob("deliveries", {"stopped": False})
            receiver.wait_for(lambda received: len(received) == len(sandbox.deliveries()))
        finally:
            sandbox.kill()
