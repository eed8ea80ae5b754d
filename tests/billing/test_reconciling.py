"""What changed at Stripe without a webhook that reached us, and what is found of it by comparing."""

import pytest
from sqlalchemy import delete, func, select, update

from services.billing import errands, missed_events, models, reconciling, stripe_api, webhooks
from services.billing.parts import Parts
from shared import clock, errors, tables
from tests.billing.conftest import GOOD
from tests.sandbox import stripe_process


def parts(billing):
    return Parts(database=billing.database, settings=billing.settings)


def errand(billing, name):
    with billing.database.begin() as session:
        return session.get(models.Errand, name)


def change_price(billing, price):
    """As somebody does in Stripe's dashboard."""
    client = billing.stripe.client()
    [subscription] = client.v1.subscriptions.list().data
    item = {"id": subscription["items"].data[0].id, "price": price}
    client.v1.subscriptions.update(subscription.id, {"items": [item]})


def lose_webhooks(billing):
    """What Stripe has to tell until now never comes."""
    billing.stripe.knob("deliveries", {"stopped": False, "drop_next": 1000})
    stripe_process.eventually(lambda: all(each["status"] != "pending" for each in billing.stripe.deliveries()))
    billing.stripe.knob("deliveries", {"stopped": True, "drop_next": 0})


def night(billing, moment):
    """The timer's turn after a moment: the worker has run for a while before."""
    reconciling.run_due(parts(billing))
    billing.set_clock(moment)
    reconciling.run_due(parts(billing))


def stored(billing):
    with billing.database.begin() as session:
        return set(session.scalars(select(models.Webhook.id)))


def followed(billing):
    """The ids of all events of Stripe's that we follow."""
    events = billing.stripe.client().v1.events.list({"limit": 100}).data
    return {event.id for event in events if webhooks.is_followed(event.type)}


class TestCompare:
    def test_takes_over_what_was_changed_in_the_dashboard_once(self, billing):
        billing.subscribe("starter")
        change_price(billing, "price_growth")

        found = reconciling.compare(parts(billing), "org_1", execute=True)
        again = reconciling.compare(parts(billing), "org_1", execute=True)
        billing.deliver()

        assert [fact.action for fact in found.difference.facts] == ["corrected"]
        assert (found.differs, again.differs) == (True, False)
        assert billing.told()[2:] == [(3, "corrected", "growth", "active")]

    def test_only_says_so_if_it_is_not_to_be_done(self, billing):
        billing.subscribe("starter")
        change_price(billing, "price_growth")

        found = reconciling.compare(parts(billing), "org_1", execute=False)

        assert found.differs
        assert billing.told()[2:] == []

    def test_follows_a_subscription_that_was_canceled_in_the_dashboard(self, billing):
        billing.subscribe("starter")
        client = billing.stripe.client()
        client.v1.subscriptions.cancel(client.v1.subscriptions.list().data[0].id)

        reconciling.compare(parts(billing), "org_1", execute=True)

        assert billing.told()[2:] == [(3, "corrected", "free", "active")]

    def test_takes_no_plan_away_because_the_key_is_of_another_account(self, billing):
        billing.subscribe("starter")
        billing.stripe.knob("reset")

        found = reconciling.compare(parts(billing), "org_1", execute=True)

        assert found.trouble == "resource_missing"
        assert billing.subscription()["plan"] == "starter"

    def test_says_which_subscription_has_a_price_of_no_plan(self, billing):
        billing.subscribe("starter")
        client = billing.stripe.client()
        product = client.v1.products.create({"name": "Other"})
        price = client.v1.prices.create(
            {"product": product.id, "currency": "usd", "unit_amount": 1, "recurring": {"interval": "month"}}
        )
        change_price(billing, price.id)

        found = reconciling.compare(parts(billing), "org_1", execute=True)

        assert "belongs to no plan" in found.trouble
        assert billing.subscription()["plan"] == "starter"


class TestNight:
    @pytest.mark.parametrize("moment", ["2026-02-28T23:59:59Z", "2028-02-29T00:00:00Z", "2026-12-31T05:00:00Z"])
    def test_is_the_one_that_comes(self, moment):
        now = clock.parse(moment)

        due = reconciling.next_night(now)

        assert (due - now).total_seconds() > 3600
        assert 1 <= due.hour < 5
        assert (due.date() - now.date()).days == 1

    def test_compares_all_without_a_webhook(self, billing):
        billing.subscribe("starter")
        change_price(billing, "price_growth")

        night(billing, "2026-04-02T05:00:00Z")

        assert billing.told()[2:] == [(3, "corrected", "growth", "active")]
        due_at = errand(billing, reconciling.ERRAND).due_at
        assert clock.parse("2026-04-03T01:00:00Z") <= due_at < clock.parse("2026-04-03T05:00:00Z")

    def test_is_over_until_the_next(self, billing):
        billing.subscribe("starter")
        night(billing, "2026-04-02T05:00:00Z")
        change_price(billing, "price_growth")

        reconciling.run_due(parts(billing))

        assert billing.told()[2:] == []

    def test_comes_again_though_the_clock_was_set_back_by_months(self, billing):
        billing.subscribe("starter")
        night(billing, "2026-06-02T05:00:00Z")
        change_price(billing, "price_growth")
        told = billing.told()

        billing.set_clock("2026-04-03T05:00:00Z")
        reconciling.run_due(parts(billing))

        assert [change[1:] for change in billing.told()[len(told) :]] == [("corrected", "growth", "active")]

    def test_goes_on_after_the_last_one_when_stripe_was_away(self, billing):
        billing.subscribe("starter")
        reconciling.run_due(parts(billing))
        change_price(billing, "price_growth")
        billing.set_clock("2026-04-02T05:00:00Z")
        billing.stripe.knob("faults", {"kind": "status", "status": 500, "path": "/v1/subscriptions"})

        reconciling.run_due(parts(billing))
        told_while_away = billing.told()
        reconciling.run_due(parts(billing))

        assert told_while_away[2:] == []
        assert billing.told()[2:] == [(3, "corrected", "growth", "active")]


class TestEvery:
    def test_goes_on_where_it_was_stopped(self, billing):
        add_customers(billing, 3)

        with held(billing) as mine:
            first = list(reconciling.every(parts(billing), mine, execute=True, seconds=0.3))
        with held(billing) as mine:
            second = list(reconciling.every(parts(billing), mine, execute=True))

        assert 0 < len(first) < 3
        assert [finding.org_id for finding in first + second] == ["org_b0", "org_b1", "org_b2"]

    def test_is_done_by_one_at_a_time(self, billing):
        with held(billing) as first, held(billing) as second:
            pass
        with held(billing) as third:
            pass

        assert (first is None, second is None, third is None) == (False, True, False)

    def test_stops_if_it_was_too_slow_and_another_has_begun(self, billing):
        add_customers(billing, 2)

        with held(billing) as mine:
            findings = reconciling.every(parts(billing), mine, execute=True)
            next(findings)
            with billing.database.begin() as session:
                session.execute(update(models.Errand).values(holder="another"))
            with pytest.raises(errands.Lost):
                next(findings)

    def test_asks_stripe_no_oftener_than_it_may(self, billing, monkeypatch):
        pauses = []
        monkeypatch.setattr(reconciling.time, "sleep", pauses.append)
        add_customers(billing, 2)

        with held(billing) as mine:
            list(reconciling.every(parts(billing), mine, execute=True))

        assert len(pauses) == 2
        assert all(0 <= pause <= 1 / reconciling.LOOKS_PER_SECOND for pause in pauses)


def held(billing):
    return errands.held(billing.database, reconciling.ERRAND, first_at=billing.database.clock.now())


def add_customers(billing, number):
    client = billing.stripe.client()
    with billing.database.begin() as session:
        for each in range(number):
            made = client.v1.customers.create({}).id
            row = {"holder": "", "lease_until": func.to_timestamp(0), "payment_url": ""}
            session.add(models.Customer(org_id=f"org_b{each}", customer_id=made, **row))


class TestStrangers:
    def test_are_known_again_by_their_org_after_a_restore(self, billing):
        billing.subscribe("starter")
        change_price(billing, "price_growth")
        with billing.database.begin() as session:
            session.execute(update(models.Customer).values(customer_id=None))

        with held(billing) as mine:
            looked = list(reconciling.every(parts(billing), mine, execute=False))
        with held(billing) as mine:
            done = list(reconciling.every(parts(billing), mine, execute=True))

        assert [(finding.org_id, "is not linked" in finding.trouble) for finding in looked] == [("org_1", True)]
        assert [(finding.org_id, finding.differs) for finding in done] == [("org_1", True)]
        assert billing.told()[2:] == [(3, "corrected", "growth", "active")]

    def test_of_no_org_are_named(self, billing):
        subscription = billing.stripe.subscribe()

        with held(billing) as mine:
            [finding] = reconciling.every(parts(billing), mine, execute=True)

        assert finding.org_id == subscription.customer
        assert finding.trouble == f"{subscription.id} is of no org that billing knows"

    def test_beside_the_customer_of_an_org_are_named_and_left(self, billing):
        billing.subscribe("starter")
        client = billing.stripe.client()
        second = billing.stripe.subscribe()
        client.v1.subscriptions.update(second.id, {"metadata": {"org_id": "org_1"}})

        with held(billing) as mine:
            [stranger, ours] = reconciling.every(parts(billing), mine, execute=True)

        assert f"{second.id} is of a second customer" in stranger.trouble
        assert (ours.org_id, ours.differs, ours.trouble) == ("org_1", False, "")


class TestMissedEvents:
    def test_are_taken_in_within_the_hour_and_stored_once(self, billing):
        billing.tell("change_plan", plan="starter")
        reconciling.run_due(parts(billing))
        url = billing.subscription()["pending_checkout"]["checkout_url"]
        billing.pay(url)
        lose_webhooks(billing)

        billing.set_clock("2026-04-01T01:00:00Z")
        reconciling.run_due(parts(billing))
        once = stored(billing)
        billing.do_jobs()
        billing.set_clock("2026-04-01T02:00:00Z")
        reconciling.run_due(parts(billing))

        assert once == followed(billing) == stored(billing)
        assert billing.do_jobs() == 0
        assert billing.told()[1:] == [(2, "upgraded", "starter", "active")]

    def test_that_come_after_all_change_nothing_more(self, billing):
        billing.pay(billing.tell("change_plan", plan="starter")["checkout_url"])
        with missed(billing) as mine:
            taken = missed_events.take_in(parts(billing), mine)
        billing.do_jobs()

        billing.deliver()

        assert taken == len(followed(billing))
        with billing.database.begin() as session:
            jobs = session.scalars(select(func.count()).select_from(tables.Job)).one()
        assert jobs == 1
        assert billing.told()[1:] == [(2, "upgraded", "starter", "active")]

    def test_are_taken_in_page_by_page_from_where_a_look_was_interrupted(self, billing, monkeypatch):
        monkeypatch.setattr(stripe_api, "AT_ONCE", 3)
        monkeypatch.setattr(missed_events, "PAGES_AT_ONCE", 2)
        billing.pay(billing.tell("change_plan", plan="starter")["checkout_url"])
        looks = 0

        while looks < 10 and (not looks or errand(billing, missed_events.ERRAND).position):
            with missed(billing) as mine:
                missed_events.take_in(parts(billing), mine)
            looks += 1

        assert looks > 1
        assert stored(billing) == followed(billing)
        assert errand(billing, missed_events.ERRAND).since == clock.parse("2026-04-01T00:00:00Z")

    def test_begin_anew_where_stripe_has_forgotten_the_last_one(self, billing):
        billing.pay(billing.tell("change_plan", plan="starter")["checkout_url"])
        with missed(billing) as mine:
            mine.note(position="evt_forgotten")

        for _ in range(2):
            with missed(billing) as mine:
                missed_events.take_in(parts(billing), mine)

        assert stored(billing) == followed(billing)

    def test_are_asked_for_from_the_last_look_on(self, billing):
        billing.subscribe("starter")
        for moment in ("2026-04-01T00:00:00Z", "2026-04-01T02:00:00Z"):
            billing.set_clock(moment)
            with missed(billing) as mine:
                missed_events.take_in(parts(billing), mine)
        with billing.database.begin() as session:
            session.execute(delete(models.Webhook))
        change_price(billing, "price_growth")

        billing.set_clock("2026-04-01T04:00:00Z")
        with missed(billing) as mine:
            taken = missed_events.take_in(parts(billing), mine)

        assert taken == 1


def missed(billing):
    return errands.held(billing.database, missed_events.ERRAND, first_at=billing.database.clock.now())


class TestACustomerDeletedAtStripe:
    @pytest.fixture
    def orphaned(self, billing):
        billing.subscribe("starter")
        client = billing.stripe.client()
        client.v1.customers.delete(client.v1.customers.list().data[0].id)
        return billing

    def test_is_followed_by_its_webhook(self, orphaned):
        orphaned.deliver()

        assert orphaned.told()[2:] == [(3, "corrected", "free", "active")]

    def test_is_followed_by_comparing(self, orphaned):
        lose_webhooks(orphaned)

        found = reconciling.compare(parts(orphaned), "org_1", execute=True)

        assert (found.differs, found.trouble) == (True, "")
        assert orphaned.told()[2:] == [(3, "corrected", "free", "active")]

    def test_has_no_portal(self, orphaned):
        with pytest.raises(errors.Conflict, match="no_customer"):
            orphaned.tell("open_portal")

    def test_can_subscribe_again_as_another(self, orphaned):
        orphaned.deliver()

        orphaned.pay(orphaned.tell("change_plan", plan="growth")["checkout_url"], GOOD)
        orphaned.deliver()

        assert orphaned.told()[3:] == [(4, "upgraded", "growth", "active")]
        assert len(orphaned.stripe.client().v1.customers.list().data) == 1

    def test_without_a_subscription_is_told_by_that_alone(self, billing):
        billing.tell("change_plan", plan="starter")
        client = billing.stripe.client()
        client.v1.customers.delete(client.v1.customers.list().data[0].id)

        found = reconciling.compare(parts(billing), "org_1", execute=True)

        assert (found.differs, found.trouble) == (False, "")
