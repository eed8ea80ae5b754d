"""A customer who pays twice ends with one subscription, and gets the other payment back."""

import pytest

from services.billing import sight, stripe_transport
from services.billing.events import DuplicateSubscriptionEnded
from services.billing.sight import Seen


def pay_beside(billing, plan):
    """Pay once more, on the page of another tab that nobody knows of any more."""
    client = billing.stripe.client()
    [customer] = client.v1.customers.list().data
    session = client.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "customer": customer.id,
            "line_items": [{"price": f"price_{plan}", "quantity": 1}],
            "success_url": "https://chat.example.com/billing",
        }
    )
    assert billing.pay(session.url).status_code == 303


def running(billing):
    return [each["items"].data[0].price.id for each in billing.stripe.client().v1.subscriptions.list().data]


def refunds(billing):
    return [(refund.amount, refund.reason) for refund in billing.stripe.client().v1.refunds.list().data]


def ended(billing):
    return [fact for fact in billing.facts() if isinstance(fact, DuplicateSubscriptionEnded)]


@pytest.mark.pure
class TestChosen:
    OLD = Seen(subscription_id="sub_1", status="active", plan="starter")
    NEW = Seen(subscription_id="sub_2", status="active", plan="growth")
    OWING = Seen(subscription_id="sub_3", status="past_due", plan="growth")
    ENDED = Seen(subscription_id="sub_4", status="canceled", plan="growth")

    @pytest.mark.parametrize(
        "found, known, counts",
        [
            pytest.param((), "", Seen(), id="nothing"),
            pytest.param((NEW, OLD), "sub_1", OLD, id="the one that was followed"),
            pytest.param((NEW, OLD), "sub_2", NEW, id="the one that was followed, though it is younger"),
            pytest.param((NEW, OLD), "", OLD, id="the oldest if none was followed"),
            pytest.param((OWING, NEW), "sub_3", NEW, id="one that is paid before the one that was followed"),
            pytest.param((ENDED, OWING), "sub_4", OWING, id="one that runs before one that has ended"),
            pytest.param((ENDED, Seen(subscription_id="sub_0", status="canceled")), "", ENDED, id="the last"),
        ],
    )
    def test_is(self, found, known, counts):
        assert sight.chosen(found, known=known) == counts
        assert counts not in sight.duplicates(found, counts)

    def test_leaves_what_else_runs_as_duplicates(self):
        found = (self.ENDED, self.OWING, self.NEW, self.OLD)

        assert sight.duplicates(found, self.OLD) == (self.OWING, self.NEW)


class TestPayingTwice:
    def test_keeps_the_first_and_gives_the_second_back(self, billing):
        billing.subscribe("starter")

        pay_beside(billing, "growth")
        billing.deliver()

        assert running(billing) == ["price_starter"]
        assert refunds(billing) == [(4900, "duplicate")]
        assert billing.told()[2:] == []
        [told] = ended(billing)
        assert (told.plan, told.plan_kept, told.refunded_cents, told.currency) == ("growth", "starter", 4900, "usd")

    def test_before_we_have_looked_keeps_the_one_that_was_paid_first(self, billing):
        url = billing.tell("change_plan", plan="growth")["checkout_url"]
        pay_beside(billing, "starter")
        billing.pay(url)

        billing.deliver()

        assert running(billing) == ["price_starter"]
        assert [told.plan for told in ended(billing)] == ["growth"]
        assert billing.subscription()["plan"] == "starter"

    def test_is_told_once_whatever_webhooks_follow(self, billing):
        billing.stripe.knob("deliveries", {"duplicate": 2})
        billing.subscribe("starter")
        pay_beside(billing, "starter")

        billing.deliver()
        billing.deliver()

        assert len(ended(billing)) == 1
        assert len(refunds(billing)) == 1

    def test_shows_in_the_subscription_for_a_month(self, billing):
        billing.subscribe("starter")
        before = billing.subscription()["double_payment"]
        pay_beside(billing, "growth")
        billing.deliver()

        shown = billing.subscription()["double_payment"]
        billing.set_clock("2026-05-01T00:00:00Z")

        assert before is None
        assert shown == {
            "plan": "growth",
            "refunded_cents": 4900,
            "currency": "usd",
            "ended_at": "2026-04-01T00:00:00Z",
        }
        assert billing.subscription()["double_payment"] is None

    @pytest.mark.parametrize("path", ["/v1/refunds", "/v1/subscriptions/"])
    def test_goes_on_where_an_answer_was_lost(self, billing, path):
        billing.subscribe("starter")
        pay_beside(billing, "growth")
        method = "POST" if path == "/v1/refunds" else "DELETE"
        lost = {"kind": "drop_after_commit", "path": path, "method": method, "count": stripe_transport.TRIES}
        billing.stripe.knob("faults", lost)
        billing.deliver()
        told_before = ended(billing)

        billing.set_clock("2026-04-02T01:00:00Z")  # 25 hours: Stripe has forgotten the key
        billing.do_jobs()

        assert told_before == []
        assert [told.refunded_cents for told in ended(billing)] == [4900]
        assert refunds(billing) == [(4900, "duplicate")]
        assert running(billing) == ["price_starter"]

    def test_leaves_the_second_alone_if_the_first_was_canceled_meanwhile(self, billing):
        billing.subscribe("starter")
        pay_beside(billing, "growth")
        path = "/v1/subscriptions/"
        billing.stripe.knob("faults", {"kind": "status", "status": 500, "path": path, "method": "DELETE"})
        billing.deliver()
        client = billing.stripe.client()
        [first] = client.v1.subscriptions.list({"price": "price_starter"}).data
        client.v1.subscriptions.cancel(first.id)

        billing.set_clock("2026-04-01T01:00:00Z")
        billing.deliver()

        assert running(billing) == ["price_growth"]
        assert refunds(billing) == []
        assert billing.subscription()["plan"] == "growth"
