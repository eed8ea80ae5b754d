"""What the Org section says to the owner and to a member, and the page behind an invitation's link."""

import pytest

from services.gateway.pages import invitation, org
from tests.gateway.test_pages_said import render

pytestmark = pytest.mark.pure

__all__ = ["render"]

EVE = {"account_id": "acc_2", "name": "Eve", "role": "member", "joined_at": "2026-11-24T10:00:00Z"}
OPEN = {"id": "inv_1", "email": "bob@example.com", "expires_at": "2026-11-29T12:00:00Z"}


@pytest.fixture
def page(site, render):
    def show(**shown):
        engines = {"id": "org_1", "name": "Engines"}
        with site.test_request_context("/account/org"):
            forms = org.forms_of(engines)
        forms["owner"].account_id.choices = [("acc_2", "Eve")]
        lists = {"members": [], "others": [], "invitations": [], "orgs": [], "most": 100}
        return render("account/org", forms=forms, org=engines, **{**lists, **shown})

    return show


class TestOrg:
    def test_shows_a_member_the_orgs_name_and_nothing_that_is_the_owners(self, page):
        shown = page(role="member", members=[EVE])

        assert "The owner of the organization changes" in shown
        assert "Leave this organization" in shown
        for owners in ('name="legal_name"', "/remove", "/account/org/invitations", "/account/org/owner"):
            assert owners not in shown

    def test_promises_nothing_of_the_orgs_details_that_invoices_do_not_keep(self, page):
        shown = page()

        assert "Kept for your records and our support" in shown
        for untrue in ("As it stands on invoices", "Where invoices and payment notices go", "for billing."):
            assert untrue not in shown

    def test_lets_the_owner_remove_withdraw_and_hand_over_and_not_leave(self, page):
        shown = page(members=[EVE], others=[EVE], invitations=[OPEN])

        for action in ("members/acc_2/remove", "invitations/inv_1/withdraw", "owner"):
            assert f'action="/account/org/{action}"' in shown
        assert "Leave this organization" not in shown

    def test_has_nobody_to_hand_it_over_to_who_is_alone(self, page):
        assert 'action="/account/org/owner"' not in page()

    def test_marks_the_org_one_acts_in_and_leads_to_the_others(self, page):
        shown = page(orgs=[{"id": one, "name": one, "role": "owner"} for one in ("org_1", "org_2")])

        assert 'action="/account/orgs/org_2/switch"' in shown
        assert 'action="/account/orgs/org_1/switch"' not in shown

    def test_gives_no_two_fields_the_same_id(self, page):
        shown = page(members=[EVE], others=[EVE], invitations=[OPEN])

        found = [part.partition('"')[0] for part in shown.split(' id="')[1:]]
        assert sorted(set(found)) == sorted(found)


class TestInvitation:
    @pytest.mark.parametrize(
        "is_new, visitor, said",
        [
            (True, None, 'name="password"'),
            (False, None, "this address has an account"),
            (False, object(), "Join</button>"),
        ],
    )
    def test_asks_each_for_what_they_need(self, site, render, is_new, visitor, said):
        with site.test_request_context("/invitation"):
            form = (invitation.JoinAsNew if is_new else invitation.Join)(token="a-token")
        shown = {"org_name": "<b>Engines</b>", "email": "eve@example.com"}

        page = render("invitation", form=form, invitation=shown, is_new=is_new, visitor=visitor)

        assert said in page
        assert "Join &lt;b&gt;Engines" in page

    def test_says_of_a_link_that_is_no_longer_good_whom_to_ask(self, site, render):
        with site.test_request_context("/invitation"):
            form = invitation.Join()

        assert "Ask whoever invited you" in render("invitation", form=form, invitation=None)
