"""What the command line needs to reach databases and RabbitMQ, and how what databases do is told to the operator."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from ops import cli, exits, reach
from shared import clock, config, database, store
from tests.ops.conftest import NOWHERE, SETTINGS

LOCK = text("SELECT pg_advisory_xact_lock(1)")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nothing yet, where no stack has run."""
    for name in (*SETTINGS, "AMQP_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CHATNESS_RUN", str(tmp_path))
    return monkeypatch


@pytest.mark.pure
class TestWithAFewSettings:
    @pytest.mark.parametrize(
        "words, missing",
        [
            ("doctor", ("ACCOUNTS", "BILLING", "SECRETS")),
            ("consumers status", ("ACCOUNTS", "BILLING", "SECRETS")),
            ("consumers status --service quota", ("ACCOUNTS", "BILLING")),
            ("parked list", ("ACCOUNTS", "BILLING", "SECRETS")),
            ("replay --from billing --to quota", ("BILLING",)),
        ],
    )
    def test_names_those_that_a_command_lacks(self, given, words, missing):
        given.setenv("QUOTA_DATABASE_URL", NOWHERE)

        refused = CliRunner().invoke(cli.main, words.split())

        lacks = "; ".join(f"{name}_DATABASE_URL is not set" for name in missing)
        assert (refused.exit_code, refused.stderr) == (config.EX_CONFIG, f"chatness: {lacks}\n")

    def test_of_rabbitmq_it_needs_its_place_alone(self, given):
        given.setenv("AMQP_URI", "amqp://nobody:x@127.0.0.1:1")

        assert CliRunner().invoke(cli.main, ["broker", "forget", "mailer"]).exit_code == exits.AWAY

    def test_speaks_of_a_stack_where_there_is_none_at_all(self, given):
        refused = CliRunner().invoke(cli.main, ["doctor"])

        assert (refused.exit_code, "no stack has run in" in refused.stderr) == (config.EX_CONFIG, True)


class TestNeedingDatabases:
    @pytest.mark.pure
    @pytest.mark.parametrize(
        "lost",
        [store.VersionConflict("lost"), database.Beaten("UPDATE", {}, Exception())],
        ids=["conflict", "deadlock"],
    )
    def test_tells_those_who_lose_to_others_to_try_again(self, lost):
        with pytest.raises(exits.Away, match="others change the same"), reach.needing_databases():
            raise lost

    @pytest.mark.parametrize(
        "limits, told",
        [
            ({"lock_timeout_seconds": 0.1}, "others hold what this needs; try again: canceling .* lock timeout"),
            ({"statement_timeout_seconds": 0.1}, "it took too long; try again: canceling .* statement timeout"),
        ],
        ids=["lock", "time"],
    )
    def test_calls_no_database_away_that_answers(self, database_url, limits, told):
        holder, late = (
            database.Database(database_url, clock.Clock()),
            database.Database(database_url, clock.Clock(), **limits),
        )
        with holder.begin() as session, late.begin() as waiting:
            session.execute(LOCK)
            with pytest.raises(exits.Away, match=told), reach.needing_databases():
                waiting.execute(LOCK)
        for home in (holder, late):
            home.close()
