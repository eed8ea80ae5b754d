"""What operators look up of people and do to sessions, and that it stands somewhere who it was."""

import json

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select

from ops import cli, exits
from ops.commands import orgs as commands
from services.accounts import models, org, projections
from shared import errors, rebuilding, store, tables
from tests.accounts.conftest import accounts, light_hashes, smtp_server
from tests.accounts.test_deletions import confirmed
from tests.accounts.test_erasing import pass_the_time
from tests.databases import everything_in
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


class TestSuspend:
    WORDS = ("--cause", "fraud", "--reason", "Canary's card was stolen", *NIGHT)

    def test_says_since_when_by_whom_and_why(self, ada):
        code, printed = run("org", "suspend", ada.org_id, *self.WORDS, "--execute", "--json")

        done = json.loads(printed)
        suspension = {"cause": "fraud", "reason": "Canary's card was stolen", "by": "grace@night"}
        assert (code, done["changed"]) == (exits.OK, True)
        assert done["suspension"] == {**suspension, "suspended_at": "2026-11-22T12:00:00Z"}
        assert json.loads(run("org", "show", ada.org_id, "--json")[1])["suspension"] == done["suspension"]
        assert "suspended since 2026-11-22T12:00:00Z by grace@night  fraud: " in run("org", "show", ada.org_id)[1]

    def test_leaves_the_operator_in_the_event_and_no_word_of_the_reason(self, accounts, ada):
        run("org", "suspend", ada.org_id, *self.WORDS, "--execute")

        (event,) = suspensions_of(accounts, ada.org_id)
        assert json.loads(event.meta)["actor"]["id"] == "grace@night"
        assert json.loads(event.data) == {"org_id": ada.org_id, "cause": "fraud", "reason_version": 1}

    def test_only_looks_without_execute(self, accounts, ada):
        code, printed = run("org", "suspend", ada.org_id, *self.WORDS)

        assert (code, printed) == (exits.OK, f"{ada.org_id}  would be suspended\n")
        assert suspensions_of(accounts, ada.org_id) == []
        assert json.loads(run("org", "show", ada.org_id, "--json")[1])["suspension"] is None

    def test_changes_nothing_the_second_time_and_says_so(self, accounts, ada):
        run("org", "suspend", ada.org_id, *self.WORDS, "--execute")

        again = ("--cause", "other", "--reason", "another", "--by", "kim")
        code, printed = run("org", "suspend", ada.org_id, *again, "--execute")

        assert code == exits.OK
        assert "was suspended before, and nothing was changed: suspended since" in printed
        assert "grace@night  fraud: Canary's card was stolen" in printed
        assert len(suspensions_of(accounts, ada.org_id)) == 1

    def test_knows_no_other(self, ada):
        assert run("org", "suspend", "org_nowhere", *self.WORDS, "--execute") == (exits.NOT_FOUND, "")
        assert run("org", "restore", "org_nowhere", *WHY, *NIGHT, "--execute") == (exits.NOT_FOUND, "")

    def test_takes_the_causes_that_the_events_know(self):
        (cause,) = [one for one in commands.suspend.params if one.name == "cause"]

        assert tuple(cause.type.choices) == org.CAUSES

    def test_needs_a_cause_that_is_one(self, accounts, ada):
        for words in (WHY, ("--cause", "whim", *WHY)):
            assert run("org", "suspend", ada.org_id, *words, *NIGHT, "--execute")[0] == 2
        assert suspensions_of(accounts, ada.org_id) == []

    def test_forgets_who_and_why_with_the_org(self, accounts, ada):
        run("org", "suspend", ada.org_id, *self.WORDS, "--execute")
        confirmed(accounts, ada)

        pass_the_time(accounts)

        assert "card was stolen" not in everything_in(accounts.database)
        with accounts.database.begin() as session:
            assert session.scalars(select(tables.Suspended)).all() == []


class TestRestore:
    def test_lets_it_go_on_and_can_be_done_again_after_another_suspension(self, accounts, ada):
        for _ in range(2):
            assert json.loads(run("org", "suspend", ada.org_id, *TestSuspend.WORDS, "--execute", "--json")[1])[
                "changed"
            ]
            code, printed = run("org", "restore", ada.org_id, *WHY, *NIGHT, "--execute", "--json")
            assert (code, json.loads(printed)["changed"], json.loads(printed)["suspension"]) == (exits.OK, True, None)

        names = [event.name.partition(".")[2] for event in suspensions_of(accounts, ada.org_id)]
        assert names == ["OrgSuspended", "OrgRestored"] * 2

    def test_changes_nothing_of_one_that_is_not_suspended(self, accounts, ada):
        code, printed = run("org", "restore", ada.org_id, *WHY, *NIGHT, "--execute")

        assert (code, printed) == (exits.OK, f"{ada.org_id}  is not suspended, and nothing was changed\n")
        assert suspensions_of(accounts, ada.org_id) == []

    def test_is_told_by_a_rebuild_as_it_is(self, accounts, ada):
        run("org", "suspend", ada.org_id, *TestSuspend.WORDS, "--execute")
        with accounts.database.begin() as session:
            session.execute(delete(tables.Suspended))

        report = rebuilding.rebuild(accounts.database, "accounts", projections.READ_MODELS, limit=5)

        assert report.differing["suspended"] == 1
        assert json.loads(run("org", "show", ada.org_id, "--json")[1])["suspension"]["cause"] == "fraud"


def suspensions_of(accounts, org_id):
    with accounts.database.begin() as session:
        read = store.read(session, projections.org_stream(org_id))
        return [event for event in read if event.name in ("accounts.OrgSuspended", "accounts.OrgRestored")]


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
