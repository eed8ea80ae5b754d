"""What the owner sees of the subscription: what was asked for and by whom, and what became of it."""

from dataclasses import replace

from services.billing import projections
from tests.activity import is_made_again, who_may
from tests.billing.conftest import OWNER

SIGNED_IN = replace(OWNER, session_id="ses_1")


def seen(billing):
    """In no order: Stripe answers within one moment of the sandbox's clock."""
    found = billing.ask("list_activity")
    return sorted((one["what"], one["actor"]["kind"], one["details"].get("plan")) for one in found)


class TestListActivity:
    def test_tells_what_a_person_asked_for_and_what_became_of_it_by_itself(self, billing):
        answer = billing.ask("change_plan", actor=SIGNED_IN, command_id="cmd_x", plan="starter")
        asked = billing.ask("list_activity")
        billing.pay(answer["checkout_url"])
        billing.deliver()

        assert [(one["what"], one["details"]) for one in asked] == [
            ("subscription_change_requested", {"plan": "starter", "at": "now"})
        ]
        assert asked[0]["actor"] == {"kind": "person", "id": OWNER.id, "session_id": "ses_1"}
        assert seen(billing) == [
            ("subscription_change_requested", "person", "starter"),
            ("subscription_upgraded", "service", "starter"),
        ]

    def test_tells_of_a_change_that_is_scheduled_and_withdrawn(self, billing):
        billing.subscribe("starter")
        billing.tell("cancel")
        billing.tell("withdraw_change")

        told = [one for one in seen(billing) if one[0] in ("subscription_scheduled", "subscription_withdrawn")]
        assert told == [
            ("subscription_scheduled", "person", "starter"),
            ("subscription_withdrawn", "person", "starter"),
        ]

    def test_is_for_the_owner_alone_and_shows_no_other_orgs(self, billing):
        billing.subscribe("starter")

        assert who_may(billing.doors, "org_1") == {"owner"}
        assert billing.ask("list_activity", actor=replace(OWNER, org_id="org_2")) == []

    def test_is_made_again_by_a_rebuild(self, billing):
        billing.subscribe("starter")
        billing.tell("change_plan", plan="growth")
        billing.tell("cancel", at="now")

        assert is_made_again(billing.database, "billing", projections.READ_MODELS)
