"""What operations see of people who leave: since when, and for whom it waits; and nothing of who they are."""

import json
import threading

import pytest
from click.testing import CliRunner

from ops import cli, exits, sights
from services.secrets import worker as secrets_worker
from services.secrets.settings import Settings as SecretsSettings
from shared import jobs
from tests.accounts.conftest import accounts, light_hashes, smtp_server
from tests.accounts.test_deletions import confirmed
from tests.accounts.test_erasing import Others, pass_the_time
from tests.erasures import Erasure
from tests.ops.conftest import SETTINGS

__all__ = ["accounts", "light_hashes", "smtp_server"]


@pytest.fixture
def others(accounts, open_database, monkeypatch) -> Others:
    """Four databases, where the command line finds them."""
    made = Others(accounts, open_database)
    urls = {f"{name.upper()}_DATABASE_URL": home.url for name, home in made.homes.items()}
    found = {"CHATNESS_SANDBOX": "1", "CHATNESS_CLOCK_FILE": str(accounts.database.clock.file), **urls}
    for name, value in {**SETTINGS, **found, "ACCOUNTS_DATABASE_URL": accounts.database.url}.items():
        monkeypatch.setenv(name, value)
    return made


def run(*words):
    done = CliRunner().invoke(cli.main, ["erasure", *words])
    return done.exit_code, done.stdout


def documents(*words):
    code, printed = run(*words, "--json")
    return code, [json.loads(line) for line in printed.splitlines()]


@pytest.fixture
def ada(accounts):
    ada = accounts.sign_up("canary@example.com", name="Canary Lovelace")
    confirmed(accounts, ada)
    return ada


def seen(accounts):
    inside = sights.look(accounts.database, "accounts").inside
    return inside.erasures


class TestList:
    def test_says_so_when_nothing_is_outstanding(self, others):
        assert run("list") == (exits.OK, "")

    def test_shows_until_when_a_deletion_can_be_withdrawn(self, accounts, ada, others):
        code, [shown] = documents("list")

        assert code == exits.OK
        assert (shown["id"], shown["state"], shown["waits"]) == (ada.id, "confirmed", [])
        assert (shown["since"], shown["due_at"]) == ("2026-11-22T12:00:00Z", "2026-11-25T12:00:00Z")

    def test_shows_for_whom_an_erasure_waits_since_when_and_where_it_stands(self, accounts, ada, others):
        pass_the_time(accounts)
        others.report(ada.org_id, "billing")
        hear_in_secrets(accounts, others, ada.org_id)

        _, [shown] = documents("list")

        assert (shown["state"], shown["since"]) == ("erasing", "2026-11-25T12:00:00Z")
        stands = {wait["service"]: wait["stands"] for wait in shown["waits"]}
        assert set(stands) == {"quota", "secrets"}
        assert stands["quota"] == "has not heard of it"
        assert "waiting, 0 tries, due 2026-11-25T12:00:00Z" in stands["secrets"]

    def test_shows_nothing_of_who_they_are(self, accounts, ada, others):
        before = run("list")[1]
        pass_the_time(accounts)

        printed = before + run("list")[1] + run("show", ada.id)[1] + run("list", "--json")[1]

        assert ada.id in printed
        assert [text for text in ("canary", "Canary") if text in printed] == []


class TestTheDoctor:
    def test_sees_what_is_due_and_then_what_does_not_end(self, accounts, ada, others):
        early = seen(accounts)
        accounts.wait(days=3, seconds=7)
        due = seen(accounts)
        pass_the_time(accounts, hours=2)
        begun = seen(accounts)
        others.report(ada.org_id)
        accounts.wait(hours=2)

        assert early == sights.Erasures()
        assert (due.due, round(due.due_seconds)) == (1, 7)
        assert (begun.due, begun.begun, round(begun.begun_seconds)) == (0, 1, 0)
        assert seen(accounts) == sights.Erasures()


class TestShow:
    def test_finds_it_by_the_org_too_with_what_is_reported(self, accounts, ada, others):
        pass_the_time(accounts)
        others.report(ada.org_id, "billing")

        by_org, by_account = documents("show", ada.org_id), documents("show", ada.id)

        assert by_org == by_account
        reported = {wait["service"]: wait["reported_at"] for wait in by_org[1][0]["waits"]}
        assert reported == {"billing": "2026-11-25T12:00:00Z", "quota": None, "secrets": None}

    def test_says_that_a_service_is_done_and_was_not_heard(self, accounts, ada, others):
        pass_the_time(accounts)
        hear_in_secrets(accounts, others, ada.org_id, finish=True)

        code, printed = run("show", ada.id)

        assert code == exits.OK
        assert "secrets  is done; accounts has not heard of it" in printed

    def test_says_since_when_something_is_gone(self, accounts, ada, others):
        pass_the_time(accounts)
        others.report(ada.org_id)

        assert run("show", ada.org_id) == (exits.OK, f"{ada.org_id}  erased since 2026-11-25T12:00:00Z\n")

    def test_knows_nothing_of_who_stays(self, accounts, others):
        eve = accounts.sign_up("eve@example.com")

        assert run("show", eve.id)[0] == exits.NOT_FOUND


def hear_in_secrets(accounts, others, org_id, *, finish=False):
    home = others.homes["secrets"]
    home.clock = accounts.database.clock
    settings = SecretsSettings(database_url=home.url, peppers=())
    work = secrets_worker.work(settings, home)
    Erasure(accounts.database, home, "secrets", work.hears[0]).say()
    if finish:
        jobs.Runner(home, work.jobs).run_due(threading.Event())
