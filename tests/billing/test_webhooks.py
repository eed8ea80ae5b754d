"""Webhooks: who may speak, and that order and repetition do not matter."""

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import stripe
from sqlalchemy import func, select

from services.billing import models, webhooks
from shared import context, errors, tables
from tests.sandbox.stripe_process import SECRET, eventually

OLD_SECRET = "whsec_of_last_year"
NOW = 1_790_000_000  # 2026, in unix seconds


def event(**changes):
    usual = {
        "id": "evt_1",
        "object": "event",
        "type": "customer.subscription.updated",
        "livemode": False,
        "data": {"object": {"id": "sub_1", "object": "subscription", "customer": "cus_1"}},
    }
    return usual | changes


def sign(body, *, secret=SECRET, at=NOW):
    return stripe.WebhookSignature.generate_signature_header(body.decode(), secret, int(at))


def read(body, signature):
    payload = base64.b64encode(body).decode()
    return webhooks.read(payload, signature, secrets=(OLD_SECRET, SECRET), now_seconds=NOW)


def refuses(body, signature):
    with pytest.raises(errors.Invalid, match="invalid_webhook"):
        read(body, signature)


def count(billing, table):
    with billing.database.begin() as session:
        return session.scalars(select(func.count()).select_from(table)).one()


def arrived(billing, kind):
    """The webhook of this type that Stripe has sent, as it came."""
    billing.stripe.knob("deliveries", {"stopped": False})
    eventually(lambda: kind in billing.receiver.types())
    return next(each for each in billing.receiver.received if each.event["type"] == kind)


@pytest.mark.pure
class TestRead:
    @pytest.mark.parametrize("secret", [OLD_SECRET, SECRET])
    def test_takes_each_secret_while_one_is_being_replaced(self, secret):
        body = json.dumps(event()).encode()

        assert read(body, sign(body, secret=secret)).id == "evt_1"

    def test_gives_the_hint_and_nothing_else(self):
        body = json.dumps(event()).encode()

        assert read(body, sign(body)) == webhooks.Webhook(
            id="evt_1",
            type="customer.subscription.updated",
            object_id="sub_1",
            customer_id="cus_1",
            livemode=False,
        )

    def test_takes_the_customer_itself_for_the_customer(self):
        body = json.dumps(event(data={"object": {"id": "cus_1", "object": "customer"}})).encode()

        assert read(body, sign(body)).customer_id == "cus_1"

    @pytest.mark.parametrize("seconds", [-300, 300])
    def test_takes_what_was_signed_within_five_minutes(self, seconds):
        body = json.dumps(event()).encode()

        assert read(body, sign(body, at=NOW + seconds)).id == "evt_1"

    @pytest.mark.parametrize("seconds", [-301, 301, -3 * 365 * 86400, 10 * 365 * 86400])
    def test_refuses_what_was_signed_long_ago_or_in_the_future(self, seconds):
        body = json.dumps(event()).encode()

        refuses(body, sign(body, at=NOW + seconds))

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not JSON",
            b"[]",
            b"null",
            b'"evt_1"',
            b"[" * 100_000,
            json.dumps([event()]).encode(),
            json.dumps(event(id=1)).encode(),
            json.dumps(event(id="evt\x00")).encode(),
            json.dumps(event(type=None)).encode(),
            json.dumps(event(livemode="no")).encode(),
            json.dumps(event(data=[])).encode(),
            json.dumps(event(data={"object": []})).encode(),
            json.dumps(event(data={"object": {"customer": ["cus_1"]}})).encode(),
            json.dumps({"id": "evt_1", "type": "invoice.paid"}).encode(),
        ],
    )
    def test_refuses_a_body_of_another_shape_though_it_is_signed(self, body):
        refuses(body, sign(body))

    def test_refuses_a_body_that_is_not_utf_8_though_it_is_signed(self):
        body = json.dumps(event(type="?")).encode().replace(b"?", b"\xff")
        signed = hmac.new(SECRET.encode(), f"{NOW}.".encode() + body, hashlib.sha256).hexdigest()

        refuses(body, f"t={NOW},v1={signed}")

    def test_refuses_a_forged_signature(self):
        body = json.dumps(event()).encode()

        refuses(body, sign(body, secret="whsec_of_somebody_else"))

    def test_refuses_a_changed_body(self):
        body = json.dumps(event()).encode()

        refuses(body.replace(b"cus_1", b"cus_2"), sign(body))

    @pytest.mark.parametrize(
        "signature",
        ["", "t=,v1=", "v1=00", "t=1", "nonsense", "t=1,v1=\u00e9", "t=x,v1=00", f"t={NOW},v1=00" + ",v1=0" * 9999],
    )
    def test_refuses_a_header_that_is_none(self, signature):
        refuses(json.dumps(event()).encode(), signature)

    def test_refuses_what_is_no_base64(self):
        with pytest.raises(errors.Invalid, match="invalid_webhook"):
            webhooks.read("%%%", "t=1,v1=00", secrets=(SECRET,), now_seconds=NOW)


class TestReceive:
    def test_stores_nothing_of_what_it_refuses(self, billing):
        body = json.dumps(event()).encode()

        with pytest.raises(errors.Invalid, match="invalid_webhook"):
            billing.hear(body, sign(body, secret="whsec_of_somebody_else"))

        assert (count(billing, models.Webhook), count(billing, tables.Job)) == (0, 0)

    def test_stores_the_hint(self, billing):
        body = json.dumps(event()).encode()

        billing.hear(body, sign(body, at=time.time()))

        with billing.database.begin() as session:
            [row] = session.scalars(select(models.Webhook))
        assert (row.id, row.type, row.object_id, row.customer_id) == ("evt_1", event()["type"], "sub_1", "cus_1")

    @pytest.mark.parametrize(
        "changes",
        [
            {"type": "product.created"},
            {"livemode": True},
            {"data": {"object": {"id": "sub_9", "customer": "cus_of_somebody_else"}}},
        ],
    )
    def test_stores_and_ignores_what_is_not_for_us(self, billing, changes):
        billing.subscribe("starter")
        customer = billing.stripe.client().v1.customers.list().data[0].id
        about = {"object": {"id": "sub_1", "object": "subscription", "customer": customer}}
        body = json.dumps(event(data=about) | changes).encode()
        stored, jobs = count(billing, models.Webhook), count(billing, tables.Job)

        billing.hear(body, sign(body, at=time.time()))

        assert count(billing, models.Webhook) == stored + 1
        assert count(billing, tables.Job) == jobs


class TestReceiveTogether:
    def test_judges_each_by_itself_and_stores_the_genuine_ones(self, billing):
        body = json.dumps(event()).encode()
        signed, forged = sign(body, at=time.time()), sign(body, secret="whsec_of_somebody_else", at=time.time())

        answers = billing.hear_all([(body, forged), (body, signed), (b"", "")])

        assert answers[1] == {"id": "evt_1"}
        assert [answers[index]["refused"]["code"] for index in (0, 2)] == ["invalid_webhook"] * 2
        assert count(billing, models.Webhook) == 1

    def test_looks_once_at_a_customer_whom_many_are_about(self, billing):
        billing.subscribe("starter")
        customer = billing.stripe.client().v1.customers.list().data[0].id
        stored, jobs = count(billing, models.Webhook), count(billing, tables.Job)
        about = {"object": {"id": "sub_1", "object": "subscription", "customer": customer}}
        bodies = [json.dumps(event(id=f"evt_{number}", data=about)).encode() for number in (3, 1, 2, 1)]

        answers = billing.hear_all([(body, sign(body, at=time.time())) for body in bodies])

        assert [answer["id"] for answer in answers] == ["evt_3", "evt_1", "evt_2", "evt_1"]
        assert (count(billing, models.Webhook), count(billing, tables.Job)) == (stored + 3, jobs + 1)

    @pytest.mark.parametrize(
        "items",
        [
            [{}],
            [{"payload": ""}],
            [{"payload": "", "signature": None}],
            [{"payload": "", "signature": "", "more": ""}],
            [{"payload": "", "signature": ""}] * 65,
        ],
    )
    def test_looks_at_none_if_one_is_no_webhook_or_they_are_too_many(self, billing, items):
        with pytest.raises(errors.Invalid, match="invalid_items"):
            billing.ask("receive_webhooks", actor=context.ANYONE, items=items)


class TestForgetOld:
    def test_keeps_a_webhook_as_long_as_stripe_may_repeat_it(self, billing):
        body = json.dumps(event()).encode()
        billing.hear(body, sign(body, at=time.time()))

        billing.set_clock("2026-04-30T00:00:00Z")
        billing.turn_timers()
        kept = count(billing, models.Webhook)
        billing.set_clock("2026-05-01T00:00:00Z")
        billing.turn_timers()

        assert (kept, count(billing, models.Webhook)) == (1, 0)


class TestRepetition:
    def test_of_one_webhook_a_hundred_times_at_once_has_one_effect(self, billing):
        billing.pay(billing.tell("change_plan", plan="starter")["checkout_url"])
        webhook = arrived(billing, "checkout.session.completed")

        with ThreadPoolExecutor(20) as crowd:
            answers = list(crowd.map(lambda _: billing.hear(webhook.payload, webhook.signature), range(100)))

        assert answers == [{"id": webhook.event["id"]}] * 100
        assert (count(billing, models.Webhook), count(billing, tables.Job)) == (1, 1)
        billing.do_jobs()
        assert billing.told() == [(1, "started", "free", "active"), (2, "upgraded", "starter", "active")]

    def test_of_every_webhook_changes_nothing_more(self, billing):
        billing.stripe.knob("deliveries", {"duplicate": 3})

        billing.subscribe("starter")

        assert len(billing.told()) == 2


class TestOrder:
    def test_of_an_end_before_its_beginning_does_not_matter(self, billing):
        billing.pay(billing.tell("change_plan", plan="starter")["checkout_url"])
        begun = arrived(billing, "customer.subscription.created")
        client = billing.stripe.client()
        client.v1.subscriptions.cancel(client.v1.subscriptions.list().data[0].id)
        ended = arrived(billing, "customer.subscription.deleted")

        for webhook in (ended, begun):
            billing.hear(webhook.payload, webhook.signature)
            billing.do_jobs()

        assert billing.told() == [(1, "started", "free", "active")]

    def test_of_deliveries_turned_around_does_not_matter(self, billing):
        billing.stripe.knob("deliveries", {"reorder": True})

        billing.subscribe("growth")
        billing.tell("change_plan", plan="starter")
        billing.deliver()

        assert [action for _, action, _, _ in billing.told()] == ["started", "upgraded", "downgraded"]

    def test_does_not_matter_for_a_change_made_in_the_dashboard(self, billing):
        billing.subscribe("starter")
        client = billing.stripe.client()
        subscription = client.v1.subscriptions.list().data[0]
        item = {"id": subscription["items"].data[0].id, "price": "price_growth"}
        client.v1.subscriptions.update(subscription.id, {"items": [item]})

        billing.deliver()

        assert billing.told()[2:] == [(3, "corrected", "growth", "active")]
