"""
An org that pays is erased: its subscription ends at Stripe first, then the customer, then what we have of it;
whatever answer is lost, wherever the process is killed, and nothing of Stripe's brings it back.
"""

import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import func, select, update

from services.accounts.events import OrgErased, OrgFounded
from services.billing import customers, erasing, models, projections, stripe_transport
from services.billing.events import CATALOGUE
from shared import errors, jobs, rebuilding, tables, verification
from tests.billing.test_duplicates import pay_beside, running
from tests.databases import everything_in
from tests.erasures import Erasure

KILLED_AT = """
import sys
from pathlib import Path
from services.billing import erasing, parts, settings
from shared import clock, database, failpoints
failpoints.arm("erasure.step", at=int(sys.argv[1]))
url, base, plans, ticks = sys.argv[2:]
of = settings.Settings(database_url=url, stripe_api_key="sk_test_of_the_tests", stripe_api_base=base,
    stripe_webhook_secrets=("whsec_x",), catalogue_file=Path(plans), public_url="https://chat.example.com")
home = database.Database(url, clock.Clock(Path(ticks)), pool_size=2)
erasing.finish(parts.Parts(database=home, settings=of), "job_x", {"org_id": "org_1"})
"""


@pytest.fixture
def erasure(billing, open_database: Callable) -> Erasure:
    return Erasure(open_database("accounts"), billing.database, "billing", billing.work.hears[0])


@pytest.fixture
def paying(billing, erasure):
    """`org_1` is on Starter."""
    erasure.say(OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1))
    billing.subscribe("starter")
    assert running(billing) == ["price_starter"]
    return billing


def live_customers(billing):
    return [each.id for each in billing.stripe.client().v1.customers.list().data]


def statuses(billing):
    """Of every subscription that there ever was."""
    found = billing.stripe.client().v1.subscriptions.list({"status": "all"}).data
    return sorted(each.status for each in found)


def left(billing):
    """How many rows of the org each of billing's own tables has."""
    with billing.database.begin() as session:
        found = (
            models.Customer,
            models.Intent,
            models.Checkout,
            models.Subscription,
            models.Duplicate,
            models.Activity,
        )
        counts = {one.__tablename__: len(session.scalars(select(one)).all()) for one in found}
        counts["webhooks"] = session.scalars(select(func.count()).select_from(models.Webhook)).one()
    return {table: count for table, count in counts.items() if count}


def waiting_jobs(billing):
    with billing.database.begin() as session:
        return session.scalars(select(tables.Job.kind).where(tables.Job.state.in_(("waiting", "failed")))).all()


class TestAnErasure:
    def test_ends_the_subscription_and_deletes_the_customer_and_keeps_the_invoices(self, paying, erasure):
        [invoice] = paying.stripe.client().v1.invoices.list().data

        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()

        assert (statuses(paying), live_customers(paying), erasure.told()) == (["canceled"], [], ["org_1"])
        assert [each.id for each in paying.stripe.client().v1.invoices.list().data] == [invoice.id]
        assert left(paying) == {}

    def test_charges_and_gives_back_nothing(self, paying, erasure):
        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()

        client = paying.stripe.client().v1
        assert [each.total for each in client.invoices.list().data] == [1900]
        assert client.refunds.list().data == []

    def test_ends_the_subscription_before_the_customer(self, paying, erasure):
        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()

        told = [event.type for event in paying.stripe.client().v1.events.list({"limit": 2}).data]
        assert told == ["customer.deleted", "customer.subscription.deleted"]

    def test_ends_every_subscription_also_one_that_was_paid_twice(self, paying, erasure):
        pay_beside(paying, "growth")

        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()

        assert statuses(paying) == ["canceled", "canceled"]

    def test_closes_the_page_on_which_the_first_payment_could_be_made(self, billing, erasure):
        url = billing.tell("change_plan", plan="starter")["checkout_url"]

        erasure.say(OrgErased(org_id="org_1"))
        billing.set_clock("2026-04-01T00:03:00Z")  # whoever was at Stripe has found the customer by now
        billing.do_jobs()

        pages = billing.stripe.client().v1.checkout.sessions.list().data
        assert (billing.pay(url).status_code != 303, [page.status for page in pages]) == (True, ["expired"])
        assert (statuses(billing), erasure.told()) == ([], ["org_1"])

    def test_finds_a_customer_whose_making_was_cut_off_before_it_was_linked(self, billing, erasure):
        with customers.lease(billing.database, "org_1"):
            made = billing.stripe.client().v1.customers.create({"metadata": {"org_id": "org_1"}}).id

            erasure.say(OrgErased(org_id="org_1"))
            billing.do_jobs()
            before = live_customers(billing)
        billing.set_clock("2026-04-01T00:03:00Z")
        billing.do_jobs()

        assert (before, live_customers(billing), erasure.told()) == ([made], [], ["org_1"])

    def test_of_an_org_that_never_paid_asks_stripe_and_is_told(self, billing, erasure):
        erasure.say(OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1), OrgErased(org_id="org_1"))
        billing.do_jobs()

        assert (erasure.told(), left(billing)) == (["org_1"], {})

    def test_heard_before_the_founding_lets_the_org_never_come(self, billing, erasure):
        erasure.say(OrgErased(org_id="org_1"), OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1))
        billing.do_jobs()

        assert (erasure.told(), left(billing), billing.facts()) == (["org_1"], {}, [])

    def test_leaves_another_org_as_it_is(self, paying, erasure):
        erasure.say(OrgErased(org_id="org_2"))
        paying.do_jobs()

        assert (running(paying), erasure.told()) == (["price_starter"], ["org_2"])
        assert paying.subscription()["plan"] == "starter"

    def test_leaves_no_trace_but_the_ids_in_the_stream(self, paying, erasure):
        paying.tell("cancel", command_id="ada_at_example")
        paying.deliver()
        assert "ada_at_example" in everything_in(paying.database)

        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()
        paying.deliver()

        assert "ada_at_example" not in everything_in(paying.database)
        assert (left(paying), waiting_jobs(paying)) == ({}, [])

    def test_leaves_a_history_that_verifies_and_rows_that_a_rebuild_makes_again(self, paying, erasure):
        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()

        assert verification.verify(paying.database, CATALOGUE).faults == {}
        assert rebuilding.rebuild(paying.database, "billing", projections.READ_MODELS, limit=9).differences == []
        assert left(paying) == {}


class TestWhatGoesWrong:
    """Fault 44: whatever happens between, the subscription is ended at Stripe, and nothing is charged any more."""

    @pytest.mark.parametrize("path", ["/v1/subscriptions/", "/v1/customers/"])
    def test_a_lost_answer_is_no_reason_to_do_it_twice_or_not_at_all(self, paying, erasure, path):
        lost = {"kind": "drop_after_commit", "method": "DELETE", "path": path, "count": stripe_transport.TRIES}
        paying.stripe.knob("faults", lost)

        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()
        told_before = erasure.told()
        paying.set_clock("2026-04-01T00:05:00Z")
        paying.do_jobs()

        assert (told_before, erasure.told()) == ([], ["org_1"])
        assert (statuses(paying), live_customers(paying), left(paying)) == (["canceled"], [], {})

    @pytest.mark.parametrize("method, times", [("GET", 3), ("DELETE", jobs.MAX_ATTEMPTS + 2)])
    def test_while_stripe_fails_it_is_put_off_however_long(self, paying, erasure, method, times):
        erasure.say(OrgErased(org_id="org_1"))
        for hour in range(times):
            paying.stripe.knob("faults", {"kind": "status", "status": 500, "method": method, "count": 1})
            paying.set_clock(f"2026-04-01T{hour:02}:30:00Z")
            paying.do_jobs()
        told_before = erasure.told()
        paying.set_clock("2026-04-02T00:00:00Z")
        paying.do_jobs()

        assert (told_before, erasure.told()) == ([], ["org_1"])
        assert (statuses(paying), live_customers(paying), waiting_jobs(paying)) == (["canceled"], [], [])

    def test_nothing_is_forgotten_before_stripe_has_done_it(self, paying, erasure):
        paying.stripe.knob("faults", {"kind": "status", "status": 500, "method": "DELETE", "path": "/v1/customers/"})

        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()

        assert (erasure.told(), left(paying)["customers"]) == ([], 1)
        assert statuses(paying) == ["canceled"]

    def test_a_key_of_another_account_of_stripe_ends_in_a_job_for_operations(self, paying, erasure):
        with paying.database.begin() as session:
            session.execute(update(models.Customer).values(customer_id="cus_of_another_account"))

        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()

        assert (erasure.told(), waiting_jobs(paying)) == ([], [erasing.JOB])

    def test_killed_after_any_step_it_goes_on_and_ends(self, paying, erasure):
        erasure.say(OrgErased(org_id="org_1"))
        seen = []
        for step in (1, 2, 3, 1):  # the page, the subscription, the customer, what we have
            assert _finished_by_another(paying, killed_at=step) == -9
            seen.append((statuses(paying), len(live_customers(paying)), erasure.told()))
            paying.let_leases_run_out()

        assert _finished_by_another(paying, killed_at=99) == 0
        assert seen == [(["active"], 1, []), (["canceled"], 1, []), (["canceled"], 0, []), (["canceled"], 0, [])]
        assert (erasure.told(), left(paying)) == (["org_1"], {})

    def test_told_and_done_twice_changes_nothing(self, paying, erasure):
        erasure.say(OrgErased(org_id="org_1"))
        paying.do_jobs()
        before = everything_in(paying.database), paying.stripe.client().v1.events.list({"limit": 1}).data[0].id

        with paying.database.begin() as session:
            [job_id] = session.scalars(select(tables.Job.id).where(tables.Job.kind == erasing.JOB)).all()
        paying.work.jobs[erasing.JOB](job_id, {"org_id": "org_1"})
        erasure.say()

        after = everything_in(paying.database), paying.stripe.client().v1.events.list({"limit": 1}).data[0].id
        assert after == before


def _finished_by_another(billing, *, killed_at):
    paths = (billing.database.url, billing.stripe.address, billing.settings.catalogue_file)
    clock_file = billing.stripe.directory / "clock.json"
    command = [sys.executable, "-c", KILLED_AT, str(killed_at), *map(str, paths), str(clock_file)]
    return subprocess.run(command, check=False).returncode


class TestAnErasedOrg:
    @pytest.fixture
    def erased(self, paying, erasure):
        """Heard of; the job has not come to it."""
        paying.stripe.knob("deliveries", {"stopped": True})
        erasure.say(OrgErased(org_id="org_1"))
        return paying

    @pytest.mark.parametrize(
        "method, arguments",
        [
            ("get_subscription", {}),
            ("list_invoices", {}),
            ("preview", {"plan": "growth"}),
            ("open_portal", {"command_id": "c1"}),
            ("change_plan", {"command_id": "c2", "plan": "growth"}),
            ("cancel", {"command_id": "c3"}),
            ("withdraw_change", {"command_id": "c4"}),
        ],
    )
    def test_is_gone_for_whoever_asks(self, erased, method, arguments):
        with pytest.raises(errors.NotFound) as refused:
            erased.ask(method, **arguments)

        assert refused.value.code == "erased"

    def test_is_left_alone_by_the_timers_and_by_webhooks_that_come_before_the_job(self, erased, erasure):
        portal_customer = live_customers(erased)[0]
        erased.stripe.client().v1.customers.update(portal_customer, {"metadata": {"seen": "1"}})
        erased.set_clock("2026-05-02T00:00:00Z")
        facts = erased.facts()

        erased.turn_timers()
        erased.stripe.knob("deliveries", {"stopped": False})
        erased.deliver()

        assert [type(fact) for fact in erased.facts()] == [type(fact) for fact in facts]
        assert (erasure.told(), waiting_jobs(erased)) == (["org_1"], [])

    def test_is_not_brought_back_by_late_webhooks_nor_by_a_comparison(self, erased, erasure):
        erased.do_jobs()
        erased.set_clock("2026-04-03T06:00:00Z")
        facts = erased.facts()

        erased.deliver()
        erased.turn_timers()

        assert (erased.facts(), left(erased), waiting_jobs(erased)) == (facts, {}, [])

    def test_is_not_brought_back_by_whoever_asks_for_a_change_when_all_is_done(self, erased):
        erased.do_jobs()

        with pytest.raises(errors.NotFound, match="erased"):
            erased.tell("change_plan", plan="growth")

        assert left(erased) == {}

    def test_is_not_brought_back_by_a_change_that_was_under_way(self, paying, erasure):
        with customers.lease(paying.database, "org_1") as mine:
            erasure.say(OrgErased(org_id="org_1"))

            with pytest.raises(errors.NotFound, match="erased"), paying.database.begin() as session:
                mine.check(session)

    def test_that_somebody_pays_for_again_is_ended_by_the_next_comparison(self, erased, erasure):
        erased.do_jobs()
        client = erased.stripe.client().v1
        customer = client.customers.create({}).id
        page = {
            "mode": "subscription",
            "customer": customer,
            "line_items": [{"price": "price_starter", "quantity": 1}],
            "subscription_data": {"metadata": {"org_id": "org_1"}},
            "success_url": "https://chat.example.com/billing",
        }
        erased.pay(client.checkout.sessions.create(page).url)
        assert running(erased) == ["price_starter"]
        erased.turn_timers()  # so that it is due one night later

        erased.set_clock("2026-04-02T06:00:00Z")
        erased.turn_timers()
        erased.do_jobs()

        assert (running(erased), live_customers(erased), left(erased)) == ([], [], {})
