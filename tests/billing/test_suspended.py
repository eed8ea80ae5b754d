"""The subscription of a suspended org."""

import pytest

from services.accounts.events import OrgErased, OrgFounded, OrgRestored, OrgSuspended
from shared import errors
from tests.databases import everything_in
from tests.erasures import Erasure

SUSPENDED = OrgSuspended(org_id="org_1", cause="a-cause-of-its-own", reason_version=1)


@pytest.fixture
def accounts(billing, open_database) -> Erasure:
    """`org_1` is on Starter."""
    made = Erasure(open_database("accounts"), billing.database, "billing", billing.work.hears[0])
    made.say(OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1))
    billing.subscribe("starter")
    return made


class TestTheSubscription:
    def test_is_not_touched_and_grows_no_more(self, billing, accounts):
        before = billing.subscription()
        accounts.say(SUSPENDED)

        with pytest.raises(errors.Forbidden, match="org_suspended"):
            billing.tell("change_plan", plan="growth")

        assert billing.subscription() == before
        assert billing.ask("preview", plan="growth")["plan"] == "growth"
        assert billing.tell("open_portal")["url"]
        assert billing.ask("list_invoices")["invoices"]

    def test_is_shown_again_to_who_asks_again_for_what_was_done_before(self, billing, accounts):
        done = billing.tell("change_plan", command_id="cmd_lost", plan="growth")
        accounts.say(SUSPENDED)

        assert billing.tell("change_plan", command_id="cmd_lost", plan="growth") == done
        with pytest.raises(errors.Forbidden, match="org_suspended"):
            billing.tell("change_plan", command_id="cmd_other", plan="growth")

    def test_can_be_canceled_which_is_not_taken_back(self, billing, accounts):
        accounts.say(SUSPENDED)

        billing.tell("cancel", at="period_end")

        assert billing.subscription()["scheduled_change"]["plan"] == "free"
        with pytest.raises(errors.Forbidden, match="org_suspended"):
            billing.tell("withdraw_change")

    def test_goes_on_once_the_org_is_restored(self, billing, accounts):
        accounts.say(SUSPENDED, OrgRestored(org_id="org_1", reason_version=2))

        assert billing.tell("change_plan", plan="growth")["outcome"] == "changed"

    def test_leaves_nothing_of_it_with_the_org(self, billing, accounts):
        accounts.say(SUSPENDED)
        assert SUSPENDED.cause in everything_in(billing.database)

        accounts.say(OrgErased(org_id="org_1"))

        assert SUSPENDED.cause not in everything_in(billing.database)
