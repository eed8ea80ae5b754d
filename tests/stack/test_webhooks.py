"""What Stripe tells us, as it may come: forged, late, twice, in the wrong order."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import stripe as stripe_sdk

from sandbox import mail
from sandbox.stripe import deliveries
from tests.stack import crowd
from tests.stack.stacks import Org, Running, eventually, pay

TOO_LONG_SECONDS = 301


@pytest.fixture(scope="module")
def subscribed(stack: Running) -> Org:
    org = stack.sign_up()
    org.subscribe("starter", limit=2000)
    settle(org)
    return org


@pytest.fixture
def held_back(stack: Running) -> Iterator[Running]:
    """Stripe delivers nothing until it is told to."""
    stack.stripe("deliveries", {"stopped": True})
    yield stack
    stack.stripe("deliveries", {"reset": True})
    eventually(lambda: not undelivered(stack))


def undelivered(stack: Running) -> list[dict[str, Any]]:
    return [one for one in stack.stripe("deliveries")["deliveries"] if one["status"] == "pending"]


def settle(org: Org) -> None:
    """Until everything that Stripe has said is delivered, and what it was about looked at."""
    open_jobs = "SELECT 1 FROM jobs WHERE subject = :org AND state <> 'done'"
    eventually(lambda: not undelivered(org.stack) and not org.stack.rows("billing", open_jobs, org=org.id))


def sdk(stack: Running) -> stripe_sdk.StripeClient:
    """Stripe as somebody in its dashboard uses it."""
    environment = stack.environment
    return stripe_sdk.StripeClient(
        environment["STRIPE_API_KEY"], base_addresses={"api": environment["STRIPE_API_BASE"]}
    )


def subscription_of(org: Org) -> Any:
    ((customer_id,),) = org.stack.rows("billing", "SELECT customer_id FROM customers WHERE org_id = :org", org=org.id)
    (found,) = sdk(org.stack).v1.subscriptions.list({"customer": customer_id}).data
    return found


def change_price_at_stripe(org: Org, lookup_key: str) -> dict[str, Any]:
    """Change the plan in Stripe's dashboard; gives the event that says so."""
    client = sdk(org.stack)
    (price,) = client.v1.prices.list({"lookup_keys": [lookup_key]}).data
    subscription = subscription_of(org)
    item = subscription["items"].data[0]
    client.v1.subscriptions.update(subscription.id, {"items": [{"id": item.id, "price": price.id}]})
    return event_of(org.stack, subscription.id, "customer.subscription.updated")


def event_of(stack: Running, object_id: str, kind: str) -> dict[str, Any]:
    """The last event of this kind about an object."""
    about = [
        event
        for event in stack.stripe("state")["event"]
        if event["type"] == kind and event["data"]["object"]["id"] == object_id
    ]
    return dict(max(about, key=lambda event: int(event["created"])))


def signed(stack: Running, payload: bytes, *, url: str = "", moved_seconds: int = 0, secret: str = "") -> crowd.Post:
    secret = secret or stack.environment["STRIPE_WEBHOOK_SECRETS"]
    signature = deliveries.signature(payload, secret, int(time.time()) + moved_seconds)
    return crowd.Post(
        url=f"{url or stack.url}/v1/stripe/webhook", body=payload, headers={"Stripe-Signature": signature}
    )


def stored(stack: Running) -> set[str]:
    return {row.id for row in stack.rows("billing", "SELECT id FROM webhooks")}


def plans(org: Org) -> list[str]:
    changes = org.stack.events("billing", "billing.SubscriptionChanged", org.id)
    return [json.loads(bytes(change.data))["plan"] for change in changes]


class TestAWebhook:
    @pytest.fixture
    def genuine(self, held_back: Running, subscribed: Org) -> bytes:
        """One that would be taken, and has not come yet."""
        event = event_of(held_back, subscription_of(subscribed).id, "customer.subscription.created")
        return json.dumps({**event, "id": f"evt_{time.time_ns()}"}).encode()

    @pytest.mark.parametrize(
        "moved_seconds, secret",
        [
            pytest.param(0, "whsec_of_somebody_else", id="forged"),
            pytest.param(-TOO_LONG_SECONDS, "", id="too old"),
            pytest.param(TOO_LONG_SECONDS + 5, "", id="from the future"),
        ],
    )
    def test_that_is_not_signed_just_now_is_refused_and_not_stored(
        self, stack: Running, genuine: bytes, moved_seconds: int, secret: str
    ) -> None:
        before = stored(stack)

        (answer,) = crowd.ask_at_once([signed(stack, genuine, moved_seconds=moved_seconds, secret=secret)])

        assert (answer.status, answer.body["code"]) == (400, "invalid_webhook")
        assert stored(stack) == before

    @pytest.mark.parametrize(
        "payload",
        [
            pytest.param(b'{"id": "evt_\xff"}', id="not UTF-8"),
            pytest.param(b"hello", id="not JSON"),
            pytest.param(b'[{"id": "evt_1"}]', id="a list"),
            pytest.param(b"[" * 100_000, id="too deep"),
            pytest.param(b"{}", id="without an id"),
            pytest.param(b"", id="empty"),
        ],
    )
    def test_that_is_no_webhook_is_refused_and_not_stored(
        self, stack: Running, held_back: Running, payload: bytes
    ) -> None:
        before = stored(stack)

        (answer,) = crowd.ask_at_once([signed(stack, payload)])

        assert (answer.status, answer.body["code"]) == (400, "invalid_webhook")
        assert stored(stack) == before

    def test_that_is_genuine_is_stored(self, stack: Running, genuine: bytes) -> None:
        (answer,) = crowd.ask_at_once([signed(stack, genuine)])

        assert answer.status == 200
        assert json.loads(genuine)["id"] in stored(stack)

    def test_that_comes_a_hundred_times_at_once_changes_once(
        self, held_back: Running, subscribed: Org, second_url: str
    ) -> None:
        before = plans(subscribed)
        event = change_price_at_stripe(subscribed, "chatness_growth_monthly")
        payload = json.dumps(event).encode()

        answers = crowd.ask_at_once([signed(held_back, payload, url=url) for url in [held_back.url, second_url] * 50])

        assert {answer.status for answer in answers} == {200}
        eventually(lambda: subscribed.usage()["limit"] == 10000, "the change has not reached quota")
        held_back.stripe("deliveries", {"stopped": False})
        settle(subscribed)
        assert len(held_back.rows("billing", "SELECT 1 FROM webhooks WHERE id = :id", id=event["id"])) == 1
        assert plans(subscribed) == [*before, "growth"]


class TestDeliveries:
    def test_of_deleted_before_created_end_without_a_subscription(self, held_back: Running) -> None:
        org = held_back.sign_up()
        pay(org.open_checkout("starter"))
        subscription_id = subscription_of(org).id
        sdk(held_back).v1.subscriptions.cancel(subscription_id)

        held_back.stripe("deliveries", {"stopped": False, "reorder": True})

        settle(org)
        arrived = [
            row.type
            for row in held_back.rows(
                "billing",
                "SELECT type FROM webhooks WHERE object_id = :id ORDER BY received_at",
                id=subscription_id,
            )
        ]
        assert arrived.index("customer.subscription.deleted") < arrived.index("customer.subscription.created")
        assert (org.subscription()["plan"], org.usage()["limit"]) == ("free", 200)

    def test_that_come_twice_and_newest_first_change_once(self, held_back: Running) -> None:
        org = held_back.sign_up()
        held_back.stripe("deliveries", {"duplicate": 1})
        pay(org.open_checkout("starter"))

        held_back.stripe("deliveries", {"stopped": False, "reorder": True})

        eventually(lambda: org.usage()["limit"] == 2000, "the subscription has not reached quota")
        settle(org)
        assert plans(org) == ["free", "starter"]

    def test_that_were_lost_are_made_up_for_by_the_next(self, held_back: Running) -> None:
        org = held_back.sign_up()
        pay(org.open_checkout("starter"))
        held_back.stripe("deliveries", {"stopped": False, "drop_next": len(undelivered(held_back))})
        eventually(lambda: not undelivered(held_back))
        assert org.subscription()["plan"] == "free"

        change_price_at_stripe(org, "chatness_growth_monthly")

        eventually(lambda: org.usage()["limit"] == 10000, "what was lost was not made up for")
        assert org.subscription()["plan"] == "growth"


class TestReconcile:
    def test_takes_over_what_was_lost_though_no_webhook_follows(self, held_back: Running) -> None:
        org = held_back.sign_up()
        pay(org.open_checkout("starter"))
        held_back.stripe("deliveries", {"stopped": False, "drop_next": len(undelivered(held_back))})
        eventually(lambda: not undelivered(held_back))

        looked = held_back.run("billing", "reconcile", "--org", org.id)
        before = org.subscription()["plan"]
        done = held_back.run("billing", "reconcile", "--org", org.id, "--execute")

        assert (looked.returncode, before) == (1, "free")
        assert f"{org.id}  upgraded, free to starter (active): taken over" in done.stdout
        assert done.returncode == 0
        eventually(lambda: org.usage()["limit"] == 2000, "what was lost has not reached quota")
        assert plans(org) == ["free", "starter"]


class TestPayingTwice:
    def test_ends_with_one_subscription_a_refund_and_a_mail(self, stack: Running) -> None:
        org = stack.sign_up()
        org.subscribe("starter", limit=2000)
        client = sdk(stack)
        first = subscription_of(org)
        (growth,) = client.v1.prices.list({"lookup_keys": ["chatness_growth_monthly"]}).data
        second_tab = client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "customer": first.customer,
                "line_items": [{"price": growth.id, "quantity": 1}],
                "success_url": f"{stack.url}/billing",
            }
        )

        pay(str(second_tab.url))

        shown = eventually(lambda: org.subscription()["double_payment"], "nothing was said of it")
        assert (shown["plan"], shown["refunded_cents"], shown["currency"]) == ("growth", 4900, "usd")
        assert subscription_of(org).id == first.id
        assert plans(org) == ["free", "starter"]
        eventually(lambda: "You had two subscriptions; one was canceled" in subjects(org), "no mail came")


def subjects(org: Org) -> list[str]:
    """Of the mails that the owner got."""
    return [message["subject"] for message in mail.read(org.stack.mail_folder) if message["to"] == org.email]
