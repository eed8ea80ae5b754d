"""What operators look up of people and do to sessions, and that it stands somewhere who it was."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from ops import cli, exits
from services.accounts import models
from shared import errors
from tests.accounts.conftest import accounts, light_hashes, smtp_server
from tests.accounts.test_deletions import confirmed
from tests.accounts.test_erasing import pass_the_time
from tests.ops.conftest import SETTINGS

__all__ = ["accounts", "light_hashes", "smtp_server"]
NIGHT = ("--by", "grace@night")
WHY = ("--reason", "Canary lost her laptop")


@pytest.fixture
def ada(accounts, monkeypatch):
    """Somebody who is signed in, in a database where the command line finds it."""
    found = {"CHATNESS_SANDBOX": "1", "CHATNESS_CLOCK_FILE": str(accounts.database.clock.file)}
    for name, value in {**SETTINGS, **found, "ACCOUNTS_DATABASE_URL": accounts.database.url}.items():
        monkeypatch.setenv(name, value)
    return accounts.sign_up("canary@example.com", name="Canary Lovelace")


def run(*words):
    done = CliRunner().invoke(cli.main, words)
    return done.exit_code, done.stdout


def acts(accounts):
    with accounts.database.begin() as session:
        rows = session.scalars(select(models.OperatorAct).order_by(models.OperatorAct.id))
        return [(row.act, row.account_id, row.operator, row.reason) for row in rows]


class TestFind:
    def test_gives_ids_and_records_who_looked_but_not_what_was_typed(self, accounts, ada):
        code, printed = run("org", "find", "--email", " Canary@EXAMPLE.com ", *NIGHT, "--json")

        assert code == exits.OK
        assert json.loads(printed) == {"account_id": ada.id, "orgs": [{"id": ada.org_id, "role": "owner"}]}
        assert acts(accounts) == [("find_org", ada.id, "grace@night", "")]

    def test_records_a_look_that_finds_nobody(self, accounts, ada):
        assert run("org", "find", "--email", "nobody@example.com", *NIGHT) == (exits.NOT_FOUND, "")
        assert acts(accounts) == [("find_org", "", "grace@night", "")]

    def test_refuses_what_is_no_address(self, accounts, ada):
        assert run("org", "find", "--email", "nobody", *NIGHT) == (exits.CONFLICT, "")
        assert acts(accounts) == []


class TestShow:
    def test_gives_owner_and_members_without_a_name(self, ada):
        code, printed = run("org", "show", ada.org_id, "--json")

        shown = json.loads(printed)
        assert (code, shown["owner_id"]) == (exits.OK, ada.id)
        assert [(one["account_id"], one["role"]) for one in shown["members"]] == [(ada.id, "owner")]
        assert "canary" not in printed.lower()

    def test_knows_no_other(self, ada):
        assert run("org", "show", "org_nowhere") == (exits.NOT_FOUND, "")


class TestEndSessions:
    def test_signs_out_everywhere_and_says_who_and_why(self, accounts, ada):
        token = accounts.sign_in("canary@example.com")["token"]

        code, printed = run("account", "end-sessions", ada.id, *WHY, *NIGHT, "--execute", "--json")

        assert (code, json.loads(printed)["sessions"]) == (exits.OK, 2)
        with pytest.raises(errors.NotFound):
            accounts.verify(token)
        assert acts(accounts) == [("end_sessions", ada.id, "grace@night", "Canary lost her laptop")]

    def test_leaves_everybody_else_signed_in(self, accounts, ada):
        accounts.sign_up("bob@example.com", name="Bob")
        token = accounts.sign_in("bob@example.com")["token"]

        run("account", "end-sessions", ada.id, *WHY, *NIGHT, "--execute")

        assert accounts.verify(token)["role"] == "owner"

    def test_only_looks_without_execute(self, accounts, ada):
        token = accounts.sign_in("canary@example.com")["token"]

        assert run("account", "end-sessions", ada.id, *WHY, *NIGHT)[0] == exits.OK

        assert accounts.verify(token)["account_id"] == ada.id
        assert acts(accounts) == []

    def test_ends_nothing_the_second_time(self, ada):
        run("account", "end-sessions", ada.id, *WHY, *NIGHT, "--execute")

        assert run("account", "end-sessions", ada.id, *WHY, *NIGHT, "--execute")[1].split()[1] == "0"

    def test_knows_no_other(self, ada):
        assert run("account", "end-sessions", "acc_nobody", *WHY, *NIGHT, "--execute") == (exits.NOT_FOUND, "")

    def test_forgets_the_reason_with_the_person(self, accounts, ada):
        confirmed(accounts, ada)
        run("account", "end-sessions", ada.id, *WHY, *NIGHT, "--execute")

        pass_the_time(accounts)

        assert acts(accounts) == [("end_sessions", ada.id, "grace@night", "")]
