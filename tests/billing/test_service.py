"""billing's other doors, what it hears, its tables and its settings."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from services.accounts.events import OrgFounded
from services.billing import models
from services.billing.settings import Settings
from shared import config, context, envelope, errors
from tests import databases
from tests.billing.conftest import OWNER

GIVEN = {
    "BILLING_DATABASE_URL": "postgresql+psycopg2://billing@127.0.0.1/billing",
    "STRIPE_API_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRETS": "whsec_new, whsec_old",
    "PUBLIC_URL": "https://chat.example.com/",
}
MEMBER = context.Actor(kind="person", id="acc_2", org_id="org_1", role="member")
GATEWAY = context.Actor(kind="service", id="gateway", org_id="org_1")


def found_org(billing, at="2026-03-31T23:59:59Z"):
    fact = OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1)
    heard = envelope.Envelope(
        producer="accounts",
        epoch="1",
        position=1,
        hash="",
        event_hash="",
        stream="org-org_1",
        version=1,
        id="evt_1",
        name=OrgFounded.name,
        schema=1,
        time=datetime.fromisoformat(at),
        data={},
    )
    [hears] = billing.work.hears
    with billing.database.begin() as session:
        hears.handlers[OrgFounded](session, fact, heard)


class TestOrgFounded:
    def test_puts_the_org_on_free_from_its_founding_on(self, billing):
        found_org(billing)

        assert billing.told() == [(1, "started", "free", "active")]
        assert billing.facts()[0].effective_at == "2026-03-31T23:59:59Z"

    def test_comes_late_for_an_org_that_has_chosen_already(self, billing):
        billing.subscribe("starter")

        found_org(billing)

        assert [version for version, *_ in billing.told()] == [1, 2]


class TestGetSubscription:
    def test_shows_free_before_the_founding_was_heard(self, billing):
        before = billing.subscription()
        found_org(billing)

        assert billing.subscription() == before | {"version": 1}

    def test_is_for_the_owner_and_for_services(self, billing):
        assert billing.ask("get_subscription", actor=GATEWAY)["plan"] == "free"
        with pytest.raises(errors.Forbidden, match="owner_only"):
            billing.ask("get_subscription", actor=MEMBER)


class TestListPlans:
    def test_is_for_anyone(self, billing):
        shown = billing.ask("list_plans", actor=context.ANYONE)

        assert [(plan["id"], plan["price_cents"]) for plan in shown] == [
            ("free", 0),
            ("starter", 1900),
            ("growth", 4900),
        ]


class TestListInvoices:
    def test_is_empty_before_anything_was_paid(self, billing):
        assert billing.ask("list_invoices") == {"invoices": [], "has_more": False}

    def test_goes_on_where_the_page_before_ended(self, billing):
        billing.subscribe("starter")
        billing.tell("change_plan", plan="growth")

        first = billing.ask("list_invoices", limit=1)
        second = billing.ask("list_invoices", limit=1, after=first["invoices"][0]["id"])

        assert (first["has_more"], second["has_more"]) == (True, False)
        assert second["invoices"][0]["total_cents"] == 1900
        assert second["invoices"][0]["status"] == "paid"

    @pytest.mark.parametrize(
        "wrong, code",
        [({"limit": 0}, "invalid_limit"), ({"limit": 101}, "invalid_limit"), ({"after": "in_1"}, "invalid_cursor")],
    )
    def test_refuses_a_page_that_there_is_not(self, billing, wrong, code):
        billing.subscribe("starter")

        with pytest.raises(errors.Invalid, match=code):
            billing.ask("list_invoices", **wrong)

    def test_says_when_stripe_is_away(self, billing):
        billing.subscribe("starter")
        billing.stripe.knob("faults", {"kind": "status", "status": 503, "count": 4})

        with pytest.raises(errors.Unavailable, match="stripe_unavailable"):
            billing.ask("list_invoices")

    def test_is_for_the_owner_only(self, billing):
        with pytest.raises(errors.Forbidden, match="owner_only"):
            billing.ask("list_invoices", actor=MEMBER)


class TestGetChange:
    def test_is_unknown_to_another_org(self, billing):
        change_id = billing.tell("change_plan", plan="starter")["change_id"]
        stranger = context.Actor(kind="person", id="acc_9", org_id="org_9", role="owner")

        assert billing.ask("get_change", change_id=change_id)["status"] == "checkout"
        with pytest.raises(errors.NotFound, match="unknown_change"):
            billing.ask("get_change", actor=stranger, change_id=change_id)


class TestTwoAtOnce:
    def test_are_charged_one_after_the_other(self, billing):
        billing.subscribe("starter")
        together = threading.Barrier(2)

        def change(command_id):
            together.wait()
            with context.use(actor=OWNER):
                try:
                    return billing.doors.change_plan(command_id=command_id, plan="growth")["outcome"]
                except errors.Conflict as refusal:
                    return refusal.code

        with ThreadPoolExecutor(2) as crowd:
            outcomes = sorted(crowd.map(change, ["cmd_one", "cmd_two"]))

        assert outcomes == ["changed", "plan_unchanged"]
        assert len(billing.ask("list_invoices")["invoices"]) == 2

    def test_of_the_same_command_answer_the_same(self, billing):
        billing.subscribe("starter")

        def change(_):
            with context.use(actor=OWNER):
                return billing.doors.change_plan(command_id="cmd_same", plan="growth")

        with ThreadPoolExecutor(2) as crowd:
            first, second = crowd.map(change, range(2))

        assert first == second
        assert len(billing.ask("list_invoices")["invoices"]) == 2


class TestTables:
    def test_are_as_the_migration_made_them(self, billing):
        assert databases.differences(billing.database, models.State.metadata, models.Views.metadata) == []


class TestSettings:
    def test_are_read_from_the_environment(self):
        settings = config.load(Settings, GIVEN)

        assert settings.stripe_webhook_secrets == ("whsec_new", "whsec_old")
        assert settings.public_url == "https://chat.example.com"
        assert not settings.livemode
        assert config.load(Settings, GIVEN | {"STRIPE_API_KEY": "rk_live_1"}).livemode

    @pytest.mark.parametrize(
        "name, value",
        [("STRIPE_API_KEY", "pk_test_1"), ("STRIPE_WEBHOOK_SECRETS", "secret"), ("STRIPE_API_BASE", "stripe:443")],
    )
    def test_are_refused_if_they_cannot_be_right(self, name, value):
        with pytest.raises(config.BadConfiguration, match=name):
            config.load(Settings, GIVEN | {name: value})

    def test_name_the_fault_of_a_catalogue(self, tmp_path):
        (tmp_path / "plans.toml").write_text("grace_period_days = 7")

        with pytest.raises(config.BadConfiguration, match=r"BILLING_CATALOGUE is not valid: plans must be tables"):
            config.load(Settings, GIVEN | {"BILLING_CATALOGUE": str(tmp_path / "plans.toml")})
