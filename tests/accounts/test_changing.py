"""Another password and another address, through the doors."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from services.accounts import models, worker
from shared import context, errors
from tests import databases
from tests.accounts.conftest import PASSWORD

NEW = "nine white egrets sleep"
WRONG = "seven grey herons sit"


def code_of(ask, *arguments, **changes):
    """Of the refusal, or empty."""
    try:
        ask(*arguments, **changes)
    except errors.ServiceError as refused:
        return refused.code
    return ""


def change_password(accounts, actor, *, current=PASSWORD, new=NEW, **changes):
    return accounts.tell("change_password", actor=actor, current_password=current, new_password=new, **changes)


def ask_for(accounts, actor, email, *, password=PASSWORD, **changes):
    return accounts.tell("request_email_change", actor=actor, email=email, current_password=password, **changes)


def confirm(accounts, token, **changes):
    return accounts.tell("confirm_email", token=token, **changes)


def undo(accounts, token, **changes):
    return accounts.tell("undo_email_change", token=token, **changes)


def move(accounts, actor, email, **changes):
    """Change the address; gives the token of the way back."""
    ask_for(accounts, actor, email, **changes)
    confirm(accounts, accounts.mailed_token())
    return accounts.mailed_token()


def may_sign_in(accounts, email, password=PASSWORD):
    return code_of(accounts.sign_in, email, password) == ""


def names_of_events(accounts, actor):
    with accounts.database.begin() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT name, data::text FROM events WHERE stream = %s ORDER BY version", (f"account-{actor.id}",)
        )
        return list(rows)


@pytest.fixture
def ada(accounts):
    return accounts.sign_up()


class TestChangePassword:
    def test_sets_it_ends_the_other_sessions_and_tells_the_owner(self, accounts, ada):
        other = accounts.sign_in()["token"]

        assert change_password(accounts, ada) == {}

        (arrived,) = accounts.deliver()
        assert (arrived["to"], arrived["subject"]) == ("ada@example.com", "Your password was changed")
        assert NEW not in arrived["text"]
        assert (may_sign_in(accounts, "ada@example.com"), may_sign_in(accounts, "ada@example.com", NEW)) == (
            False,
            True,
        )
        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(other)
        assert ada.session_id in [one["id"] for one in accounts.ask("list_sessions", actor=ada)]

    def test_needs_the_present_one_and_says_where_it_was_wrong(self, accounts, ada):
        with pytest.raises(errors.Forbidden, match="wrong_password") as refused:
            change_password(accounts, ada, current=WRONG)

        assert refused.value.details["errors"][0]["pointer"] == "/current_password"
        assert may_sign_in(accounts, "ada@example.com")

    def test_bounds_how_often_whoever_has_the_session_may_guess(self, accounts, ada):
        codes = []
        for number in range(11):
            with context.use(client=f"192.0.2.{number}"):
                codes.append(code_of(change_password, accounts, ada, current=WRONG))

        assert codes == ["wrong_password"] * 10 + ["rate_limited"]
        assert may_sign_in(accounts, "ada@example.com")

    @pytest.mark.parametrize(
        "new, code",
        [
            ("fourteen chars", "password_too_short"),
            ("p" * 1_000_000, "password_too_long"),
            ("AdaLovelace-1815", "password_too_common"),
        ],
    )
    def test_has_the_rules_of_a_first_password(self, accounts, new, code):
        actor = accounts.sign_up("adalovelace@example.com")

        with pytest.raises(errors.Invalid) as refused:
            change_password(accounts, actor, new=new)

        assert refused.value.code == code
        assert refused.value.details["errors"][0]["pointer"] == "/new_password"

    def test_repeated_by_its_command_id_is_done_once(self, accounts, ada):
        change_password(accounts, ada, command_id="cmd_once")
        since = accounts.sign_in(password=NEW)["token"]

        assert change_password(accounts, ada, command_id="cmd_once") == {}
        assert accounts.verify(since)["role"] == "owner"
        assert code_of(change_password, accounts, ada, new=WRONG, command_id="cmd_once") == "idempotency_key_reused"
        assert len(accounts.deliver()) == 1

    def test_ends_links_that_were_mailed_before(self, accounts, ada):
        accounts.tell("request_password_reset", email="ada@example.com")
        reset = accounts.mailed_token()
        ask_for(accounts, ada, "ada@new.example")
        change = accounts.mailed_token()

        change_password(accounts, ada)

        assert code_of(accounts.tell, "reset_password", token=reset, password=WRONG) == "invalid_token"
        assert code_of(confirm, accounts, change) == "invalid_token"

    def test_of_two_at_once_one_is_done(self, accounts, ada):
        ready = threading.Barrier(2)

        def try_it(new):
            ready.wait(5)
            return code_of(change_password, accounts, ada, new=new)

        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(try_it, [NEW, WRONG]))

        assert sorted(codes) == ["", "wrong_password"]

    def test_is_for_people(self, accounts):
        assert code_of(change_password, accounts, context.Actor(kind="secret", id="sec_1")) == "not_allowed"


class TestChangeEmail:
    def test_changes_nothing_until_the_new_address_is_confirmed(self, accounts, ada):
        assert ask_for(accounts, ada, "Ada@New.example") == {}

        (arrived,) = accounts.deliver()
        assert arrived["to"] == "Ada@new.example"
        assert "https://chat.example/change-email?token=" in arrived["text"]
        assert accounts.ask("get_account", actor=ada)["email"] == "ada@example.com"
        assert (may_sign_in(accounts, "ada@example.com"), may_sign_in(accounts, "ada@new.example")) == (True, False)

    def test_then_changes_it_ends_the_other_sessions_and_tells_the_old_address(self, accounts, ada):
        other = accounts.sign_in()["token"]
        ask_for(accounts, ada, "ada@new.example")

        answer = confirm(accounts, accounts.mailed_token())

        (arrived,) = accounts.deliver()
        assert (answer["account"]["email"], answer["org"]["id"]) == ("ada@new.example", ada.org_id)
        assert arrived["to"] == "ada@example.com"
        assert "https://chat.example/undo-email?token=" in arrived["text"]
        assert "new.example" not in arrived["text"]
        assert (may_sign_in(accounts, "ada@example.com"), may_sign_in(accounts, "ada@new.example")) == (False, True)
        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(other)
        assert ada.session_id in [one["id"] for one in accounts.ask("list_sessions", actor=ada)]

    def test_is_told_without_the_address(self, accounts, ada):
        undo(accounts, move(accounts, ada, "ada@new.example"))

        told = names_of_events(accounts, ada)
        assert [name for name, _data in told] == [
            "accounts.AccountRegistered",
            "accounts.EmailChanged",
            "accounts.EmailChanged",
        ]
        assert "example" not in "".join(data for _name, data in told)
        profile = accounts.ask("get_profile", actor=context.Actor(kind="service", id="x"), account_id=ada.id)
        assert (profile["email"], profile["profile_version"]) == ("ada@example.com", 3)

    @pytest.mark.parametrize("taken", [True, False])
    def test_answers_the_same_whether_the_address_is_anothers(self, accounts, ada, taken):
        if taken:
            accounts.sign_up("eve@example.com")

        assert ask_for(accounts, ada, "eve@example.com") == {}

        (arrived,) = accounts.deliver()
        assert arrived["to"] == "eve@example.com"
        assert ("token=" in arrived["text"]) == (not taken)

    def test_needs_the_password_and_an_address_and_another_one(self, accounts, ada):
        assert code_of(ask_for, accounts, ada, "ada@new.example", password=WRONG) == "wrong_password"
        assert code_of(ask_for, accounts, ada, "nowhere\r\nBcc: eve@example.com") == "invalid_email"
        assert code_of(ask_for, accounts, ada, "ada@example.com") == "email_unchanged"
        assert accounts.deliver() == []

    def test_may_change_the_spelling(self, accounts, ada):
        move(accounts, ada, "Ada@example.com")

        assert accounts.ask("get_account", actor=ada)["email"] == "Ada@example.com"

    def test_of_two_accounts_that_want_one_address_one_gets_it(self, accounts, ada):
        eve = accounts.sign_up("eve@example.com")
        tokens = []
        for actor in (ada, eve):
            ask_for(accounts, actor, "both@new.example")
            tokens.append(accounts.mailed_token())
        ready = threading.Barrier(2)

        def try_it(token):
            ready.wait(5)
            return code_of(confirm, accounts, token)

        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(try_it, tokens))

        assert sorted(codes) == ["", "invalid_token"]
        emails = {accounts.ask("get_account", actor=actor)["email"] for actor in (ada, eve)}
        assert emails in ({"both@new.example", "eve@example.com"}, {"both@new.example", "ada@example.com"})

    def test_does_not_take_an_address_that_somebody_registered_meanwhile(self, accounts, ada):
        ask_for(accounts, ada, "eve@example.com")
        token = accounts.mailed_token()
        accounts.sign_up("eve@example.com")

        assert code_of(confirm, accounts, token) == "invalid_token"
        assert accounts.ask("get_account", actor=ada)["email"] == "ada@example.com"

    def test_takes_a_token_once_and_only_the_newest(self, accounts, ada):
        ask_for(accounts, ada, "ada@one.example")
        older = accounts.mailed_token()
        ask_for(accounts, ada, "ada@two.example")
        newer = accounts.mailed_token()

        codes = [code_of(confirm, accounts, token) for token in (older, newer, newer)]

        assert codes == ["invalid_token", "", "invalid_token"]
        assert accounts.ask("get_account", actor=ada)["email"] == "ada@two.example"

    @pytest.mark.parametrize("early", [1, 0], ids=["a microsecond before", "at the moment"])
    def test_takes_the_token_until_the_hour_is_over(self, accounts, ada, early):
        ask_for(accounts, ada, "ada@new.example")
        token = accounts.mailed_token()
        accounts.wait(hours=1, microseconds=-early)

        assert code_of(confirm, accounts, token) == ("" if early else "invalid_token")

    def test_ends_links_for_a_new_password_that_lie_in_the_old_mailbox(self, accounts, ada):
        accounts.tell("request_password_reset", email="ada@example.com")
        reset = accounts.mailed_token()

        move(accounts, ada, "ada@new.example")

        assert code_of(accounts.tell, "reset_password", token=reset, password=NEW) == "invalid_token"

    def test_repeated_by_its_command_id_mails_once(self, accounts, ada):
        for _ in range(2):
            ask_for(accounts, ada, "ada@new.example", command_id="cmd_once")
        token = accounts.mailed_token()

        first, again = (confirm(accounts, token, command_id="cmd_confirm") for _ in range(2))

        assert first == again
        assert len(accounts.deliver()) == 1

    def test_bounds_how_many_mails_one_account_sends(self, accounts, ada):
        codes = [code_of(ask_for, accounts, ada, f"ada@{number}.example") for number in range(6)]

        assert codes == [""] * 5 + ["rate_limited"]

    def test_keeps_no_token(self, accounts, ada):
        ask_for(accounts, ada, "ada@new.example")
        token = accounts.mailed_token()
        confirm(accounts, token)
        way_back = accounts.mailed_token()

        everything = databases.everything_in(accounts.database)
        assert token not in everything
        assert way_back not in everything


class TestUndo:
    def test_gives_the_address_back_and_signs_out_everywhere(self, accounts, ada):
        token = move(accounts, ada, "ada@new.example")

        assert undo(accounts, token) == {}

        assert accounts.ask("get_account", actor=ada)["email"] == "ada@example.com"
        assert accounts.ask("list_sessions", actor=ada) == []

    def test_shuts_out_whoever_knew_the_password_until_another_is_set_with_the_mailed_link(self, accounts, ada):
        token = move(accounts, ada, "eve@evil.example")
        undo(accounts, token)

        before = [may_sign_in(accounts, email) for email in ("ada@example.com", "eve@evil.example")]
        (arrived,) = accounts.deliver()
        reset = re.search(r"reset-password\?token=([\w-]{43})", arrived["text"])[1]
        accounts.tell("reset_password", token=reset, password=NEW)

        assert before == [False, False]
        assert arrived["to"] == "ada@example.com"
        assert may_sign_in(accounts, "ada@example.com", NEW)

    def test_works_from_the_first_mailbox_whatever_was_changed_after(self, accounts, ada):
        first = move(accounts, ada, "eve@evil.example")
        second = move(accounts, ada, "eve@worse.example")
        ask_for(accounts, ada, "eve@worst.example")
        wish = accounts.mailed_token()

        undo(accounts, first)

        assert accounts.ask("get_account", actor=ada)["email"] == "ada@example.com"
        assert [code_of(undo, accounts, token) for token in (first, second)] == ["invalid_token"] * 2
        assert code_of(confirm, accounts, wish) == "invalid_token"

    @pytest.mark.parametrize("confirmed", [False, True])
    def test_withdraws_the_deletion_that_was_asked_for_meanwhile(self, accounts, ada, confirmed):
        token = move(accounts, ada, "eve@evil.example")
        accounts.tell("request_deletion", actor=ada, password=PASSWORD)
        link = accounts.mailed_token()
        if confirmed:
            accounts.tell("confirm_deletion", token=link)

        undo(accounts, token)

        assert code_of(accounts.ask, "get_deletion", actor=ada) == "no_deletion"
        assert code_of(accounts.tell, "confirm_deletion", token=link) == "invalid_token"
        subjects = [mail["subject"] for mail in accounts.deliver() if "ada@example.com" in mail["to"]]
        assert ("Your account will not be deleted" in subjects) == confirmed

    def test_of_a_later_change_leaves_the_way_back_to_the_first(self, accounts, ada):
        first = move(accounts, ada, "eve@evil.example")
        second = move(accounts, ada, "eve@worse.example")

        undo(accounts, second)
        undo(accounts, first)

        assert accounts.ask("get_account", actor=ada)["email"] == "ada@example.com"

    def test_repeated_by_its_command_id_is_done_once(self, accounts, ada):
        token = move(accounts, ada, "ada@new.example")

        answers = [undo(accounts, token, command_id="cmd_once") for _ in range(2)]

        assert answers == [{}, {}]
        assert len(accounts.deliver()) == 1

    def test_says_so_if_the_address_is_anothers_by_now(self, accounts, ada):
        token = move(accounts, ada, "ada@new.example")
        accounts.sign_up("ada@example.com")

        assert code_of(undo, accounts, token) == "email_taken"
        assert accounts.ask("get_account", actor=ada)["email"] == "ada@new.example"

    @pytest.mark.parametrize("early", [1, 0], ids=["a microsecond before", "at the moment"])
    def test_takes_the_token_until_seven_days_are_over(self, accounts, ada, early):
        token = move(accounts, ada, "ada@new.example")
        accounts.wait(days=7, microseconds=-early)

        assert code_of(undo, accounts, token) == ("" if early else "invalid_token")

    def test_takes_no_token_that_was_mailed_for_something_else(self, accounts, ada):
        ask_for(accounts, ada, "ada@new.example")
        wish = accounts.mailed_token()

        assert [code_of(undo, accounts, token) for token in (wish, "x" * 43)] == ["invalid_token"] * 2

    def test_is_forgotten_when_it_can_no_longer_be_done(self, accounts, ada):
        move(accounts, ada, "ada@new.example")
        accounts.wait(days=7)

        worker.prune(accounts.database)

        with accounts.database.begin() as session:
            assert session.scalars(select(models.EmailChange)).all() == []
