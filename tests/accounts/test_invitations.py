"""Who is invited, and what became of it; whoever has an account, and whoever has none."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from services.accounts import erasing, invitations, models, worker
from shared import errors
from tests.accounts.conftest import PASSWORD
from tests.accounts.test_deletions import confirmed
from tests.databases import everything_in

EVE = "eve@example.com"


@pytest.fixture
def ada(accounts):
    return accounts.sign_up(org_name="Engines")


def invite(accounts, owner, email=EVE, **changes):
    return accounts.tell("invite", actor=owner, email=email, **changes)


def invited(accounts, owner, email=EVE):
    """The token that was mailed."""
    invite(accounts, owner, email)
    return accounts.mailed_token()


def accept(accounts, token, **changes):
    return accounts.tell("accept_invitation", token=token, **changes)


def accept_as_new(accounts, token, **changes):
    return accept(accounts, token, **{"name": "Eve", "password": PASSWORD, **changes})


def refusal(call, *arguments, **named):
    with pytest.raises(errors.ServiceError) as refused:
        call(*arguments, **named)
    return type(refused.value).__name__, refused.value.code


def members(accounts, owner):
    return {one["name"]: one["role"] for one in accounts.ask("list_members", actor=owner)}


def emails_open(accounts, owner):
    return [one["email"] for one in accounts.ask("list_invitations", actor=owner)]


class TestInvite:
    def test_mails_a_link_and_shows_when_it_ends(self, accounts, ada):
        shown = invite(accounts, ada, "Eve@Example.com")

        [mail] = accounts.deliver()
        assert "Eve@example.com" in mail["to"]
        assert "https://chat.example/invitation?token=" in mail["text"]
        assert (shown["email"], shown["expires_at"]) == ("Eve@example.com", "2026-11-29T12:00:00Z")
        assert accounts.ask("list_invitations", actor=ada) == [shown]
        assert members(accounts, ada) == {"Ada": "owner"}

    def test_tells_nobody_whether_the_address_has_an_account(self, accounts, ada):
        accounts.sign_up(EVE)
        accounts.deliver()

        shown = [invite(accounts, ada, email) for email in (EVE, "new@example.com")]

        mails = [mail["text"].partition("?token=")[0] for mail in accounts.deliver()]
        assert len(set(mails)) == 1
        assert [set(one) for one in shown] == [{"id", "email", "created_at", "expires_at"}] * 2

    def test_says_nothing_that_anybody_typed(self, accounts, ada):
        invite(accounts, ada)

        [mail] = accounts.deliver()

        assert "Engines" not in str(mail)
        assert "Ada" not in str(mail)

    def test_again_makes_the_link_before_useless(self, accounts, ada):
        first, second = invited(accounts, ada), invited(accounts, ada)

        assert refusal(accept_as_new, accounts, first) == ("Invalid", "invalid_invitation")
        assert accept_as_new(accounts, second)["org"]["id"] == ada.org_id

    def test_is_refused_for_a_member_and_for_oneself(self, accounts, ada):
        accept_as_new(accounts, invited(accounts, ada))

        for email in ("EVE@example.com", "ada@example.com"):
            assert refusal(invite, accounts, ada, email) == ("Conflict", "already_member")

    def test_is_bounded_for_one_address_whatever_became_of_them(self, accounts, ada):
        for _ in range(3):
            withdrawn = invite(accounts, ada)["id"]
            accounts.tell("withdraw_invitation", actor=ada, invitation_id=withdrawn)

        assert refusal(invite, accounts, ada) == ("Conflict", "too_many_invitations")
        accounts.wait(days=7)
        assert invite(accounts, ada)["email"] == EVE

    def test_is_bounded_for_an_org(self, accounts, ada):
        for number in range(50):
            invite(accounts, ada, f"eve{number}@example.com")

        assert refusal(invite, accounts, ada) == ("Conflict", "too_many_invitations")

    def test_repeated_by_its_command_id_mails_once(self, accounts, ada):
        first = invite(accounts, ada, command_id="cmd_once")

        assert invite(accounts, ada, command_id="cmd_once") == first
        assert len(accounts.deliver()) == 1

    @pytest.mark.parametrize("door", ["invite", "list_invitations", "withdraw_invitation"])
    def test_is_the_owners_alone(self, accounts, ada, door):
        accept_as_new(accounts, invited(accounts, ada))
        eve = accounts.actor_of(accounts.sign_in(EVE)["token"])
        arguments = {
            "invite": {"email": "new@example.com", "command_id": "cmd_1"},
            "withdraw_invitation": {"invitation_id": "inv_1", "command_id": "cmd_1"},
        }

        assert refusal(accounts.ask, door, actor=eve, **arguments.get(door, {})) == ("Forbidden", "owner_only")

    def test_leaves_no_token_in_any_table(self, accounts, ada):
        token = invited(accounts, ada)

        everything = everything_in(accounts.database)

        assert token not in everything
        assert token.encode().hex() not in everything


class TestWithdraw:
    def test_makes_the_link_useless_and_the_list_shorter(self, accounts, ada):
        token = invited(accounts, ada)
        [one] = accounts.ask("list_invitations", actor=ada)

        accounts.tell("withdraw_invitation", actor=ada, invitation_id=one["id"])

        assert emails_open(accounts, ada) == []
        assert refusal(accept_as_new, accounts, token) == ("Invalid", "invalid_invitation")

    def test_is_done_once_and_only_to_ones_own(self, accounts, ada):
        other = accounts.sign_up("bob@example.com")
        mine = invite(accounts, ada)["id"]
        withdraw = {"invitation_id": mine}

        assert refusal(accounts.tell, "withdraw_invitation", actor=other, **withdraw)[1] == "unknown_invitation"
        assert emails_open(accounts, ada) == [EVE]
        accounts.tell("withdraw_invitation", actor=ada, **withdraw)
        assert refusal(accounts.tell, "withdraw_invitation", actor=ada, **withdraw)[1] == "unknown_invitation"


class TestAccept:
    def test_as_somebody_new_opens_the_account_and_joins(self, accounts, ada):
        answer = accept_as_new(accounts, invited(accounts, ada))

        assert (answer["account"]["email"], answer["org"]["name"]) == (EVE, "Engines")
        assert members(accounts, ada) == {"Ada": "owner", "Eve": "member"}
        signed_in = accounts.sign_in(EVE)
        assert [(one["id"], one["role"]) for one in signed_in["orgs"]] == [(ada.org_id, "member")]
        assert emails_open(accounts, ada) == []

    def test_with_a_session_joins_besides_ones_own_org(self, accounts, ada):
        eve = accounts.sign_up(EVE)
        token = invited(accounts, ada, "eve@EXAMPLE.com")

        answer = accept(accounts, token, actor=eve)

        assert answer["org"]["id"] == ada.org_id
        assert "legal_name" not in answer["org"]
        roles = {one["id"]: one["role"] for one in accounts.ask("list_orgs", actor=eve)}
        assert roles == {eve.org_id: "owner", ada.org_id: "member"}

    def test_wants_the_account_of_the_invited_address(self, accounts, ada):
        bob = accounts.sign_up("bob@example.com")
        token = invited(accounts, ada)

        assert refusal(accept, accounts, token, actor=bob) == ("Forbidden", "other_address")
        assert accept_as_new(accounts, token)["org"]["id"] == ada.org_id

    def test_without_a_session_is_refused_where_the_address_has_an_account(self, accounts, ada):
        accounts.sign_up(EVE)
        token = invited(accounts, ada)

        assert refusal(accept_as_new, accounts, token) == ("Conflict", "sign_in_to_accept")

    @pytest.mark.parametrize(
        "changes, code",
        [
            ({"name": ""}, "invalid_name"),
            ({"password": ""}, "password_too_short"),
            ({"password": "chatness chatness eve"}, "password_too_common"),
        ],
    )
    def test_as_somebody_new_wants_a_name_and_a_good_password(self, accounts, ada, changes, code):
        token = invited(accounts, ada)

        assert refusal(accept_as_new, accounts, token, **changes) == ("Invalid", code)
        assert accept_as_new(accounts, token)["account"]["name"] == "Eve"

    def test_takes_a_token_once(self, accounts, ada):
        token = invited(accounts, ada)
        accept_as_new(accounts, token)
        eve = accounts.actor_of(accounts.sign_in(EVE)["token"])

        assert refusal(accept_as_new, accounts, token) == ("Invalid", "invalid_invitation")
        assert refusal(accept, accounts, token, actor=eve) == ("Invalid", "invalid_invitation")

    def test_repeated_by_its_command_id_answers_the_same(self, accounts, ada):
        token = invited(accounts, ada)

        first, again = (accept_as_new(accounts, token, command_id="cmd_once") for _ in range(2))

        assert first == again
        assert members(accounts, ada) == {"Ada": "owner", "Eve": "member"}

    @pytest.mark.parametrize("early", [1, 0], ids=["a microsecond before", "at the moment"])
    def test_takes_it_until_seven_days_are_over(self, accounts, ada, early):
        token = invited(accounts, ada)
        accounts.wait(days=7, microseconds=-early)

        if early:
            assert accept_as_new(accounts, token)["org"]["id"] == ada.org_id
            return
        assert refusal(accept_as_new, accounts, token) == ("Invalid", "invalid_invitation")
        assert emails_open(accounts, ada) == []

    def test_refuses_a_token_that_was_mailed_for_something_else(self, accounts, ada):
        accounts.register("bob@example.com")

        for token in ("x" * 43, accounts.mailed_token()):
            assert refusal(accept_as_new, accounts, token) == ("Invalid", "invalid_invitation")

    def test_says_already_member_to_whoever_came_in_by_another_way(self, accounts, ada):
        eve = accounts.sign_up(EVE)
        token = invited(accounts, ada)
        accept(accounts, token, actor=eve)
        with accounts.database.begin() as session:  # as it would be had two been open
            session.scalars(select(models.Invitation)).one().state = "open"

        assert refusal(accept, accounts, token, actor=eve) == ("Conflict", "already_member")

    def test_is_refused_when_the_org_was_erased_meanwhile(self, accounts, ada):
        token = invited(accounts, ada)
        confirmed(accounts, ada)
        accounts.deliver()
        accounts.wait(days=3)

        erasing.begin_due(accounts.database, public_url="https://chat.example")

        assert refusal(accept_as_new, accounts, token) == ("Invalid", "invalid_invitation")
        assert EVE not in everything_in(accounts.database)

    def test_succeeds_once_of_two_at_the_same_moment(self, accounts, ada):
        token, ready = invited(accounts, ada), threading.Barrier(2)

        def try_it(name):
            ready.wait(5)
            try:
                return accept_as_new(accounts, token, name=name)["account"]["name"]
            except errors.ServiceError as refused:
                return refused.code

        with ThreadPoolExecutor(2) as pool:
            outcomes = set(pool.map(try_it, ["Eve", "Eva"]))

        assert len(outcomes & {"Eve", "Eva"}) == 1
        assert outcomes - {"Eve", "Eva"} <= {"invalid_invitation", "sign_in_to_accept"}
        assert set(members(accounts, ada)) == {"Ada"} | outcomes & {"Eve", "Eva"}


class TestLookAt:
    def test_says_to_whoever_holds_the_link_what_it_is_about(self, accounts, ada):
        token = invited(accounts, ada)

        before = accounts.ask("get_invitation", token=token)
        accounts.sign_up(EVE)

        assert before == {"org_name": "Engines", "email": EVE, "has_account": False}
        assert accounts.ask("get_invitation", token=token)["has_account"] is True
        assert refusal(accounts.ask, "get_invitation", token="x") == ("Invalid", "invalid_invitation")


class TestForgetting:
    def test_of_a_person_takes_the_invitations_to_their_address(self, accounts, ada):
        eve = accounts.sign_up(EVE)
        invited(accounts, ada)
        confirmed(accounts, eve)
        accounts.deliver()
        accounts.wait(days=3)

        erasing.begin_due(accounts.database, public_url="https://chat.example")

        assert emails_open(accounts, ada) == []

    def test_comes_with_the_pruning_after_seven_days(self, accounts, ada):
        invited(accounts, ada)
        accounts.wait(days=7)

        worker.prune(accounts.database)

        with accounts.database.begin() as session:
            assert session.scalars(select(models.Invitation)).all() == []
            assert invitations.LIFE.days == 7
