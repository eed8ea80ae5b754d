"""Somebody wants to leave: asked for with the password, confirmed by mail, withdrawn while there is time."""

import re

import pytest
from sqlalchemy import select

from services.accounts import account, deletions, models, org, projections, worker
from services.accounts.events import MemberJoined
from shared import context, errors, outbox, store
from tests.accounts.conftest import PASSWORD

MAILROOM = context.Actor(kind="service", id="mailroom")


def ask_to_leave(accounts, actor, **changes):
    return accounts.tell("request_deletion", actor=actor, **{"password": PASSWORD, **changes})


def confirm(accounts, token, **changes):
    return accounts.tell("confirm_deletion", token=token, **changes)


def confirmed(accounts, actor):
    ask_to_leave(accounts, actor)
    confirm(accounts, accounts.mailed_token())


def told(accounts):
    """What the others hear of accounts' deletions."""
    outbox.sequence(accounts.database)
    with accounts.database.begin() as session:
        log = outbox.read_log(session, "accounts", after=0, limit=500)
    return [(one.name.removeprefix("accounts."), one.data) for one in log if "Deletion" in one.name]


def join(accounts, org_id, member):
    """As if an invitation had been accepted."""
    fact = MemberJoined(org_id=org_id, account_id=member.id, role=org.MEMBER)
    with accounts.database.begin() as session:
        store.execute(session, projections.org_stream(org_id), projections.ORG, lambda _state: [fact])


class TestRequest:
    def test_mails_a_link_and_changes_nothing_yet(self, accounts):
        ada = accounts.sign_up()

        shown = ask_to_leave(accounts, ada)

        [mail] = accounts.deliver()
        assert "ada@example.com" in mail["to"]
        assert "https://chat.example/confirm-deletion?token=" in mail["text"]
        assert shown == accounts.ask("get_deletion", actor=ada)
        assert (shown["state"], shown["erases_at"]) == ("requested", None)
        assert told(accounts) == []

    def test_wants_the_password(self, accounts):
        ada = accounts.sign_up()

        with pytest.raises(errors.Forbidden, match="wrong_password"):
            ask_to_leave(accounts, ada, password="seven grey herons swim")

        assert accounts.deliver() == []

    def test_asked_again_makes_the_first_link_useless(self, accounts):
        ada = accounts.sign_up()
        ask_to_leave(accounts, ada)
        first = accounts.mailed_token()

        ask_to_leave(accounts, ada)
        second = accounts.mailed_token()

        with pytest.raises(errors.Invalid, match="invalid_token"):
            confirm(accounts, first)
        assert confirm(accounts, second)["state"] == "confirmed"

    def test_is_refused_to_the_owner_of_an_org_with_others_in_it(self, accounts):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")
        join(accounts, ada.org_id, eve)

        with pytest.raises(errors.Conflict, match="org_has_members") as refused:
            ask_to_leave(accounts, ada)

        assert refused.value.details == {"org_id": ada.org_id}
        assert ask_to_leave(accounts, eve)["state"] == "requested"

    def test_is_refused_when_it_is_confirmed_already(self, accounts):
        ada = accounts.sign_up()
        confirmed(accounts, ada)

        with pytest.raises(errors.Conflict, match="deletion_confirmed"):
            ask_to_leave(accounts, ada)


def write_in(accounts, email="ada@example.com", **changes):
    return accounts.tell("request_deletion_by_mail", actor=MAILROOM, **{"email": email, **changes})


class TestRequestByMail:
    def test_mails_a_link_that_confirms_and_changes_nothing_before(self, accounts):
        ada = accounts.sign_up()

        assert write_in(accounts, "Ada@Example.com") == {"known": True}

        token = accounts.mailed_token()
        assert told(accounts) == []
        assert confirm(accounts, token)["state"] == "confirmed"
        assert accounts.ask("get_deletion", actor=ada)["state"] == "confirmed"

    def test_mails_nothing_to_an_address_that_is_no_accounts(self, accounts):
        accounts.sign_up()
        accounts.register("eve@example.com")
        accounts.deliver()

        assert [write_in(accounts, email) for email in ("eve@example.com", "joe@example.com")] == [
            {"known": False},
            {"known": False},
        ]
        assert accounts.deliver() == []

    def test_mails_once_in_ten_minutes_however_often_it_is_asked(self, accounts):
        accounts.sign_up()

        answers = [write_in(accounts) for _ in range(5)]

        assert (answers, len(accounts.deliver())) == ([{"known": True}] * 5, 1)
        accounts.wait(minutes=10)
        write_in(accounts)
        assert len(accounts.deliver()) == 1

    def test_once_in_ten_minutes_also_when_the_request_was_withdrawn_meanwhile(self, accounts):
        ada = accounts.sign_up()
        write_in(accounts)
        accounts.deliver()
        accounts.tell("withdraw_deletion", actor=ada)

        write_in(accounts)

        assert accounts.deliver() == []

    def test_the_same_mail_again_does_nothing_even_after_that_time(self, accounts):
        accounts.sign_up()
        write_in(accounts, command_id="mail_1")
        accounts.deliver()
        accounts.wait(hours=1)

        assert write_in(accounts, command_id="mail_1") == {"known": True}
        assert accounts.deliver() == []

    def test_says_to_the_owner_of_others_to_hand_the_org_over_first_and_says_it_once(self, accounts):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")
        join(accounts, ada.org_id, eve)

        answers = [write_in(accounts), write_in(accounts)]

        [mail] = accounts.deliver()
        assert answers == [{"known": True}] * 2
        assert "Hand it over" in mail["text"]
        assert "token=" not in mail["text"]
        with pytest.raises(errors.NotFound, match="no_deletion"):
            accounts.ask("get_deletion", actor=ada)

    def test_leaves_a_confirmed_deletion_and_its_way_back_as_they_are(self, accounts):
        ada = accounts.sign_up()
        ask_to_leave(accounts, ada)
        confirm(accounts, accounts.mailed_token())
        withdrawal = accounts.mailed_token()

        assert write_in(accounts) == {"known": True}

        assert accounts.deliver() == []
        accounts.tell("withdraw_deletion_by_link", token=withdrawal)

    @pytest.mark.parametrize(
        "actor", [context.ANYONE, context.Actor(kind="service", id="bot-runtime"), context.Actor(kind="person")]
    )
    def test_is_for_our_own_mailroom_only(self, accounts, actor):
        with pytest.raises(errors.Forbidden, match="not_allowed"):
            accounts.tell("request_deletion_by_mail", actor=actor, email="ada@example.com")


class TestConfirm:
    def test_sets_the_date_and_says_it_by_mail_with_a_way_back(self, accounts):
        ada = accounts.sign_up()
        ask_to_leave(accounts, ada)

        shown = confirm(accounts, accounts.mailed_token())

        [mail] = accounts.deliver()
        assert (shown["state"], shown["erases_at"]) == ("confirmed", "2026-11-25T12:00:00Z")
        assert "25 November 2026 at 12:00 (UTC)" in mail["text"]
        assert "https://chat.example/withdraw-deletion?token=" in mail["text"]
        assert told(accounts) == [
            ("DeletionConfirmed", {"account_id": ada.id, "erases_at": "2026-11-25T12:00:00Z"}),
        ]

    def test_twice_is_once(self, accounts):
        ada = accounts.sign_up()
        ask_to_leave(accounts, ada)
        token = accounts.mailed_token()

        first = confirm(accounts, token)
        accounts.wait(hours=2)
        second = confirm(accounts, token)

        assert first == second
        assert (len(told(accounts)), len(accounts.deliver())) == (1, 1)

    def test_is_too_late_after_an_hour(self, accounts):
        ada = accounts.sign_up()
        ask_to_leave(accounts, ada)
        token = accounts.mailed_token()

        accounts.wait(hours=1)

        with pytest.raises(errors.Invalid, match="invalid_token"):
            confirm(accounts, token)
        with pytest.raises(errors.NotFound, match="no_deletion"):
            accounts.ask("get_deletion", actor=ada)

    def test_is_refused_if_others_have_joined_meanwhile(self, accounts):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")
        ask_to_leave(accounts, ada)
        token = accounts.mailed_token()
        join(accounts, ada.org_id, eve)

        with pytest.raises(errors.Conflict, match="org_has_members"):
            confirm(accounts, token)

    @pytest.mark.parametrize("token", ["", "x" * 43, "x" * 10_000])
    def test_does_not_know_any_other_token(self, accounts, token):
        with pytest.raises(errors.Invalid, match="invalid_token"):
            confirm(accounts, token)

    def test_leaves_everything_working_until_the_date(self, accounts):
        ada = accounts.sign_up()
        confirmed(accounts, ada)

        accounts.wait(hours=71)

        assert accounts.sign_in()["account"]["id"] == ada.id
        assert accounts.ask("get_deletion", actor=ada)["state"] == "confirmed"


class TestWithdraw:
    def test_restores_everything_and_says_so(self, accounts):
        ada = accounts.sign_up()
        confirmed(accounts, ada)
        accounts.deliver()

        accounts.tell("withdraw_deletion", actor=ada)

        [mail] = accounts.deliver()
        assert mail["subject"] == "Your account will not be deleted"
        assert told(accounts)[1:] == [("DeletionWithdrawn", {"account_id": ada.id, "reason": "person"})]
        with pytest.raises(errors.NotFound, match="no_deletion"):
            accounts.ask("get_deletion", actor=ada)
        assert ask_to_leave(accounts, ada)["state"] == "requested"

    def test_of_a_request_makes_its_link_useless_and_tells_nobody(self, accounts):
        ada = accounts.sign_up()
        ask_to_leave(accounts, ada)
        token = accounts.mailed_token()

        accounts.tell("withdraw_deletion", actor=ada)

        with pytest.raises(errors.Invalid, match="invalid_token"):
            confirm(accounts, token)
        assert (told(accounts), accounts.deliver()) == ([], [])

    def test_by_the_mailed_link_needs_no_session_and_works_once(self, accounts):
        ada = accounts.sign_up()
        confirmed(accounts, ada)
        token = accounts.mailed_token()

        accounts.tell("withdraw_deletion_by_link", token=token)

        with pytest.raises(errors.NotFound, match="no_deletion"):
            accounts.ask("get_deletion", actor=ada)
        with pytest.raises(errors.Invalid, match="invalid_token"):
            accounts.tell("withdraw_deletion_by_link", token=token)

    def test_cannot_be_done_with_the_link_that_confirms_nor_the_other_way_round(self, accounts):
        ada = accounts.sign_up()
        ask_to_leave(accounts, ada)
        to_confirm = accounts.mailed_token()
        confirm(accounts, to_confirm)
        to_withdraw = accounts.mailed_token()

        for method, token in (("withdraw_deletion_by_link", to_confirm), ("confirm_deletion", to_withdraw)):
            with pytest.raises(errors.Invalid, match="invalid_token"):
                accounts.tell(method, token=token)
        assert accounts.ask("get_deletion", actor=ada)["state"] == "confirmed"

    def test_of_nothing_is_refused_and_of_somebody_elses_impossible(self, accounts):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")
        confirmed(accounts, ada)

        with pytest.raises(errors.NotFound, match="no_deletion"):
            accounts.tell("withdraw_deletion", actor=eve)

        assert accounts.ask("get_deletion", actor=ada)["state"] == "confirmed"


class TestPrune:
    def test_forgets_a_request_that_nobody_confirmed_and_no_other(self, accounts):
        ada, eve = accounts.sign_up(), accounts.sign_up("eve@example.com")
        confirmed(accounts, ada)
        accounts.deliver()
        ask_to_leave(accounts, eve)

        accounts.wait(hours=1)
        worker.prune(accounts.database)

        with accounts.database.begin() as session:
            assert session.scalars(select(models.Deletion.account_id)).all() == [ada.id]


@pytest.mark.pure
class TestLeaveForGood:
    """What it means for each of the orgs that a person is in."""

    FOUNDED = org.Org(org_id="org_1", owner_id="acc_1", members=frozenset({"acc_1"}))
    SHARED = org.Org(org_id="org_1", owner_id="acc_1", members=frozenset({"acc_1", "acc_2"}))

    @pytest.mark.parametrize(
        "state, account_id, names",
        [
            pytest.param(FOUNDED, "acc_1", ["OrgErased"], id="the only one takes it along"),
            pytest.param(SHARED, "acc_2", ["MemberRemoved"], id="a member leaves it as it is"),
            pytest.param(SHARED, "acc_3", [], id="a stranger leaves nothing"),
            pytest.param(org.Org(), "acc_1", [], id="what was never founded"),
        ],
    )
    def test_is(self, state, account_id, names):
        facts = org.leave_for_good(state, account_id=account_id)

        assert [type(fact).__name__ for fact in facts] == names

    def test_is_refused_to_the_owner_of_others(self):
        with pytest.raises(errors.Conflict, match="org_has_members"):
            org.leave_for_good(self.SHARED, account_id="acc_1")

    def test_is_done_once(self):
        erased = org.leave_for_good(self.FOUNDED, account_id="acc_1")
        state = org.evolve(self.FOUNDED, erased[0])

        assert org.leave_for_good(state, account_id="acc_1") == []


@pytest.mark.pure
class TestAccountRules:
    def test_an_erased_account_takes_no_change(self):
        gone = account.Account(account_id="acc_1", is_erased=True)

        with pytest.raises(errors.NotFound, match="unknown_account"):
            account.change_profile(gone, profile_version=2)
        assert account.erase(gone) == account.withdraw_deletion(gone, reason="person") == []


def test_the_link_is_good_for_as_long_as_the_mail_says(accounts):
    ask_to_leave(accounts, accounts.sign_up())

    [mail] = accounts.deliver()

    minutes = int(re.search(r"good for (\d+) minutes", mail["text"])[1])
    assert minutes * 60 == deletions.LINK_LIFE.total_seconds()
