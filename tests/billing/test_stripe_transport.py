"""When a call to Stripe is tried again, and when it is not made: rules, and the sandbox with its faults."""

import threading
import time

import pytest
import requests
import stripe

from services.billing import breaker, stripe_api, stripe_transport
from shared import errors, metrics
from tests.sandbox.stripe_process import eventually

LOST = stripe.APIConnectionError("no answer", should_retry=True)


def answer(status, **headers):
    return b"", status, {name.replace("_", "-"): value for name, value in headers.items()}


def calls(outcome):
    return metrics.STRIPE_CALLS.labels(outcome)._value.get()


def fault(billing, **settings):
    billing.stripe.knob("faults", settings)


def faults(billing):
    return requests.get(f"{billing.stripe.address}/_sandbox/faults", timeout=10).json()["faults"]


def clear_faults(billing):
    requests.delete(f"{billing.stripe.address}/_sandbox/faults", timeout=10)


def customers(billing):
    return billing.stripe.client().v1.customers.list().data


def create(billing, key="k1"):
    return stripe_api.Stripe(settings=billing.settings).create_customer("org_1", key=key)


@pytest.mark.pure
class TestWaitSeconds:
    @pytest.mark.parametrize("said", [LOST, answer(429), answer(409), answer(500), answer(503)])
    def test_grows_from_try_to_try_until_there_were_enough(self, said):
        waits = [stripe_transport.wait_seconds(tries, said, chance=1) for tries in range(1, 5)]

        assert waits == [0.25, 0.5, 1.0, None]

    @pytest.mark.parametrize("status", [200, 400, 401, 402, 404])
    def test_is_none_for_what_would_be_answered_the_same(self, status):
        assert stripe_transport.wait_seconds(1, answer(status), chance=1) is None

    @pytest.mark.parametrize(
        "status, advice, again", [(500, "false", False), (429, "false", False), (402, "true", True)]
    )
    def test_follows_what_stripe_advises(self, status, advice, again):
        said = answer(status, Stripe_Should_Retry=advice)

        assert (stripe_transport.wait_seconds(1, said, chance=1) is not None) is again

    def test_is_not_less_than_stripe_asks_for(self):
        assert stripe_transport.wait_seconds(1, answer(429, Retry_After="3"), chance=1) == 3

    def test_is_none_where_the_connection_will_not_get_better(self):
        wrong_certificate = stripe.APIConnectionError("certificate", should_retry=False)

        assert stripe_transport.wait_seconds(1, wrong_certificate, chance=1) is None


class TestCall:
    @pytest.mark.parametrize("status", [429, 503])
    def test_that_stripe_could_not_take_is_made_again(self, billing, status):
        fault(billing, kind="status", status=status, count=2)

        made = create(billing)

        assert [each.id for each in customers(billing)] == [made]

    def test_waits_as_long_as_stripe_asks(self, billing):
        fault(billing, kind="status", status=429, retry_after=1)
        began = time.monotonic()

        create(billing)

        assert time.monotonic() - began >= 1

    def test_is_given_up_if_stripe_asks_for_more_time_than_there_is(self, billing):
        fault(billing, kind="status", status=429, retry_after=60)
        began = time.monotonic()

        with pytest.raises(stripe_api.Away) as away:
            create(billing)

        assert time.monotonic() - began < 5
        assert not away.value.answered, "the same key is right the next time, since Stripe keeps nothing of a 429"

    def test_whose_failure_stripe_keeps_is_not_made_again_with_that_key(self, billing):
        fault(billing, kind="status", status=500)
        before = calls("failed")

        with pytest.raises(stripe_api.Away) as away:
            create(billing)
        with pytest.raises(stripe_api.Away):
            create(billing)

        assert (away.value.answered, calls("failed") - before, customers(billing)) == (True, 2, [])

    def test_whose_answer_was_lost_is_made_again_and_done_once(self, billing):
        fault(billing, kind="drop_after_commit", path="/v1/customers")
        before = calls("lost")

        made = create(billing)

        assert [each.id for each in customers(billing)] == [made]
        assert calls("lost") - before == 1

    def test_whose_first_try_is_still_under_way_is_to_be_made_with_the_same_key(self, billing):
        fault(billing, kind="slow", seconds=2)
        first = threading.Thread(target=create, args=[billing])
        first.start()
        eventually(lambda: not faults(billing))
        hurried = stripe_api.Stripe(settings=billing.settings, until=time.monotonic() + 0.8)

        with pytest.raises(stripe_api.Away) as away:
            hurried.create_customer("org_1", key="k1")

        first.join()
        assert not away.value.answered
        assert len(customers(billing)) == 1

    def test_ends_with_the_time_of_its_errand(self, billing):
        fault(billing, kind="slow", seconds=3)
        errand = stripe_api.Stripe(settings=billing.settings, until=time.monotonic() + 0.6)
        began = time.monotonic()

        with pytest.raises(stripe_api.Away):
            errand.create_customer("org_1", key="k1")

        assert time.monotonic() - began < 2


class TestManyFailures:
    """Stripe fails for long enough that it is not asked any more."""

    @pytest.fixture
    def failing(self, billing):
        billing.subscribe("starter")
        fault(billing, kind="status", status=503, count=1000)
        for _ in range(2):
            with pytest.raises(errors.Unavailable):
                billing.ask("list_invoices")
        return billing

    def test_make_billing_refuse_at_once(self, failing):
        told, before = failing.facts(), calls("not_asked")
        began = time.monotonic()

        for method, arguments in [
            ("list_invoices", {}),
            ("preview", {"plan": "growth"}),
            ("change_plan", {"plan": "growth", "command_id": "cmd_1"}),
            ("open_portal", {"command_id": "cmd_2"}),
        ]:
            with pytest.raises(errors.Unavailable, match="stripe_unavailable") as refusal:
                failing.ask(method, **arguments)
            assert 1 <= refusal.value.details["retry_after_seconds"] <= breaker.OPEN_SECONDS

        assert time.monotonic() - began < 1
        assert calls("not_asked") > before
        assert failing.facts() == told, "a change that cannot be made is not even noted"

    def test_leave_alone_what_needs_no_answer_of_stripe(self, failing):
        assert failing.subscription()["plan"] == "starter"
        assert len(failing.ask("list_plans")) == 3

    def test_are_seen_in_the_metrics_and_in_the_signs_of_life(self, failing):
        assert metrics.STRIPE_REFUSED.collect()[0].samples[0].value == 1
        assert failing.doors.misses(failing.settings) == ["Stripe"]
        assert failing.work.misses() == ["Stripe"]

    def test_are_over_when_stripe_answers_again(self, failing, monkeypatch):
        clear_faults(failing)
        switch = stripe_transport.breaker_of(failing.settings)
        later = time.monotonic() + breaker.OPEN_SECONDS
        monkeypatch.setattr(switch, "now", lambda: later)

        answer = failing.tell("change_plan", plan="growth")

        assert answer["subscription"]["plan"] == "growth"
        assert failing.doors.misses(failing.settings) == []


class TestManyAtOnce:
    def test_do_not_take_every_thread_when_stripe_hangs(self, billing):
        fault(billing, kind="slow", seconds=2, count=1000)
        errands = [threading.Thread(target=create, args=[billing, f"k{number}"]) for number in range(breaker.AT_ONCE)]
        for errand in errands:
            errand.start()
        switch = stripe_transport.breaker_of(billing.settings)
        eventually(lambda: switch._under_way == breaker.AT_ONCE)
        began = time.monotonic()

        with pytest.raises(stripe_api.Away):
            create(billing)

        assert time.monotonic() - began < 1
        clear_faults(billing)
        for errand in errands:
            errand.join()
        assert len(customers(billing)) == 10, "a page of them"
