"""A person's actions on the subscription, from the request over Stripe and billing to quota."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared import clock
from tests.stack.stacks import Org, Running, eventually
from tests.stack.test_webhooks import sdk, settle, subscription_of


@pytest.fixture
def org(stack: Running) -> Org:
    """On Starter: 2,000 messages, 3 bots."""
    org = stack.sign_up()
    org.subscribe("starter", limit=2000)
    return org


class TestAnUpgrade:
    def test_counts_from_zero_by_the_new_limit_when_the_answer_comes(self, org: Org) -> None:
        org.send("msg_before")

        answer = org.change_plan("growth")

        assert (answer.status_code, answer.json()["limits_applied"]) == (200, True)
        assert (org.usage()["limit"], org.usage()["used"]) == (10000, 0)

    def test_with_a_declined_card_changes_nothing(self, org: Org) -> None:
        org.send("msg_before")
        settle(org)
        subscription, usage = org.subscription(), org.usage()
        use_card(org, "pm_card_chargeCustomerFail")

        answer = org.change_plan("growth")

        assert (answer.status_code, answer.json()["code"]) == (402, "card_declined")
        assert answer.json()["payment_url"].startswith("http")
        settle(org)
        assert (org.subscription(), org.usage()) == (subscription, usage)


class TestADowngrade:
    def test_pauses_the_newest_bots(self, org: Org) -> None:
        org.change_plan("growth")
        for name in ("Luigi", "Mary", "George", "Grace"):
            assert org.owner.ask("POST", "/v1/bots", {"name": name}).status_code == 201

        answer = org.change_plan("starter")

        assert (answer.status_code, answer.json()["limits_applied"]) == (200, True)
        running, paused = ["Charles", "Luigi", "Mary"], ["George", "Grace"]
        assert org.bots() == [*((name, "running") for name in running), *((name, "paused") for name in paused)]

    def test_refuses_the_messages_of_a_paused_bot_only(self, org: Org) -> None:
        for name in ("Luigi", "Mary"):
            org.owner.ask("POST", "/v1/bots", {"name": name})
        newest = org.owner.ask("GET", "/v1/bots").json()["data"][-1]["id"]

        org.owner.ask("DELETE", "/v1/subscription?at=now")

        refused = org.program.ask("POST", "/v1/messages", {"bot_id": newest})
        assert (refused.status_code, refused.json()["code"]) == (409, "bot_paused")
        assert org.send("msg_of_the_oldest").status_code == 201


class TestACancellation:
    @pytest.fixture(autouse=True)
    def _machine_time(self, stack: Running) -> Iterator[None]:
        yield
        stack.clock.set()

    def test_now_ends_the_plan_at_once(self, org: Org) -> None:
        answer = org.owner.ask("DELETE", "/v1/subscription?at=now")

        assert (answer.status_code, answer.json()["subscription"]["plan"]) == (200, "free")
        assert (org.usage()["limit"], org.usage()["used"]) == (200, 0)

    def test_keeps_the_plan_until_the_end_of_the_paid_period(self, org: Org) -> None:
        answer = org.owner.ask("DELETE", "/v1/subscription")

        assert answer.json()["subscription"]["scheduled_change"]["plan"] == "free"
        assert org.usage()["limit"] == 2000
        ends_at = clock.parse(answer.json()["subscription"]["period"]["ends_at"])
        org.stack.clock.set(frozen_at=ends_at + timedelta(minutes=1))
        eventually(lambda: org.program.ask("GET", "/v1/usage").json()["limit"] == 200, "the plan has not ended")

    def test_can_be_withdrawn_until_then(self, org: Org) -> None:
        org.owner.ask("DELETE", "/v1/subscription")

        answer = org.owner.ask("DELETE", "/v1/subscription/scheduled-change")

        assert answer.status_code == 200
        assert (org.subscription()["plan"], org.subscription()["scheduled_change"]) == ("starter", None)


def use_card(org: Org, token: str) -> None:
    """Attach a test card, and charge the subscription to it from now on."""
    client, subscription = sdk(org.stack), subscription_of(org)
    card = client.v1.payment_methods.attach(token, {"customer": str(subscription.customer)})
    client.v1.subscriptions.update(subscription.id, {"default_payment_method": card.id})
