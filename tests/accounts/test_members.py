"""Who goes from an org, who gets it, and in which one acts."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.accounts import erasing
from shared import errors, outbox
from tests.accounts.conftest import PASSWORD
from tests.accounts.test_deletions import ask_to_leave, confirmed, join
from tests.accounts.test_invitations import EVE, invited, members, refusal

BOB = "bob@example.com"


@pytest.fixture
def ada(accounts):
    return accounts.sign_up(org_name="Engines")


@pytest.fixture
def eve(accounts, ada):
    """A member of Ada's org and of no other, signed in to it."""
    token = invited(accounts, ada)
    accounts.tell("accept_invitation", token=token, name="Eve", password=PASSWORD)
    return signed_in(accounts, EVE)


def signed_in(accounts, email=EVE):
    return accounts.actor_of(accounts.sign_in(email)["token"])


def remove(accounts, actor, account_id):
    return accounts.tell("remove_member", actor=actor, account_id=account_id)


def hand_over(accounts, actor, account_id, password=PASSWORD, **changes):
    return accounts.tell("hand_over_org", actor=actor, account_id=account_id, password=password, **changes)


def as_it_is(accounts, actor):
    """The same session, with the role that its person has now."""
    [role] = [one["role"] for one in accounts.ask("list_orgs", actor=actor) if one["id"] == actor.org_id]
    return type(actor)(kind="person", id=actor.id, org_id=actor.org_id, role=role, session_id=actor.session_id)


def told(accounts, name):
    outbox.sequence(accounts.database)
    with accounts.database.begin() as session:
        log = outbox.read_log(session, "accounts", after=0, limit=500)
    return [one.data for one in log if one.name == f"accounts.{name}"]


class TestRemove:
    def test_ends_the_sessions_in_the_org_and_no_others(self, accounts, ada):
        bob = accounts.sign_up(BOB)
        accounts.wait(minutes=1)
        join(accounts, ada.org_id, bob)
        own = accounts.sign_in(BOB)["token"]
        theirs = accounts.ask("switch_org", actor=signed_in(accounts, BOB), org_id=ada.org_id)["token"]

        remove(accounts, ada, bob.id)

        assert accounts.verify(own)["org_id"] == bob.org_id
        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(theirs)
        assert {one["org_id"] for one in accounts.ask("list_sessions", actor=bob)} == {bob.org_id}

    def test_tells_the_others_and_the_person(self, accounts, ada, eve):
        remove(accounts, ada, eve.id)

        assert members(accounts, ada) == {"Ada": "owner"}
        assert told(accounts, "MemberRemoved") == [{"org_id": ada.org_id, "account_id": eve.id}]
        [mail] = accounts.deliver()
        assert (EVE in mail["to"], mail["subject"]) == (True, "You are no longer in an organization")

    def test_is_the_owners_alone(self, accounts, ada, eve):
        bob = accounts.sign_up(BOB)
        join(accounts, ada.org_id, bob)

        assert refusal(remove, accounts, eve, bob.id) == ("Forbidden", "owner_only")
        assert refusal(remove, accounts, eve, ada.id) == ("Forbidden", "owner_only")

    def test_knows_nobody_of_another_org(self, accounts, ada):
        bob = accounts.sign_up(BOB)

        assert refusal(remove, accounts, ada, bob.id) == ("NotFound", "unknown_member")
        assert refusal(remove, accounts, ada, "acc_nobodys") == ("NotFound", "unknown_member")

    def test_twice_says_that_they_are_gone(self, accounts, ada, eve):
        remove(accounts, ada, eve.id)

        assert refusal(remove, accounts, ada, eve.id) == ("NotFound", "unknown_member")

    def test_lets_them_be_invited_again(self, accounts, ada, eve):
        remove(accounts, ada, eve.id)
        accounts.deliver()
        token = invited(accounts, ada)

        accounts.tell("accept_invitation", actor=signed_in(accounts), token=token)

        assert members(accounts, ada) == {"Ada": "owner", "Eve": "member"}


class TestLeaving:
    def test_is_for_a_member_and_mails_nobody(self, accounts, ada, eve):
        remove(accounts, eve, eve.id)

        assert members(accounts, ada) == {"Ada": "owner"}
        assert accounts.deliver() == []

    def test_is_not_for_the_owner(self, accounts, ada, eve):
        assert refusal(remove, accounts, ada, ada.id) == ("Conflict", "owner_stays")

    def test_leaves_who_is_in_no_org_one_of_their_own_at_the_next_sign_in(self, accounts, ada, eve):
        remove(accounts, eve, eve.id)

        answer, again = accounts.sign_in(EVE), accounts.sign_in(EVE)

        assert [(one["name"], one["role"]) for one in answer["orgs"]] == [("Eve", "owner")]
        assert answer["org"]["id"] == again["org"]["id"] != ada.org_id

    def test_founds_one_org_for_who_signs_in_twice_at_once(self, accounts, ada, eve):
        remove(accounts, eve, eve.id)
        ready = threading.Barrier(2)

        def try_it(number):
            ready.wait(5)
            return accounts.sign_in(EVE, command_id=f"cmd_at_once_{number}")["org"]["id"]

        with ThreadPoolExecutor(2) as pool:
            assert len(set(pool.map(try_it, range(2)))) == 1


class TestHandOver:
    def test_makes_the_one_owner_and_the_other_a_member(self, accounts, ada, eve):
        answer = hand_over(accounts, ada, eve.id)

        assert (answer["owner_id"], "legal_name" in answer) == (eve.id, False)
        assert members(accounts, eve) == {"Ada": "member", "Eve": "owner"}
        assert told(accounts, "OwnershipTransferred") == [
            {"org_id": ada.org_id, "former_owner_id": ada.id, "owner_id": eve.id}
        ]

    def test_tells_both_by_mail(self, accounts, ada, eve):
        hand_over(accounts, ada, eve.id)

        mails = {mail["subject"]: mail["to"] for mail in accounts.deliver()}
        assert "ada@example.com" in mails["You have handed over your organization"]
        assert EVE in mails["You own an organization now"]

    def test_shows_in_every_session_at_once(self, accounts, ada, eve):
        adas, eves = accounts.sign_in()["token"], accounts.sign_in(EVE)["token"]

        hand_over(accounts, ada, eve.id)

        assert [accounts.verify(token)["role"] for token in (adas, eves)] == ["member", "owner"]

    def test_wants_the_password(self, accounts, ada, eve):
        refused = refusal(hand_over, accounts, ada, eve.id, "seven grey herons swim")

        assert refused == ("Forbidden", "wrong_password")
        assert told(accounts, "OwnershipTransferred") == []

    def test_is_to_another_member_only(self, accounts, ada):
        bob = accounts.sign_up(BOB)

        assert refusal(hand_over, accounts, ada, bob.id) == ("NotFound", "unknown_member")
        assert refusal(hand_over, accounts, ada, ada.id) == ("Conflict", "already_owner")

    def test_is_refused_to_who_was_the_owner_a_moment_ago(self, accounts, ada, eve):
        """Their gateway may not know it yet."""
        hand_over(accounts, ada, eve.id)

        for door, arguments in (
            ("hand_over_org", {"account_id": ada.id, "password": PASSWORD}),
            ("remove_member", {"account_id": eve.id}),
            ("invite", {"email": "new@example.com"}),
            ("withdraw_invitation", {"invitation_id": "inv_1"}),
        ):
            assert refusal(accounts.tell, door, actor=ada, **arguments) == ("Forbidden", "owner_only"), door

    def test_lets_the_former_owner_leave_the_org_and_for_good(self, accounts, ada, eve):
        assert refusal(ask_to_leave, accounts, ada) == ("Conflict", "org_has_members")
        hand_over(accounts, ada, eve.id)

        former = as_it_is(accounts, ada)
        accounts.deliver()
        confirmed(accounts, former)
        accounts.wait(days=3)
        erasing.begin_due(accounts.database, public_url="https://chat.example")

        assert members(accounts, eve) == {"Eve": "owner"}
        assert told(accounts, "OrgErased") == []

    def test_to_who_is_leaving_for_good_keeps_them(self, accounts, ada, eve):
        accounts.deliver()
        confirmed(accounts, eve)
        hand_over(accounts, ada, eve.id)
        accounts.wait(days=3)

        erasing.begin_due(accounts.database, public_url="https://chat.example")

        assert told(accounts, "DeletionWithdrawn") == [{"account_id": eve.id, "reason": "org_has_members"}]
        assert members(accounts, eve) == {"Ada": "member", "Eve": "owner"}

    def test_to_two_at_once_reaches_one(self, accounts, ada, eve):
        bob, ready = accounts.sign_up(BOB), threading.Barrier(2)
        join(accounts, ada.org_id, bob)

        def try_it(account_id):
            ready.wait(5)
            try:
                return hand_over(accounts, ada, account_id, command_id=f"cmd_{account_id}")["owner_id"]
            except errors.Forbidden as refused:
                return refused.code

        with ThreadPoolExecutor(2) as pool:
            outcomes = sorted(pool.map(try_it, [eve.id, bob.id]))

        assert outcomes[1] == "owner_only"
        roles = {one["account_id"]: one["role"] for one in accounts.ask("list_members", actor=ada)}
        assert [one for one, role in roles.items() if role == "owner"] == [outcomes[0]]


class TestFoundAnother:
    def test_is_owned_and_leaves_the_session_where_it_is(self, accounts, ada):
        founded = accounts.tell("found_org", actor=ada, name=" Looms ")

        assert (founded["name"], founded["owner_id"]) == ("Looms", ada.id)
        orgs = {one["name"]: one["role"] for one in accounts.ask("list_orgs", actor=ada)}
        assert orgs == {"Engines": "owner", "Looms": "owner"}
        assert [one["org_id"] for one in told(accounts, "OrgFounded")] == [ada.org_id, founded["id"]]
        assert {one["org_id"] for one in accounts.ask("list_sessions", actor=ada)} == {ada.org_id}

    def test_repeated_by_its_command_id_founds_one(self, accounts, ada):
        twice = [accounts.tell("found_org", actor=ada, name="Looms", command_id="cmd_once")["id"] for _ in range(2)]

        assert len(set(twice)) == 1

    def test_is_bounded(self, accounts, ada):
        for number in range(9):
            accounts.tell("found_org", actor=ada, name=f"Looms {number}")

        assert refusal(accounts.tell, "found_org", actor=ada, name="Looms") == ("Conflict", "too_many_orgs")


class TestSwitch:
    def test_ends_the_session_and_begins_another_that_lasts_no_longer(self, accounts, ada):
        other = accounts.tell("found_org", actor=ada, name="Looms")["id"]
        before = accounts.sign_in(user_agent="Firefox")
        accounts.wait(days=1)

        answer = accounts.ask("switch_org", actor=accounts.actor_of(before["token"]), org_id=other)

        assert (answer["org"]["id"], accounts.verify(answer["token"])["org_id"]) == (other, other)
        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(before["token"])
        shown = {one["id"]: one for one in accounts.ask("list_sessions", actor=ada)}
        assert shown[answer["session_id"]]["user_agent"] == "Firefox"
        accounts.wait(days=6, hours=23)
        accounts.verify(answer["token"])
        for _ in range(4):
            accounts.wait(days=5, hours=12)
            accounts.verify(answer["token"])
        accounts.wait(days=1)
        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(answer["token"])

    def test_is_only_to_an_org_that_one_is_in(self, accounts, ada):
        bob = accounts.sign_up(BOB)

        for org_id in (bob.org_id, "org_nobodys"):
            assert refusal(accounts.ask, "switch_org", actor=ada, org_id=org_id) == ("NotFound", "unknown_org")

    def test_twice_with_the_same_session_begins_one(self, accounts, ada):
        accounts.ask("switch_org", actor=ada, org_id=ada.org_id)

        assert refusal(accounts.ask, "switch_org", actor=ada, org_id=ada.org_id) == ("NotFound", "unknown_session")

    def test_shows_a_member_no_more_than_a_member_sees(self, accounts, ada):
        bob = accounts.sign_up(BOB)
        join(accounts, ada.org_id, bob)

        assert "legal_name" not in accounts.ask("switch_org", actor=bob, org_id=ada.org_id)["org"]
