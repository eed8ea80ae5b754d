from dataclasses import replace

import pytest

from services.accounts import org
from services.accounts.events import (
    MemberJoined,
    MemberRemoved,
    OrgChanged,
    OrgErased,
    OrgFounded,
    OrgRestored,
    OrgSuspended,
    OwnershipTransferred,
)
from shared import errors

pytestmark = pytest.mark.pure

ENGINES = org.evolve(org.Org(), OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1))
OF_TWO = replace(ENGINES, members=frozenset({"acc_1", "acc_2"}))
SUSPENDED = org.evolve(OF_TWO, OrgSuspended(org_id="org_1", cause="abuse", reason_version=1))


class TestFound:
    def test_makes_the_founder_owner_and_first_member(self):
        facts = org.found(org.Org(), org_id="org_1", owner_id="acc_1", profile_version=1)

        assert facts == [
            OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1),
            MemberJoined(org_id="org_1", account_id="acc_1", role="owner"),
        ]

    def test_happens_once(self):
        with pytest.raises(errors.Conflict, match="org_exists"):
            org.found(ENGINES, org_id="org_1", owner_id="acc_2", profile_version=1)


class TestChangeProfile:
    def test_says_which_version_holds_now(self):
        assert org.change_profile(ENGINES, profile_version=2) == [OrgChanged(org_id="org_1", profile_version=2)]

    def test_needs_an_org(self):
        with pytest.raises(errors.NotFound, match="unknown_org"):
            org.change_profile(org.Org(), profile_version=2)


class TestJoin:
    def test_makes_a_member(self):
        assert org.join(ENGINES, account_id="acc_2") == [
            MemberJoined(org_id="org_1", account_id="acc_2", role="member")
        ]

    def test_happens_once(self):
        joined = replace(ENGINES, members=frozenset({"acc_2"}))

        with pytest.raises(errors.Conflict, match="already_member"):
            org.join(joined, account_id="acc_2")

    @pytest.mark.parametrize("gone", [org.Org(), replace(ENGINES, is_erased=True)], ids=["none", "erased"])
    def test_needs_an_org(self, gone):
        with pytest.raises(errors.NotFound, match="unknown_org"):
            org.join(gone, account_id="acc_2")

    def test_waits_until_the_org_is_restored(self):
        with pytest.raises(errors.Forbidden, match="org_suspended"):
            org.join(SUSPENDED, account_id="acc_3")


class TestSuspend:
    @pytest.mark.parametrize("cause", org.CAUSES)
    def test_stops_an_org_for_a_cause(self, cause):
        facts = org.suspend(ENGINES, cause=cause, reason_version=3)

        assert facts == [OrgSuspended(org_id="org_1", cause=cause, reason_version=3)]

    def test_changes_nothing_the_second_time(self):
        assert org.suspend(SUSPENDED, cause="fraud", reason_version=2) == []

    @pytest.mark.parametrize("gone", [org.Org(), replace(ENGINES, is_erased=True)], ids=["none", "erased"])
    def test_needs_an_org(self, gone):
        with pytest.raises(errors.NotFound, match="unknown_org"):
            org.suspend(gone, cause="abuse", reason_version=1)
        with pytest.raises(errors.NotFound, match="unknown_org"):
            org.restore(gone, reason_version=1)


class TestRestore:
    def test_lets_an_org_go_on_as_it_was(self):
        (fact,) = org.restore(SUSPENDED, reason_version=2)

        assert fact == OrgRestored(org_id="org_1", reason_version=2)
        assert org.evolve(SUSPENDED, fact) == OF_TWO

    def test_changes_nothing_of_one_that_is_not_suspended(self):
        assert org.restore(ENGINES, reason_version=2) == []

    def test_can_be_followed_by_another_suspension(self):
        restored = org.evolve(SUSPENDED, OrgRestored(org_id="org_1", reason_version=2))

        assert org.suspend(restored, cause="legal", reason_version=3)

    def test_is_not_needed_to_leave(self):
        assert org.dismiss(SUSPENDED, account_id="acc_2", by="acc_1") != []
        assert org.leave_for_good(replace(SUSPENDED, members=frozenset({"acc_1"})), account_id="acc_1") == [
            OrgErased(org_id="org_1")
        ]


class TestCheckOwner:
    def test_lets_the_owner_pass_and_nobody_else(self):
        org.check_owner(ENGINES, account_id="acc_1")

        with pytest.raises(errors.Forbidden, match="owner_only"):
            org.check_owner(ENGINES, account_id="acc_2")

    @pytest.mark.parametrize("gone", [org.Org(), replace(ENGINES, is_erased=True)], ids=["none", "erased"])
    def test_needs_an_org(self, gone):
        with pytest.raises(errors.NotFound, match="unknown_org"):
            org.check_owner(gone, account_id="acc_1")


class TestDismiss:
    @pytest.mark.parametrize("by", ["acc_1", "acc_2"], ids=["by the owner", "by themselves"])
    def test_ends_a_membership(self, by):
        assert org.dismiss(OF_TWO, account_id="acc_2", by=by) == [MemberRemoved(org_id="org_1", account_id="acc_2")]

    @pytest.mark.parametrize(
        "account_id, by, code",
        [
            ("acc_1", "acc_1", "owner_stays"),
            ("acc_1", "acc_2", "owner_only"),
            ("acc_3", "acc_2", "owner_only"),
            ("acc_3", "acc_1", "unknown_member"),
            ("acc_3", "acc_3", "unknown_member"),
        ],
    )
    def test_is_refused(self, account_id, by, code):
        with pytest.raises(errors.ServiceError, match=code):
            org.dismiss(OF_TWO, account_id=account_id, by=by)


class TestHandOver:
    def test_makes_a_member_the_owner(self):
        facts = org.hand_over(OF_TWO, account_id="acc_2", by="acc_1")

        assert facts == [OwnershipTransferred(org_id="org_1", former_owner_id="acc_1", owner_id="acc_2")]
        after = org.evolve(OF_TWO, facts[0])
        assert (after.owner_id, after.members) == ("acc_2", OF_TWO.members)

    @pytest.mark.parametrize(
        "account_id, by, code",
        [
            ("acc_1", "acc_1", "already_owner"),
            ("acc_3", "acc_1", "unknown_member"),
            ("acc_2", "acc_2", "owner_only"),
            ("acc_1", "acc_2", "owner_only"),
        ],
    )
    def test_is_refused(self, account_id, by, code):
        with pytest.raises(errors.ServiceError, match=code):
            org.hand_over(OF_TWO, account_id=account_id, by=by)


class TestCheckRoom:
    def test_is_for_ten(self):
        org.check_room(9)

        with pytest.raises(errors.Conflict, match="too_many_orgs"):
            org.check_room(10)


class TestEvolve:
    def test_leaves_what_it_does_not_know_alone(self):
        assert org.evolve(ENGINES, OrgChanged(org_id="org_1", profile_version=2)) == ENGINES
