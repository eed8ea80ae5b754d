"""Every call alike: keys, errors, idempotency, lists, expansion, and the faults that tests ask for."""

import re
import threading

import pytest
import requests
import stripe

from sandbox.stripe import events
from tests.sandbox import stripe_process
from tests.sandbox.stripe_process import KEY


def post(sandbox, path, form, **headers):
    given = {"Authorization": f"Bearer {KEY}", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return requests.post(f"{sandbox.address}{path}", data=form, headers=given, timeout=10)


class TestKeys:
    @pytest.mark.parametrize("key", ["sk_live_x", "pk_test_x", "x"])
    def test_other_than_test_keys_are_refused(self, sandbox, key):
        client = stripe.StripeClient(key, base_addresses={"api": sandbox.address})

        with pytest.raises(stripe.AuthenticationError) as refused:
            client.v1.customers.list()

        assert refused.value.http_status == 401

    def test_that_are_restricted_are_taken_too(self, sandbox):
        client = stripe.StripeClient("rk_test_of_the_tests", base_addresses={"api": sandbox.address})

        assert client.v1.customers.list().data == []

    def test_are_needed(self, sandbox):
        answer = requests.get(f"{sandbox.address}/v1/customers", timeout=10)

        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "invalid_request_error"

    def test_are_taken_as_curl_sends_them(self, sandbox):
        assert requests.get(f"{sandbox.address}/v1/customers", auth=(KEY, ""), timeout=10).status_code == 200


class TestErrors:
    def test_name_an_unknown_parameter(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.customers.create({"colour": "red"})

        assert (refused.value.http_status, refused.value.code, refused.value.param) == (
            400,
            "parameter_unknown",
            "colour",
        )

    def test_say_404_for_an_object_that_is_not_there(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.subscriptions.retrieve("sub_nobody")

        assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
        assert "No such subscription: 'sub_nobody'" in str(refused.value)

    def test_say_404_for_an_id_of_another_kind(self, client):
        customer = client.v1.customers.create({})

        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.invoices.retrieve(customer.id)

        assert refused.value.http_status == 404

    def test_say_400_for_a_missing_object_in_a_parameter(self, client):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.payment_methods.attach("pm_card_visa", {"customer": "cus_nobody"})

        assert (refused.value.http_status, refused.value.code, refused.value.param) == (
            400,
            "resource_missing",
            "customer",
        )

    def test_say_404_for_a_call_that_the_sandbox_does_not_have(self, client):
        with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL") as refused:
            client.v1.coupons.list()

        assert refused.value.http_status == 404

    def test_carry_the_request_id(self, sandbox):
        answer = post(sandbox, "/v1/customers", "colour=red", Stripe_Version="2026-10-28.endive")

        assert re.fullmatch(r"req_\w{14}", answer.headers["Request-Id"])
        assert answer.headers["Stripe-Version"] == "2026-10-28.endive"
        assert answer.headers["Request-Id"] in answer.json()["error"]["request_log_url"]


class TestTheVersionOfTheApi:
    def test_is_the_one_that_the_sdk_is_made_for(self):
        assert stripe.api_version == events.API_VERSION

    def test_is_no_other(self, sandbox):
        answer = post(sandbox, "/v1/customers", "", Stripe_Version="2020-08-27")

        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
        assert "Invalid Stripe API version: 2020-08-27" in answer.json()["error"]["message"]


class TestIdempotency:
    def test_has_keys_of_255_characters_at_most(self, sandbox):
        longest = post(sandbox, "/v1/customers", "", Idempotency_Key="k" * 255)
        longer = post(sandbox, "/v1/customers", "", Idempotency_Key="k" * 256)

        assert (longest.status_code, longer.status_code) == (200, 400)

    def test_replays_the_first_answer_to_a_key(self, sandbox):
        first = post(sandbox, "/v1/customers", "email=a@example.com", Idempotency_Key="k1")
        second = post(sandbox, "/v1/customers", "email=a@example.com", Idempotency_Key="k1")

        assert second.content == first.content
        assert (first.headers.get("Idempotent-Replayed"), second.headers["Idempotent-Replayed"]) == (None, "true")
        assert second.headers["Original-Request"] == first.headers["Request-Id"]

    def test_refuses_a_key_with_other_parameters(self, client):
        client.v1.customers.create({"email": "a@example.com"}, {"idempotency_key": "k1"})

        with pytest.raises(stripe.IdempotencyError) as refused:
            client.v1.customers.create({"email": "b@example.com"}, {"idempotency_key": "k1"})

        assert refused.value.http_status == 400
        assert len(client.v1.customers.list().data) == 1

    def test_replays_a_declined_card(self, sandbox, client):
        subscription = sandbox.subscribe(card="pm_card_chargeCustomerFail")
        item = subscription["items"].data[0].id
        form = f"items[0][id]={item}&items[0][price]=price_growth&proration_behavior=always_invoice"
        form += "&payment_behavior=error_if_incomplete"
        path = f"/v1/subscriptions/{subscription.id}"
        first = post(sandbox, path, form, Idempotency_Key="k1")
        sandbox.use_card(str(subscription.customer), "pm_card_visa")

        second = post(sandbox, path, form, Idempotency_Key="k1")

        assert (first.status_code, second.status_code) == (402, 402)
        assert second.content == first.content

    def test_does_not_keep_a_refusal_before_any_work(self, sandbox):
        refused = post(sandbox, "/v1/customers", "colour=red", Idempotency_Key="k1")
        again = post(sandbox, "/v1/customers", "colour=red", Idempotency_Key="k1")

        assert (refused.status_code, again.headers.get("Idempotent-Replayed")) == (400, None)

    def test_forgets_a_key_after_a_day_of_the_test_clock(self, sandbox):
        first = post(sandbox, "/v1/customers", "name=Ada", Idempotency_Key="k1").json()
        sandbox.set_clock("2026-04-02T00:00:00Z")

        assert post(sandbox, "/v1/customers", "name=Ada", Idempotency_Key="k1").json()["id"] != first["id"]

    def test_answers_409_while_the_first_is_under_way(self, sandbox):
        sandbox.knob("faults", {"kind": "slow", "seconds": 1.5, "path": "/v1/customers"})
        answers = []
        slow = threading.Thread(
            target=lambda: answers.append(post(sandbox, "/v1/customers", "name=Ada", Idempotency_Key="k1"))
        )
        slow.start()
        stripe_process.eventually(lambda: waiting_faults(sandbox) == [])

        during = post(sandbox, "/v1/customers", "name=Ada", Idempotency_Key="k1")
        slow.join()

        assert (during.status_code, during.json()["error"]["code"]) == (409, "idempotency_key_in_use")
        assert answers[0].status_code == 200

    def test_gives_one_customer_for_many_calls_at_once(self, sandbox):
        client = sandbox.client(retries=5)
        ids: list[str] = []

        def create():
            ids.append(client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k1"}).id)

        threads = [threading.Thread(target=create) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(ids) == 8
        assert len(set(ids)) == 1


def waiting_faults(sandbox):
    return requests.get(f"{sandbox.address}/_sandbox/faults", timeout=10).json()["faults"]


class TestFaults:
    def test_answer_the_next_calls_with_a_status(self, sandbox, client):
        sandbox.knob("faults", {"kind": "status", "status": 429, "count": 1})
        sandbox.knob("faults", {"kind": "status", "status": 500, "count": 1})

        with pytest.raises(stripe.RateLimitError):
            client.v1.customers.list()
        with pytest.raises(stripe.APIError):
            client.v1.customers.list()
        assert client.v1.customers.list().data == []

    def test_hit_only_the_calls_they_are_meant_for(self, sandbox, client):
        sandbox.knob("faults", {"kind": "status", "path": "/v1/customers", "method": "POST"})

        client.v1.customers.list()
        client.v1.prices.list()
        with pytest.raises(stripe.APIError):
            client.v1.customers.create({})

    def test_lose_an_answer_whose_work_is_done(self, sandbox, client):
        sandbox.knob("faults", {"kind": "drop_after_commit", "method": "POST", "path": "/v1/customers"})

        with pytest.raises(stripe.APIConnectionError):
            client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k1"})
        again = client.v1.customers.create({"name": "Ada"}, {"idempotency_key": "k1"})

        assert [customer.id for customer in client.v1.customers.list().data] == [again.id]

    def test_within_the_work_are_kept_under_the_key_and_say_that_trying_again_is_vain(self, sandbox):
        sandbox.knob("faults", {"kind": "status", "status": 500})
        first = post(sandbox, "/v1/customers", "name=Ada", Idempotency_Key="k1")

        second = post(sandbox, "/v1/customers", "name=Ada", Idempotency_Key="k1")

        assert (first.status_code, second.status_code) == (500, 500)
        assert first.headers["Stripe-Should-Retry"] == second.headers["Stripe-Should-Retry"] == "false"
        assert second.headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize("status", [429, 503])
    def test_before_any_work_are_not_kept(self, sandbox, status):
        sandbox.knob("faults", {"kind": "status", "status": status, "retry_after": 2, "should_retry": True})
        first = post(sandbox, "/v1/customers", "name=Ada", Idempotency_Key="k1")

        second = post(sandbox, "/v1/customers", "name=Ada", Idempotency_Key="k1")

        assert (first.headers["Retry-After"], first.headers["Stripe-Should-Retry"]) == ("2", "true")
        assert (first.status_code, second.status_code) == (status, 200)

    def test_of_unknown_kinds_are_refused(self, sandbox):
        answer = requests.post(f"{sandbox.address}/_sandbox/faults", json={"kind": "flood"}, timeout=10)

        assert answer.status_code == 400
