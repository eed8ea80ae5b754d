"""The people of a suspended org: what they may still do, and what is refused."""

import pytest

from services.accounts import operators
from shared import context, errors
from tests.accounts.conftest import PASSWORD
from tests.accounts.test_invitations import accept, accept_as_new, invite, invited, members, refusal

REFUSED = ("Forbidden", "org_suspended")


def suspend(accounts, org_id):
    done = {"cause": "abuse", "reason": "a flood of spam", "operator": "grace@night", "execute": True}
    operator = context.Actor(kind="operator", id="grace@night", org_id=org_id)
    with context.use(actor=operator), accounts.database.begin() as session:
        operators.suspend(session, org_id, **done)


def restore(accounts, org_id):
    with accounts.database.begin() as session:
        operators.restore(session, org_id, reason="it was not theirs", operator="grace@night", execute=True)


@pytest.fixture
def ada(accounts):
    """Of an org that Eve is in too, suspended since noon."""
    ada = accounts.sign_up(org_name="Engines")
    accept_as_new(accounts, invited(accounts, ada))
    suspend(accounts, ada.org_id)
    return ada


class TestItsPeople:
    def test_sign_in_and_look_and_see_since_when(self, accounts, ada):
        org = accounts.sign_in()["org"]

        assert (org["name"], org["suspended_at"]) == ("Engines", "2026-11-22T12:00:00Z")
        assert members(accounts, ada) == {"Ada": "owner", "Eve": "member"}

    def test_change_what_is_their_own(self, accounts, ada):
        assert accounts.tell("change_name", actor=ada, name="Ada L")["name"] == "Ada L"
        passwords = {"current_password": PASSWORD, "new_password": "nine white egrets sleep"}
        accounts.tell("change_password", actor=ada, **passwords)

    def test_change_nothing_of_the_org(self, accounts, ada):
        assert refusal(accounts.tell, "change_org", actor=ada, name="Else") == REFUSED
        assert refusal(accounts.tell, "found_org", actor=ada, name="Another") == REFUSED
        assert refusal(invite, accounts, ada, "bob@example.com") == REFUSED
        [eve] = [one["account_id"] for one in accounts.ask("list_members", actor=ada) if one["name"] == "Eve"]
        assert refusal(accounts.tell, "hand_over_org", actor=ada, account_id=eve, password=PASSWORD) == REFUSED

    def test_go_on_in_another_org(self, accounts, ada):
        bob = accounts.sign_up("bob@example.com", name="Bob", org_name="Looms")
        accept(accounts, invited(accounts, bob, "ada@example.com"), actor=ada)

        switched = accounts.ask("switch_org", actor=ada, org_id=bob.org_id)

        there = accounts.actor_of(switched["token"])
        assert (there.org_id, switched["org"]["suspended_at"]) == (bob.org_id, None)
        assert accounts.tell("found_org", actor=there, name="Another")["suspended_at"] is None

    def test_leave_the_owner_last(self, accounts, ada):
        [eve] = [one["account_id"] for one in accounts.ask("list_members", actor=ada) if one["name"] == "Eve"]

        accounts.tell("remove_member", actor=ada, account_id=eve)

        assert accounts.tell("request_deletion", actor=ada, password=PASSWORD)["state"] == "requested"

    def test_have_everything_as_it_was_once_it_is_restored(self, accounts, ada):
        restore(accounts, ada.org_id)

        assert accounts.ask("get_org", actor=ada)["suspended_at"] is None
        assert accounts.tell("change_org", actor=ada, name="Else")["name"] == "Else"


class TestAnInvitation:
    def test_into_a_suspended_org_waits_until_it_is_restored(self, accounts):
        ada, bob = accounts.sign_up(), accounts.sign_up("bob@example.com", name="Bob")
        token = invited(accounts, ada, "bob@example.com")
        newcomers = invited(accounts, ada)
        suspend(accounts, ada.org_id)
        assert refusal(accept, accounts, token, actor=bob) == REFUSED
        assert refusal(accept_as_new, accounts, newcomers) == REFUSED
        with pytest.raises(errors.ServiceError, match="wrong_credentials"):
            accounts.sign_in("eve@example.com")
        restore(accounts, ada.org_id)

        accept(accounts, token, actor=bob)
        accept_as_new(accounts, newcomers)

        assert set(members(accounts, ada)) == {"Ada", "Bob", "Eve"}

    def test_can_be_withdrawn(self, accounts):
        ada = accounts.sign_up()
        invitation = invite(accounts, ada)
        suspend(accounts, ada.org_id)

        accounts.tell("withdraw_invitation", actor=ada, invitation_id=invitation["id"])

        assert accounts.ask("list_invitations", actor=ada) == []
