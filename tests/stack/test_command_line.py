"""The command line on a stack that runs: data on stdout, a JSON document a line if asked for, exact exit codes."""

import inspect
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from sqlalchemy import text

from ops import cli
from sandbox.postgres import PostgresServer
from shared import clock
from tests.shared import kernel
from tests.stack.stacks import CHATNESS, Org, Running, eventually, run

FAULTY = 1
NOT_FOUND = 3
INTERRUPTED = 130
BAD_CONFIGURATION = 78


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


@pytest.fixture
def machine_time(stack: Running) -> Iterator[None]:
    yield
    stack.clock.set()


@pytest.mark.usefixtures("machine_time")
class TestClock:
    def test_advances_for_everybody_and_resets(self, stack: Running) -> None:
        advanced = stack.run("clock", "advance", "--to", "2040-01-01T00:00Z", "--freeze")
        shown = stack.run("clock", "show")
        reset = stack.run("clock", "reset")

        assert [advanced.stdout, shown.stdout] == ["2040-01-01T00:00:00Z\n"] * 2
        assert abs(clock.parse(reset.stdout.strip()) - datetime.now(UTC)) < timedelta(minutes=1)

    def test_runs_on_if_it_is_not_frozen(self, stack: Running) -> None:
        stack.run("clock", "advance", "--to", "2040-01-01T00:00Z")

        assert stack.clock.now() > clock.parse("2040-01-01T00:00:00Z")

    @pytest.mark.parametrize("moment", ["tomorrow", "2040-01-01T00:00"])
    def test_refuses_what_is_no_moment_in_one_line(self, stack: Running, moment: str) -> None:
        refused = stack.run("clock", "advance", "--to", moment)

        assert refused.returncode == BAD_CONFIGURATION
        assert len(refused.stderr.splitlines()) == 1
        assert "--to" in refused.stderr

    def test_says_that_no_stack_has_run_where_none_has(self, tmp_path: Path) -> None:
        refused = run("clock", "show", CHATNESS_RUN=str(tmp_path))

        assert (refused.returncode, refused.stdout) == (BAD_CONFIGURATION, "")
        assert "no stack has run in" in refused.stderr


class TestMail:
    def test_gives_one_document_a_line(self, stack: Running, org: Org) -> None:
        listed = stack.run("mail", "--json", "--to", org.email)

        (message,) = [json.loads(line) for line in listed.stdout.splitlines()]
        assert message["to"] == org.email
        assert message["subject"]
        assert "token=" in message["text"]

    def test_shows_it_to_a_person(self, stack: Running, org: Org) -> None:
        assert stack.run("mail", "--to", org.email).stdout.startswith(f"To: {org.email}\nSubject: ")


class TestEvents:
    def test_are_listed_oldest_first_with_all_that_was_recorded(self, stack: Running, org: Org) -> None:
        org.send("msg_1")
        org.send("msg_2")
        stream = f"ledger-{org.id}-{org.usage()['period']}"

        listed = stack.run("events", "list", "--service", "quota", "--stream", stream, "--json")

        documents = [json.loads(line) for line in listed.stdout.splitlines()]
        assert [document["version"] for document in documents] == list(range(1, len(documents) + 1))
        assert [document["data"].get("message_id") for document in documents[-2:]] == ["msg_1", "msg_2"]

    def test_are_listed_as_lines_for_a_person(self, stack: Running, org: Org) -> None:
        listed = stack.run("events", "list", "--name", "quota.BotCreated", "--limit", "1")

        assert len(listed.stdout.splitlines()) == 1
        assert "quota.BotCreated" in listed.stdout

    def test_are_shown_by_id(self, stack: Running, org: Org) -> None:
        (created,) = stack.events("quota", "quota.BotCreated", org.id)

        shown = stack.run("events", "show", created.id, "--json")

        document = json.loads(shown.stdout)
        assert (document["id"], document["data"]["bot_id"]) == (created.id, org.bot_id)

    def test_that_do_not_exist_are_not_found(self, stack: Running) -> None:
        shown = stack.run("events", "show", "evt_nobodys")

        assert (shown.returncode, shown.stdout) == (NOT_FOUND, "")
        assert "evt_nobodys" in shown.stderr

    def test_are_verified(self, stack: Running, org: Org) -> None:
        verified = stack.run("events", "verify", "--json")

        reports = {report["service"]: report for report in map(json.loads, verified.stdout.splitlines())}
        assert (verified.returncode, verified.stderr) == (0, "")
        assert sorted(reports) == ["accounts", "billing", "quota", "secrets"]
        assert all(report["faults"] == {} and report["events"] > 0 for report in reports.values())
        assert len(reports["quota"]["hash"]) == 64

    def test_that_were_forged_are_found(self, stack: Running, org: Org) -> None:
        (created,) = stack.events("quota", "quota.BotCreated", org.id)
        swap = "ALTER TABLE events {} TRIGGER USER"
        forge = "UPDATE events SET data = :data WHERE id = :id"
        with stack.database("quota").begin() as session:
            session.execute(text(swap.format("DISABLE")))
            session.execute(text(forge), {"data": bytes(created.data).replace(b"bot_", b"Bot_"), "id": created.id})
        try:
            verified = stack.run("events", "verify", "--service", "quota")
        finally:
            with stack.database("quota").begin() as session:
                session.execute(text(forge), {"data": bytes(created.data), "id": created.id})
                session.execute(text(swap.format("ENABLE")))

        assert verified.returncode == FAULTY
        assert f"event changed: {created.stream}@{created.version}" in verified.stdout

    def test_are_followed_until_ctrl_c(self, stack: Running, org: Org, tmp_path: Path) -> None:
        shown = tmp_path / "shown"
        with shown.open("wb") as output:
            tail = subprocess.Popen(
                [*CHATNESS, "events", "tail", "--service", "secrets", "--json"],
                env={**os.environ, "CHATNESS_RUN": str(stack.directory), "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            eventually(lambda: _revoke_a_secret(org) and "SecretRevoked" in shown.read_text(), "nothing was shown")
            tail.send_signal(signal.SIGINT)
            code = tail.wait(5)
        finally:
            tail.kill()

        assert code == INTERRUPTED
        documents = [json.loads(line) for line in shown.read_text().splitlines()]
        assert {document["type"] for document in documents} >= {"secrets.SecretRevoked"}

    def test_are_followed_beyond_an_outage(
        self, stack: Running, org: Org, tmp_path: Path, postgres: PostgresServer
    ) -> None:
        shown, said = tmp_path / "shown", tmp_path / "said"
        with shown.open("wb") as output, said.open("wb") as notes:
            tail = subprocess.Popen(
                [*CHATNESS, "events", "tail", "--service", "secrets"],
                env={**os.environ, "CHATNESS_RUN": str(stack.directory), "PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=notes,
            )
        try:
            eventually(lambda: _revoke_a_secret(org) and shown.read_text(), "nothing was shown")
            with kernel.away(postgres, stack.database("secrets")):
                eventually(lambda: "does not answer" in said.read_text(), "it does not say so")
            eventually(lambda: "answers again" in said.read_text(), "it does not go on")
            before = shown.read_text().count("SecretRevoked")
            eventually(lambda: _answers(org), "the service does not answer again")
            _revoke_a_secret(org)
            eventually(lambda: shown.read_text().count("SecretRevoked") > before, "nothing more was shown")
        finally:
            tail.kill()
            tail.wait()

        assert len(said.read_text().splitlines()) == 2


def _answers(org: Org) -> bool:
    return org.owner.ask("GET", "/v1/secrets").status_code == 200


def _revoke_a_secret(org: Org) -> str:
    """Gives its id. Each call makes new events: nobody knows from which on the tail follows."""
    secret = org.owner.ask("POST", "/v1/secrets", {"name": "short-lived"}).json()
    org.owner.ask("DELETE", f"/v1/secrets/{secret['id']}")
    return str(secret["id"])


def _commands(group: click.Group, *words: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*words, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, *words, name)


@pytest.mark.pure
class TestHelp:
    @pytest.mark.parametrize("words, command", [*_commands(cli.main)], ids=str)
    def test_of_each_command_says_what_it_does(self, words: tuple[str, ...], command: click.Command) -> None:
        assert command.help is not None
        said = inspect.cleandoc(command.help)
        assert said[0].isupper()
        assert said.endswith(".")
        assert all(option.help for option in command.params if isinstance(option, click.Option))


class TestMigrate:
    def test_run_again_has_nothing_to_do(self, stack: Running) -> None:
        migrated = run("migrate", **stack.environment)

        assert migrated.stdout.splitlines() == [
            f"{name}: up to date" for name in ("accounts", "billing", "secrets", "quota")
        ]
