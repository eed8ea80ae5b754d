"""What the owner sees of the org's people and its details: by whom, in which session, and of nobody else's."""

import pytest

from services.accounts import projections
from tests.accounts.conftest import PASSWORD
from tests.accounts.test_invitations import EVE, invited
from tests.accounts.test_members import as_it_is, hand_over, remove, signed_in
from tests.activity import is_made_again, pages, who_may


@pytest.fixture
def ada(accounts):
    return accounts.sign_up(org_name="Engines")


@pytest.fixture
def eve(accounts, ada):
    """A member of Ada's org, by a mailed link."""
    accounts.wait(minutes=1)
    token = invited(accounts, ada)
    accounts.tell("accept_invitation", token=token, name="Eve", password=PASSWORD)
    accounts.wait(minutes=1)
    return signed_in(accounts, EVE)


def seen(accounts, actor):
    found = accounts.ask("list_activity", actor=actor)
    subjects = [one["subject"] and one["subject"]["name"] for one in found]
    return [(one["what"], one["actor"]["id"], subject) for one, subject in zip(found, subjects, strict=True)]


class TestListActivity:
    def test_tells_who_came_what_was_changed_and_who_went(self, accounts, ada, eve):
        accounts.tell("change_org", actor=ada, tax_id="GB 1")
        before = seen(accounts, ada)
        accounts.wait(minutes=1)
        remove(accounts, ada, eve.id)

        after = seen(accounts, ada)

        assert before == [
            ("org_changed", ada.id, None),
            ("member_joined", "", "Eve"),
            ("org_founded", "", None),
        ]
        assert after[:2] == [("member_removed", ada.id, None), ("org_changed", ada.id, None)]
        assert after[2] == ("member_joined", "", None)  # who is no member has no name here
        changed = accounts.ask("list_activity", actor=ada)[1]
        assert changed["actor"] == {"kind": "person", "id": ada.id, "session_id": ada.session_id}
        assert ada.session_id

    def test_tells_that_somebody_left_and_to_whom_the_org_was_handed(self, accounts, ada, eve):
        hand_over(accounts, ada, eve.id)
        accounts.wait(minutes=1)
        remove(accounts, as_it_is(accounts, ada), ada.id)

        found = seen(accounts, as_it_is(accounts, eve))

        assert found[:2] == [("member_left", ada.id, None), ("ownership_transferred", ada.id, "Eve")]

    def test_is_turned_page_by_page_though_all_happened_at_the_same_moment(self, accounts, ada):
        for number in range(5):
            accounts.tell("change_org", actor=ada, tax_id=f"GB {number}")

        found = pages(accounts.doors, ada, limit=2)

        assert sorted(one["what"] for one in found) == [*["org_changed"] * 5, "org_founded"]
        assert len({one["id"] for one in found}) == 6

    def test_shows_no_other_orgs_and_nothing_of_peoples_own_accounts(self, accounts, ada):
        accounts.tell("change_name", actor=ada, name="Ada King")
        bob = accounts.sign_up("bob@example.com")

        assert seen(accounts, bob) == [("org_founded", "", None)]
        assert [what for what, _, _ in seen(accounts, ada)] == ["org_founded"]

    def test_is_for_the_owner_alone(self, accounts, ada):
        assert who_may(accounts.doors, ada.org_id) == {"owner"}

    def test_is_made_again_by_a_rebuild(self, accounts, ada, eve):
        accounts.tell("change_org", actor=ada, tax_id="GB 1")
        remove(accounts, ada, eve.id)

        assert is_made_again(accounts.database, "accounts", projections.READ_MODELS)


class TestNameMembers:
    def test_gives_the_names_of_members_and_of_nobody_else(self, accounts, ada, eve):
        bob = accounts.sign_up("bob@example.com")
        asked = [ada.id, eve.id, bob.id, ada.org_id, "acc_nobody"]
        before = accounts.ask("name_members", actor=ada, account_ids=asked)
        remove(accounts, ada, eve.id)

        assert before == {ada.id: "Ada", eve.id: "Eve"}
        assert accounts.ask("name_members", actor=ada, account_ids=asked) == {ada.id: "Ada"}
