"""`chatness billing reconcile`, on a billing service beside a running Stripe sandbox."""

import json

import pytest
from click.testing import CliRunner

from ops import cli, exits
from services.billing import errands, reconciling
from tests.billing import test_reconciling
from tests.billing.conftest import billing, plans, sandbox, stripe_receiver, stripe_server

__all__ = ["billing", "plans", "sandbox", "stripe_receiver", "stripe_server"]


@pytest.fixture
def subscribed(billing, surroundings):
    """An org on Starter, where the command line finds it."""
    surroundings.setenv("BILLING_DATABASE_URL", billing.settings.database_url)
    surroundings.setenv("STRIPE_API_KEY", billing.settings.stripe_api_key)
    surroundings.setenv("STRIPE_API_BASE", billing.settings.stripe_api_base)
    surroundings.setenv("BILLING_CATALOGUE", str(billing.settings.catalogue_file))
    surroundings.setenv("CHATNESS_SANDBOX", "1")
    surroundings.setenv("CHATNESS_CLOCK_FILE", str(billing.database.clock.file))
    billing.subscribe("starter")
    return billing


def run(words):
    return CliRunner().invoke(cli.main, f"billing reconcile --by ada {words}".split())


class TestReconcile:
    def test_says_that_all_agrees(self, subscribed):
        done = run("")

        assert (done.exit_code, done.stdout) == (exits.OK, "1 orgs compared with Stripe: no difference\n")

    @pytest.mark.parametrize("which", ["", "--org org_1"])
    def test_changes_nothing_until_it_is_told_to(self, subscribed, which):
        test_reconciling.change_price(subscribed, "price_growth")

        looked = run(which)
        before = subscribed.told()[2:]
        done = run(f"{which} --execute")
        again = run(which)

        assert (looked.exit_code, before) == (exits.FAILED, [])
        assert looked.stdout.splitlines() == [
            "org_1  corrected, starter to growth (active): would be taken over",
            "1 orgs compared with Stripe: 1 differ, 0 of them taken over",
        ]
        assert exits.NO_CHANGE in looked.stderr
        assert done.exit_code == exits.OK
        assert "org_1  corrected, starter to growth (active): taken over" in done.stdout
        assert subscribed.told()[2:] == [(3, "corrected", "growth", "active")]
        assert (again.exit_code, "no difference" in again.stdout) == (exits.OK, True)

    def test_takes_in_the_events_that_never_came(self, subscribed):
        test_reconciling.change_price(subscribed, "price_growth")
        test_reconciling.lose_webhooks(subscribed)

        done = run("--execute --json")

        assert "1 events of Stripe's had not come, and are taken in" in done.stderr
        assert test_reconciling.stored(subscribed) >= test_reconciling.followed(subscribed)
        (finding, tally) = map(json.loads, done.stdout.splitlines())
        assert [fact["name"] for fact in finding["facts"]] == ["billing.SubscriptionChanged"]
        assert (finding["taken_over"], finding["facts"][0]["action"]) == (True, "corrected")
        assert tally == {"compared": 1, "differ": 1, "taken_over": 1, "not_compared": 0}

    def test_names_what_cannot_be_compared_and_goes_on(self, subscribed):
        test_reconciling.add_customers(subscribed, 1)
        subscribed.stripe.knob("reset")

        done = run("--execute")

        assert done.exit_code == exits.FAILED
        assert done.stdout.splitlines() == [
            "org_1  not compared: resource_missing",
            "org_b0  not compared: resource_missing",
            "0 orgs compared with Stripe: no difference, 2 not compared",
        ]

    def test_goes_on_where_stripe_was_away(self, subscribed):
        test_reconciling.add_customers(subscribed, 1)
        subscribed.stripe.knob("faults", {"kind": "status", "status": 500, "path": "/v1/customers"})

        stopped = run("--execute")
        done = run("--execute")

        assert stopped.exit_code == exits.AWAY
        assert "1 compared. Try again: it goes on where it stopped" in stopped.stderr
        assert done.exit_code == exits.OK
        assert "goes on after org_1" in done.stderr
        assert "1 orgs compared" in done.stdout

    def test_is_not_done_twice_at_once(self, subscribed):
        now = subscribed.database.clock.now()
        with errands.held(subscribed.database, reconciling.ERRAND, first_at=now):
            done = run("--execute")

        assert done.exit_code == exits.CONFLICT
        assert "another reconcile is under way" in done.stderr

    def test_knows_no_other_org(self, subscribed):
        assert run("--org org_9").exit_code == exits.NOT_FOUND
