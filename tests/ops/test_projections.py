"""`chatness projections` on a database of accounts' own: found, named without content, mended, while others write."""

import json
from collections.abc import Callable
from importlib import import_module

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from ops import cli, exits, processes, projections
from services.accounts import projections as accounts
from services.accounts.events import AccountRegistered, MemberJoined, OrgFounded, ProfileChanged
from shared import clock, database, read_models, store
from tests.databases import everything_in
from tests.infrastructure import NewDatabase

# Whose events no release of secrets can project.
STRANGE: store.Aggregate[None] = store.Aggregate(
    catalogue=accounts.ACCOUNT.catalogue, initial=None, evolve=lambda state, _fact: state
)


@pytest.fixture
def home(
    surroundings: pytest.MonkeyPatch, new_database: NewDatabase, service_template: Callable[[str], str]
) -> database.Database:
    """An account that founded an org, and one that joined it."""
    url = new_database(template=service_template("accounts"))
    surroundings.setenv("ACCOUNTS_DATABASE_URL", url)
    home = database.Database(url, clock.Clock())
    with home.begin() as session:
        for account_id in ("acc_1", "acc_2"):
            registered = [AccountRegistered(account_id=account_id, profile_version=1)]
            stream = accounts.account_stream(account_id)
            store.execute(session, stream, accounts.ACCOUNT, lambda _state, facts=registered: facts)
        changed = [ProfileChanged(account_id="acc_1", profile_version=2)]
        store.execute(session, accounts.account_stream("acc_1"), accounts.ACCOUNT, lambda _state: changed)
        founded = OrgFounded(org_id="org_1", owner_id="acc_1", profile_version=1)
        joined = [
            MemberJoined(org_id="org_1", account_id=account_id, role=role)
            for account_id, role in (("acc_1", "owner"), ("acc_2", "member"))
        ]
        store.execute(session, accounts.org_stream("org_1"), accounts.ORG, lambda _state: [founded, *joined])
    return home


def spoil(home: database.Database) -> None:
    with home.begin() as session:
        session.execute(text("UPDATE accounts SET profile_version = 1; UPDATE members SET role = 'owner'"))
        session.execute(text("DELETE FROM orgs"))


def asked(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["projections", *words])


def documents(done: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestDiff:
    def test_names_the_rows_and_columns_that_are_wrong_and_no_values(self, home):
        spoil(home)
        before = everything_in(home)

        found = asked("diff", "accounts")

        assert (found.exit_code, found.stdout.splitlines()) == (
            exits.FAILED,
            [
                "accounts: accounts acc_1: changed: profile_version",
                "accounts: members org_1 acc_2: changed: role",
                "accounts: orgs org_1: missing",
                "accounts: accounts: 2 rows, 1 differ",
                "accounts: activity: 2 rows, 0 differ",
                "accounts: members: 2 rows, 1 differ",
                "accounts: orgs: 1 rows, 1 differ",
                "accounts: suspended: 0 rows, 0 differ",
            ],
        )
        assert everything_in(home) == before

    def test_reveals_values_if_it_is_asked_to(self, home):
        spoil(home)

        document = documents(asked("diff", "accounts", "--json", "--reveal"))[1]

        assert document["columns"] == {"role": {"stands": "owner", "rebuilt": "member"}}

    def test_is_content_with_what_commands_wrote(self, home):
        assert asked("diff", "accounts").exit_code == exits.OK


class TestRebuild:
    def test_says_what_it_would_do_and_then_does_it(self, home):
        spoil(home)
        before = everything_in(home)

        would = asked("rebuild", "accounts")
        assert (would.exit_code, would.stderr.splitlines()[-1]) == (exits.OK, exits.NO_CHANGE)
        assert everything_in(home) == before
        done = asked("rebuild", "accounts", "--execute", "--json")

        counts = {line["table"]: line["mended"] for line in documents(done) if "mended" in line}
        expected = {"accounts": 1, "activity": 0, "members": 1, "orgs": 1, "suspended": 0}
        assert (done.exit_code, counts) == (exits.OK, expected)
        assert asked("diff", "accounts").exit_code == exits.OK

    def test_names_the_service_that_it_cannot_do_and_keeps_what_it_mended_before(
        self, home, open_database, surroundings
    ):
        spoil(home)
        secrets = open_database("secrets")
        surroundings.setenv("SECRETS_DATABASE_URL", secrets.url)
        with secrets.begin() as session:
            strange = AccountRegistered(account_id="acc_1", profile_version=1)
            store.append(session, store.head(session, "secret-org_1-sec_1", STRANGE), STRANGE, [strange])

        refused = asked("rebuild", "accounts", "secrets", "--execute")

        (line,) = [line for line in refused.stderr.splitlines() if line.startswith("chatness: ")]
        assert refused.exit_code == exits.CONFLICT
        assert line.startswith("chatness: secrets's read models stay as they were: secret-org_1-sec_1@1 ")
        assert asked("diff", "accounts").exit_code == exits.OK

    def test_is_asked_for_when_a_release_projects_otherwise(self, home, monkeypatch):
        list(projections.note_versions(["accounts"]))
        ours = accounts.READ_MODELS
        newer = read_models.ReadModels(**{**vars(ours), "version": 3})
        monkeypatch.setattr(accounts, "READ_MODELS", newer)

        (said,) = projections.note_versions(["accounts"])
        assert said.endswith("and this release has 3: chatness projections rebuild accounts --execute")
        assert asked("rebuild", "accounts", "--execute").exit_code == exits.OK

        assert list(projections.note_versions(["accounts"])) == []
        monkeypatch.setattr(accounts, "READ_MODELS", ours)  # the older release, once more
        assert asked("rebuild", "accounts", "--execute").exit_code == exits.CONFLICT


@pytest.mark.pure
class TestReadModels:
    @pytest.mark.parametrize("service", processes.SERVICES)
    def test_are_all_the_tables_that_a_service_calls_its_views(self, service):
        views = import_module(f"services.{service}.models").Views.metadata

        assert projections.read_models_of(service).tables is views
        assert views.tables

    @pytest.mark.parametrize("service", processes.SERVICES)
    def test_are_written_by_every_function_that_projects(self, service):
        room = import_module(f"services.{service}.projections")
        aggregates = [value for value in vars(room).values() if isinstance(value, store.Aggregate)]

        assert {one.project for one in aggregates} == set(room.READ_MODELS.projects.values())
