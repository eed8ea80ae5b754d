"""From the wish for an account to a confirmed address, through the doors."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from services.accounts import models
from shared import errors, tables
from tests import databases
from tests.accounts.conftest import PASSWORD


def count(accounts, model):
    with accounts.database.begin() as session:
        return session.scalars(select(func.count()).select_from(model)).one()


class TestRegister:
    def test_mails_a_link_to_an_unknown_address(self, accounts):
        answer = accounts.register("Ada@Example.com")

        (arrived,) = accounts.deliver()
        assert answer == {}
        assert arrived["to"] == "Ada@example.com"
        assert "https://chat.example/confirm-email?token=" in arrived["text"]
        assert count(accounts, models.Account) == 0

    def test_mails_a_notice_to_the_owner_of_a_known_one_and_answers_the_same(self, accounts):
        accounts.sign_up("Ada@example.com")

        answer = accounts.register("ada@EXAMPLE.com", password="another good password")

        (arrived,) = accounts.deliver()
        assert answer == {}
        assert arrived["to"] == "Ada@example.com"
        assert arrived["subject"] == "You have a Chatness account already"
        assert "token=" not in arrived["text"]
        assert accounts.sign_in("ada@example.com")["account"]["email"] == "Ada@example.com"

    def test_writes_nothing_of_what_a_stranger_typed(self, accounts):
        accounts.register(name="Buy cheap pills", org_name="at pills.example")

        (arrived,) = accounts.deliver()
        assert "pills" not in arrived["text"] + arrived["subject"]

    def test_repeated_by_its_command_id_mails_once(self, accounts):
        accounts.register(command_id="cmd_once")
        accounts.register(command_id="cmd_once")

        assert len(accounts.deliver()) == 1

    @pytest.mark.parametrize(
        "change, code, pointer",
        [
            ({"name": ""}, "invalid_name", "/name"),
            ({"name": "Ada\r\nBcc: b@example.com"}, "invalid_name", "/name"),
            ({"org_name": "x" * 101}, "invalid_org_name", "/org_name"),
            ({"email": "ada@example.com\r\nBcc: b@example.com"}, "invalid_email", "/email"),
            ({"password": "fourteen chars"}, "password_too_short", "/password"),
            ({"password": "p" * 1_000_000}, "password_too_long", "/password"),
            ({"password": "AdaLovelace-1815"}, "password_too_common", "/password"),
        ],
    )
    def test_says_which_field_cannot_be_accepted(self, accounts, change, code, pointer):
        with pytest.raises(errors.Invalid) as refused:
            accounts.register(**{"email": "adalovelace@example.com", **change})

        assert refused.value.code == code
        assert refused.value.details["errors"][0]["pointer"] == pointer
        assert count(accounts, tables.Job) == 0


class TestConfirmEmail:
    def test_opens_the_account_and_its_org(self, accounts):
        accounts.register(org_name="Analytical Engines")

        opened = accounts.tell("confirm_email", token=accounts.mailed_token())

        assert opened["account"]["name"] == "Ada"
        assert opened["account"]["email"] == "ada@example.com"
        assert opened["org"]["name"] == "Analytical Engines"
        assert opened["org"]["owner_id"] == opened["account"]["id"]

    def test_names_the_org_after_the_person_where_no_name_was_given(self, accounts):
        accounts.register()

        assert accounts.tell("confirm_email", token=accounts.mailed_token())["org"]["name"] == "Ada"

    def test_records_ids_and_versions_only(self, accounts):
        accounts.register()

        opened = accounts.tell("confirm_email", token=accounts.mailed_token())

        account_id, org_id = opened["account"]["id"], opened["org"]["id"]
        with accounts.database.begin() as session:
            wanted = select(tables.Event.stream, tables.Event.name).order_by(tables.Event.id)
            recorded = session.execute(wanted).all()
            queued = session.scalars(select(func.count()).select_from(tables.Outbox)).one()
        assert sorted(recorded) == [
            (f"account-{account_id}", "accounts.AccountRegistered"),
            (f"org-{org_id}", "accounts.MemberJoined"),
            (f"org-{org_id}", "accounts.OrgFounded"),
        ]
        assert queued == 3

    def test_answers_the_same_to_the_same_token(self, accounts):
        accounts.register()
        token = accounts.mailed_token()

        first = accounts.tell("confirm_email", token=token)
        again = accounts.tell("confirm_email", token=token)

        assert again == first
        assert count(accounts, models.Account) == 1

    @pytest.mark.parametrize("early", [1, 0], ids=["a microsecond before", "at the moment"])
    def test_takes_the_token_until_a_day_is_over(self, accounts, early):
        accounts.register()
        token = accounts.mailed_token()
        accounts.wait(hours=24, microseconds=-early)

        if early:
            assert accounts.tell("confirm_email", token=token)["account"]["name"] == "Ada"
            return
        with pytest.raises(errors.Invalid, match="invalid_token"):
            accounts.tell("confirm_email", token=token)

    def test_refuses_a_token_that_was_never_mailed(self, accounts):
        with pytest.raises(errors.Invalid, match="invalid_token"):
            accounts.tell("confirm_email", token="x" * 43)

    def test_opens_one_account_when_two_wishes_for_one_address_are_confirmed_at_once(self, accounts):
        asked = []
        for _ in range(2):
            accounts.register()
            asked.append(accounts.mailed_token())

        outcomes = at_once(accounts, asked)

        assert sorted(outcomes) == ["invalid_token", "opened"]
        assert count(accounts, models.Account) == count(accounts, models.Org) == 1

    def test_opens_one_account_when_one_token_comes_twice_at_once(self, accounts):
        accounts.register()
        token = accounts.mailed_token()

        outcomes = at_once(accounts, [token, token])

        assert outcomes == ["opened", "opened"]
        assert count(accounts, models.Account) == count(accounts, models.Org) == 1

    def test_leaves_neither_password_nor_token_in_any_table(self, accounts):
        accounts.register()
        token = accounts.mailed_token()
        accounts.tell("confirm_email", token=token)
        session_token = accounts.sign_in()["token"]

        everything = databases.everything_in(accounts.database)

        assert "ada@example.com" in everything
        for secret in (PASSWORD, token, session_token):
            assert secret not in everything
            assert secret.encode().hex() not in everything


def at_once(accounts, asked):
    """What becomes of each token when all are confirmed at the same moment: `opened` or the code of the refusal."""
    ready = threading.Barrier(len(asked))

    def confirm(token):
        ready.wait(5)
        try:
            accounts.tell("confirm_email", token=token)
        except errors.ServiceError as refused:
            return refused.code
        return "opened"

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(confirm, asked))
