"""A forgotten password, through the doors: the link, what it may, and when it ends."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import event, func, select, update

from services.accounts import models, password_resets, worker
from shared import errors, tables
from tests import databases
from tests.accounts.conftest import PASSWORD

NEW = "nine white egrets sleep"


def request(accounts, email="ada@example.com", **changes):
    return accounts.tell("request_password_reset", email=email, **changes)


def mailed_token(accounts, email="ada@example.com"):
    request(accounts, email)
    return accounts.mailed_token()


def reset(accounts, token, password=NEW, **changes):
    return accounts.tell("reset_password", token=token, password=password, **changes)


def refusal(accounts, token, **changes):
    with pytest.raises(errors.Invalid) as refused:
        reset(accounts, token, **changes)
    return refused.value


def may_sign_in(accounts, password):
    try:
        accounts.sign_in(password=password)
    except errors.Invalid:
        return False
    return True


def count(accounts, model):
    with accounts.database.begin() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


class TestRequest:
    def test_mails_a_link_to_a_known_address_in_any_spelling(self, accounts):
        accounts.sign_up("Ada@example.com")

        answer = request(accounts, "ada@EXAMPLE.com")

        (arrived,) = accounts.deliver()
        assert answer == {}
        assert arrived["to"] == "Ada@example.com"
        assert "https://chat.example/reset-password?token=" in arrived["text"]
        assert "60 minutes" in arrived["text"]

    def test_mails_nothing_to_an_unknown_address_nor_to_one_that_is_not_confirmed(self, accounts):
        accounts.register("eve@example.com")
        accounts.deliver()

        answers = [request(accounts, email) for email in ("nobody@example.com", "eve@example.com")]

        assert answers == [{}, {}]
        assert accounts.deliver() == []

    def test_does_the_same_work_for_a_known_and_an_unknown_address(self, accounts):
        accounts.sign_up()
        done = {}
        for email in ("ada@example.com", "nobody@example.com"):
            with statements(accounts) as said:
                request(accounts, email)
            done[email] = said

        known, unknown = done.values()
        assert known == unknown
        assert any("INSERT INTO jobs" in statement for statement in known)

    def test_keeps_nothing_of_an_unknown_address(self, accounts):
        request(accounts, "nobody@example.com")

        assert "nobody@example.com" not in databases.everything_in(accounts.database)

    def test_says_what_is_no_address(self, accounts):
        with pytest.raises(errors.Invalid, match="invalid_email"):
            request(accounts, "nowhere")

    def test_repeated_by_its_command_id_mails_once(self, accounts):
        accounts.sign_up()
        request(accounts, command_id="cmd_once")
        request(accounts, command_id="cmd_once")

        assert len(accounts.deliver()) == 1

    def test_mails_no_more_than_three_links_an_hour_to_one_address(self, accounts):
        accounts.sign_up()
        for _ in range(5):
            request(accounts)
        assert len(accounts.deliver()) == 3

        accounts.wait(hours=1)
        request(accounts)
        assert len(accounts.deliver()) == 1

    def test_mails_one_link_where_the_worker_dies_after_it_kept_it(self, accounts):
        accounts.sign_up()
        request(accounts)
        with accounts.database.begin() as session:
            job = session.scalars(select(tables.Job).where(tables.Job.kind == password_resets.JOB)).one()
        mail_link = worker.work(accounts.settings, accounts.database).jobs[password_resets.JOB]

        mail_link(job.id, job.payload)  # and then it was killed: the job is done again

        assert len(accounts.deliver()) == 1
        assert count(accounts, models.PasswordReset) == 1


class TestReset:
    def test_sets_the_password_and_signs_out_everywhere_and_tells_the_owner(self, accounts):
        accounts.sign_up()
        signed_in = accounts.sign_in()["token"]

        answer = reset(accounts, mailed_token(accounts))

        (arrived,) = accounts.deliver()
        assert answer == {}
        assert (arrived["to"], arrived["subject"]) == ("ada@example.com", "Your password was changed")
        assert NEW not in arrived["text"]
        with pytest.raises(errors.NotFound, match="unknown_session"):
            accounts.verify(signed_in)
        assert (may_sign_in(accounts, PASSWORD), may_sign_in(accounts, NEW)) == (False, True)

    def test_leaves_other_people_signed_in(self, accounts):
        accounts.sign_up()
        accounts.sign_up("eve@example.com")
        eves = accounts.sign_in("eve@example.com")["token"]

        reset(accounts, mailed_token(accounts))

        assert accounts.verify(eves)["role"] == "owner"
        assert accounts.sign_in("eve@example.com")["token"]

    def test_takes_a_token_once_and_then_none_of_the_others(self, accounts):
        accounts.sign_up()
        older, newer = mailed_token(accounts), mailed_token(accounts)

        reset(accounts, older)

        assert refusal(accounts, older, password=PASSWORD).code == "invalid_token"
        assert refusal(accounts, newer, password=PASSWORD).code == "invalid_token"
        assert may_sign_in(accounts, NEW)

    def test_takes_no_token_from_before_somebody_signed_in(self, accounts):
        accounts.sign_up()
        accounts.sign_up("eve@example.com")
        token = mailed_token(accounts)
        accounts.sign_in("eve@example.com")
        with pytest.raises(errors.Invalid, match="wrong_credentials"):
            accounts.sign_in(password=NEW)
        left = count(accounts, models.PasswordReset)
        accounts.sign_in()

        assert left == 1
        assert refusal(accounts, token).code == "invalid_token"
        assert reset(accounts, mailed_token(accounts)) == {}

    def test_repeated_by_its_command_id_answers_the_same_and_ends_no_session_again(self, accounts):
        accounts.sign_up()
        token = mailed_token(accounts)
        first = reset(accounts, token, command_id="cmd_once")
        signed_in = accounts.sign_in(password=NEW)["token"]

        again = reset(accounts, token, command_id="cmd_once")

        assert again == first == {}
        assert accounts.verify(signed_in)["role"] == "owner"

    def test_repeated_with_another_password_does_not_say_that_it_is_set(self, accounts):
        accounts.sign_up()
        token = mailed_token(accounts)
        reset(accounts, token, command_id="cmd_once")

        refused = refusal(accounts, token, password=PASSWORD, command_id="cmd_once")

        assert refused.code == "idempotency_key_reused"
        assert (may_sign_in(accounts, PASSWORD), may_sign_in(accounts, NEW)) == (False, True)

    def test_repeated_after_a_release_that_kept_no_account_answers_the_same(self, accounts):
        accounts.sign_up()
        token = mailed_token(accounts)
        reset(accounts, token, command_id="cmd_once")
        with accounts.database.begin() as session:
            session.execute(update(tables.Command).where(tables.Command.key == "cmd_once").values(outcome={}))

        assert reset(accounts, token, command_id="cmd_once") == {}

    @pytest.mark.parametrize("links", [1, 2], ids=["one link", "two links of one account"])
    def test_succeeds_once_of_two_at_the_same_moment(self, accounts, links):
        accounts.sign_up()
        asked = [mailed_token(accounts) for _ in range(links)] * (3 - links)
        ready = threading.Barrier(2)

        def try_it(token, password):
            ready.wait(5)
            try:
                reset(accounts, token, password)
            except errors.Invalid as refused:
                return refused.code
            return password

        passwords = [NEW, "six brown thrushes sing"]
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(try_it, asked, passwords))

        assert outcomes.count("invalid_token") == 1
        (kept,) = set(outcomes) - {"invalid_token"}
        assert [may_sign_in(accounts, password) for password in passwords] == [one == kept for one in passwords]

    @pytest.mark.parametrize("early", [1, 0], ids=["a microsecond before", "at the moment"])
    def test_takes_the_token_until_the_hour_is_over(self, accounts, early):
        accounts.sign_up()
        token = mailed_token(accounts)
        accounts.wait(hours=1, microseconds=-early)

        if early:
            assert reset(accounts, token) == {}
            return
        assert refusal(accounts, token).code == "invalid_token"

    def test_refuses_a_token_that_was_never_mailed_and_one_that_was_mailed_for_something_else(self, accounts):
        accounts.register()
        confirmation = accounts.mailed_token()

        assert refusal(accounts, "x" * 43).code == "invalid_token"
        assert refusal(accounts, confirmation).code == "invalid_token"

    @pytest.mark.parametrize(
        "password, code",
        [
            ("fourteen chars", "password_too_short"),
            ("p" * 1_000_000, "password_too_long"),
            ("AdaLovelace-1815", "password_too_common"),
        ],
    )
    def test_has_the_rules_of_a_first_password_and_leaves_the_token_good(self, accounts, password, code):
        accounts.sign_up("adalovelace@example.com")
        token = mailed_token(accounts, "adalovelace@example.com")

        refused = refusal(accounts, token, password=password)

        assert refused.code == code
        assert refused.details["errors"][0]["pointer"] == "/password"
        assert reset(accounts, token) == {}

    def test_leaves_neither_password_nor_token_in_any_table(self, accounts):
        accounts.sign_up()
        token = mailed_token(accounts)

        while_it_is_good = databases.everything_in(accounts.database)
        reset(accounts, token)
        accounts.deliver()

        everything = while_it_is_good + databases.everything_in(accounts.database)
        for secret in (NEW, token):
            assert secret not in everything
            assert secret.encode().hex() not in everything


@contextmanager
def statements(accounts):
    """What is said to the database meanwhile, without the values."""
    said = []

    def hear(_connection, _cursor, statement, _parameters, _context, _many):
        said.append(statement)

    event.listen(accounts.database.engine, "before_cursor_execute", hear)
    yield said
    event.remove(accounts.database.engine, "before_cursor_execute", hear)
