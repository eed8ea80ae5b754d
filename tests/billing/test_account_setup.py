"""Setting up the account at Stripe: in the sandbox, which refuses what Stripe would not take."""

import dataclasses
import importlib
import inspect
import tomllib

import pytest
import requests

from services.billing import account_setup, catalogue, stripe_account, stripe_api, stripe_transport, webhooks
from services.billing.settings import AccountSettings
from tests.billing.conftest import PLANS
from tests.sandbox import stripe_process

NEW_PLANS = PLANS.replace("_monthly", "_new").replace('id = "', 'id = "new_').replace("new_free", "free")
ENDPOINT = "https://chat.example.com/v1/stripe/webhook"


@pytest.fixture
def settings(sandbox, tmp_path):
    """An account that holds nothing of these plans, and neither portal nor endpoint of ours."""
    return with_plans(
        AccountSettings(
            stripe_api_key=stripe_process.KEY,
            stripe_api_base=sandbox.address,
            catalogue_file=tmp_path / "first.toml",
            public_url="https://chat.example.com",
        ),
        NEW_PLANS,
    )


@pytest.fixture
def api(sandbox):
    """The account as somebody in Stripe's dashboard uses it."""
    return sandbox.client().v1


def with_plans(settings, text):
    """The same account, after a change of the catalogue."""
    file = settings.catalogue_file.with_name(f"plans_{abs(hash(text))}.toml")
    file.write_text(text)
    return dataclasses.replace(settings, catalogue_file=file)


def steps(settings):
    return account_setup.steps(stripe_account.look(settings), settings.plans, settings.public_url)


def set_up(settings):
    """Do what is to be done, and give the names of it."""
    found = steps(settings)
    for step in found:
        stripe_account.do(settings, step)
    return names(found)


def names(found):
    return [type(step).__name__ for step in found]


def price(api, lookup_key):
    return api.prices.list({"lookup_keys": [lookup_key]}).data[0]


class TestAnEmptyAccount:
    def test_gets_all_that_billing_needs(self, settings, api):
        done = set_up(settings)

        assert done == [*2 * ["CreateProduct", "CreatePrice"], "CreatePortal", "CreateEndpoint"]
        starter = price(api, "starter_new")
        assert (starter.unit_amount, starter.currency, starter.recurring.interval) == (1900, "usd", "month")
        assert api.products.retrieve(starter.product).name == "Starter"
        (endpoint,) = [each for each in api.webhook_endpoints.list().data if each.url == ENDPOINT]
        assert set(endpoint.enabled_events) == account_setup.EVENTS

    def test_gets_nothing_by_a_look(self, settings, api):
        before = [each.id for each in api.events.list({"limit": 100}).data]

        steps(settings)

        assert [each.id for each in api.events.list({"limit": 100}).data] == before
        assert api.products.list({"ids": ["chatness_new_starter"]}).data == []

    def test_gets_nothing_more_the_second_time(self, settings):
        set_up(settings)

        assert set_up(settings) == []

    def test_gets_the_rest_after_an_answer_that_was_lost(self, settings, sandbox, api):
        fault = {"kind": "drop_after_commit", "method": "POST", "path": "/v1/prices", "count": stripe_transport.TRIES}
        sandbox.knob("faults", fault)
        with pytest.raises(stripe_api.Away):
            set_up(settings)

        rest = set_up(settings)

        assert rest == ["CreateProduct", "CreatePrice", "CreatePortal", "CreateEndpoint"]
        assert len(api.prices.list({"product": "chatness_new_starter"}).data) == 1

    def test_tells_the_secret_of_its_endpoint_once(self, settings):
        told = [stripe_account.do(settings, step) for step in steps(settings)]

        assert [secret.partition("_")[0] for secret in told if secret] == ["whsec"]


class TestPrices:
    @pytest.fixture
    def dearer(self, settings):
        """The account as it was set up, and a catalogue in which Starter has another price."""
        set_up(settings)
        return with_plans(settings, NEW_PLANS.replace("1900", "2100"))

    def test_of_another_amount_are_followed_by_a_new_one_with_the_lookup_key(self, dearer, api):
        old = price(api, "starter_new")

        assert set_up(dearer) == ["CreatePrice"]

        new = price(api, "starter_new")
        assert (new.unit_amount, new.product) == (2100, old.product)
        assert api.prices.retrieve(old.id).active
        assert set_up(dearer) == []

    def test_of_another_amount_are_named_with_both_amounts(self, dearer):
        (step,) = steps(dearer)

        assert "is 1900 usd each month, and the catalogue says 2100 usd each month" in str(step)

    def test_that_were_replaced_keep_the_plan_of_those_who_pay_them(self, dearer, sandbox, api):
        subscription = sandbox.subscribe(price(api, "starter_new").id)
        set_up(dearer)

        (seen,) = stripe_api.Stripe(settings=dearer).subscriptions(str(subscription.customer))

        assert (seen.plan, seen.status) == ("new_starter", "active")

    def test_can_go_back_to_what_they_were(self, dearer, settings, api):
        set_up(dearer)

        assert set_up(settings) == ["CreatePrice"]
        assert price(api, "starter_new").unit_amount == 1900

    def test_made_by_hand_are_taken_as_they_are(self, settings, api):
        product = api.products.create({"name": "Our bots"}).id
        for plan in account_setup.sold(settings.plans):
            api.prices.create(
                {
                    "product": product,
                    "currency": "usd",
                    "unit_amount": plan.price_cents,
                    "recurring": {"interval": "month"},
                    "lookup_key": plan.lookup_key,
                }
            )

        assert set_up(settings) == ["NotePlan", "NotePlan", "CreatePortal", "CreateEndpoint"]
        assert api.products.retrieve(product).name == "Our bots"

    def test_and_products_that_were_archived_are_made_active(self, settings, api):
        set_up(settings)
        starter = price(api, "starter_new")
        api.prices.update(starter.id, {"active": False})
        api.products.update(str(starter.product), {"active": False, "name": "Start"})

        assert set_up(settings) == ["UpdateProduct", "ActivatePrice"]
        assert steps(settings) == []
        assert api.products.retrieve(str(starter.product)).name == "Starter"


class TestPortal:
    def test_that_somebody_changed_is_set_right(self, settings, api):
        set_up(settings)
        ours = stripe_account.look(settings).portal
        change = {"active": False, "features": {"subscription_cancel": {"enabled": True}}}
        api.billing_portal.configurations.update(ours.id, change)

        (step,) = steps(settings)

        assert "has subscription_cancel on, is not active" in str(step)
        assert set_up(settings) == ["UpdatePortal"]
        assert steps(settings) == []

    def test_is_the_one_that_customers_see(self, settings, sandbox, api):
        customer = str(sandbox.subscribe().customer)
        stripe = stripe_api.Stripe(settings=settings)
        default = stripe.portal(customer, key="k1")
        set_up(settings)

        ours = stripe.portal(customer, key="k2")

        known = requests.get(f"{sandbox.address}/_sandbox/state", timeout=10).json()
        used = {each["url"]: each["configuration"] for each in known["billing_portal.session"]}
        assert used[ours] == stripe_account.look(settings).portal.id != used[default]


class TestEndpoint:
    def test_that_misses_events_or_is_disabled_is_set_right_and_loses_nothing(self, settings, api):
        set_up(settings)
        ours = stripe_account.look(settings).endpoint
        kept = sorted(account_setup.EVENTS - {"invoice.paid"})
        api.webhook_endpoints.update(ours.id, {"enabled_events": [*kept, "charge.captured"], "disabled": True})

        (step,) = steps(settings)

        assert "is disabled and does not get invoice.paid" in str(step)
        assert set_up(settings) == ["UpdateEndpoint"]
        after = api.webhook_endpoints.retrieve(ours.id)
        assert set(after.enabled_events) == account_setup.EVENTS | {"charge.captured"}
        assert after.status == "enabled"

    def test_that_gets_everything_is_left_alone(self, settings, api):
        api.webhook_endpoints.create({"url": ENDPOINT, "enabled_events": ["*"]})

        assert "CreateEndpoint" not in names(steps(settings))
        assert "UpdateEndpoint" not in names(steps(settings))


@pytest.mark.pure
class TestEvents:
    def test_are_names_that_stripe_has(self):
        declared = inspect.getsource(importlib.import_module("stripe.params._webhook_endpoint_create_params"))

        assert {name for name in account_setup.EVENTS if f'"{name}"' not in declared} == set()

    def test_hold_something_of_all_that_is_followed(self):
        assert [
            prefix
            for prefix in (*webhooks.FOLLOWED, webhooks.REFUND, webhooks.DISPUTE)
            if not any(name.startswith(prefix) for name in account_setup.EVENTS)
        ] == []


@pytest.mark.pure
class TestSteps:
    def test_know_a_price_of_another_rhythm_or_currency(self):
        plan = catalogue.parse(tomllib.loads(PLANS)).plan("starter")
        right = account_setup.Price(
            id="price_1", product_id="p", cents=1900, currency="usd", interval="month", active=True, plan="starter"
        )
        wrong = [{"interval": "year"}, {"interval": ""}, {"currency": "eur"}, {"cents": None}, {"cents": 19}]

        assert right.costs(plan)
        assert not any(dataclasses.replace(right, **change).costs(plan) for change in wrong)
