"""What went back or is disputed at Stripe, and what is recorded of it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.billing import domain, money_back, reconciling
from services.billing.events import PaymentDisputed, PaymentRefunded
from services.billing.money_back import Dispute, Payment
from services.billing.parts import Parts
from tests.billing.test_reconciling import lose_webhooks

NOW = datetime(2026, 4, 2, tzinfo=UTC)
OPEN = Dispute(id="dp_1", amount_cents=1900, reason="fraudulent", status="needs_response")
PAID = Payment(charge_id="ch_1", currency="usd", paid_cents=1900)


@pytest.mark.pure
class TestFollow:
    def look(self, *looks):
        """What was recorded at each of these looks, one after the other."""
        state, recorded = domain.Subscription(org_id="org_1"), []
        for payments in looks:
            recorded.append(money_back.follow(state, payments=payments, now=NOW))
            for fact in recorded[-1]:
                state = domain.evolve(state, fact)
        return recorded

    def test_has_nothing_to_say_of_what_is_paid(self):
        assert self.look([PAID], []) == [[], []]

    def test_says_what_went_back_in_all_and_says_it_once(self):
        some, all_of_it = replace(PAID, refunded_cents=500), replace(PAID, refunded_cents=1900)

        first, again, rest, older = self.look([some], [some], [all_of_it], [some])

        assert [fact.refunded_cents for fact in first + rest] == [500, 1900]
        assert (again, older) == ([], [])

    def test_says_how_far_a_dispute_is_whenever_that_has_changed(self):
        disputed, lost = replace(PAID, disputes=(OPEN,)), replace(PAID, disputes=(replace(OPEN, status="lost"),))

        recorded = self.look([disputed], [disputed], [lost])

        assert [[fact.status for fact in facts] for facts in recorded] == [["needs_response"], [], ["lost"]]


def charge(billing):
    [found] = billing.stripe.client().v1.charges.list().data
    return found.id


def recorded(billing, kind):
    return [fact for fact in billing.facts() if isinstance(fact, kind)]


class TestARefund:
    def test_in_the_dashboard_is_recorded_and_the_plan_stays(self, billing):
        billing.subscribe("starter")
        told = billing.told()
        for cents in (500, 1400):
            billing.stripe.client().v1.refunds.create({"charge": charge(billing), "amount": cents})
            billing.deliver()

        assert [(one.refunded_cents, one.paid_cents) for one in recorded(billing, PaymentRefunded)] == [
            (500, 1900),
            (1900, 1900),
        ]
        assert billing.told() == told

    def test_whose_webhook_was_lost_is_found_by_comparing_once(self, billing):
        billing.subscribe("starter")
        billing.stripe.client().v1.refunds.create({"charge": charge(billing)})
        lose_webhooks(billing)
        parts = Parts(database=billing.database, settings=billing.settings)

        looked = reconciling.compare(parts, "org_1", execute=False)
        done = reconciling.compare(parts, "org_1", execute=True)
        again = reconciling.compare(parts, "org_1", execute=True)

        assert [fact.name for fact in looked.difference.facts] == ["billing.PaymentRefunded"]
        assert (done.differs, again.differs, len(recorded(billing, PaymentRefunded))) == (True, False, 1)

    def test_of_a_customer_who_was_deleted_and_replaced_since_is_found_by_comparing(self, billing):
        billing.subscribe("starter")
        client = billing.stripe.client()
        paid = charge(billing)
        client.v1.customers.delete(client.v1.customers.list().data[0].id)
        billing.deliver()
        billing.subscribe("growth")

        client.v1.refunds.create({"charge": paid})
        lose_webhooks(billing)
        reconciling.compare(Parts(database=billing.database, settings=billing.settings), "org_1", execute=True)

        assert [fact.charge_id for fact in recorded(billing, PaymentRefunded)] == [paid]


class TestADispute:
    def test_is_recorded_from_its_beginning_to_its_end_and_the_plan_stays(self, billing):
        billing.subscribe("starter")
        told = billing.told()

        opened = billing.stripe.knob("disputes", {"charge": charge(billing), "reason": "product_not_received"})
        billing.deliver()
        billing.stripe.knob("disputes/close", {"dispute": opened["id"], "status": "lost"})
        billing.deliver()

        assert [(one.status, one.reason, one.amount_cents) for one in recorded(billing, PaymentDisputed)] == [
            ("needs_response", "product_not_received", 1900),
            ("lost", "product_not_received", 1900),
        ]
        assert billing.told() == told

    def test_of_a_customer_that_is_none_of_ours_changes_nothing(self, billing):
        billing.subscribe("starter")
        facts = billing.facts()
        client = billing.stripe.client().v1
        stranger = client.customers.create()
        client.payment_methods.attach("pm_card_visa", {"customer": stranger.id})
        paid = client.subscriptions.create(
            {
                "customer": stranger.id,
                "items": [{"price": "price_growth"}],
                "default_payment_method": client.payment_methods.list({"customer": stranger.id}).data[0].id,
            }
        )
        [charged] = client.charges.list({"customer": stranger.id}).data

        billing.stripe.knob("disputes", {"charge": charged.id})
        billing.deliver()

        assert paid.status == "active"
        assert billing.facts() == facts
