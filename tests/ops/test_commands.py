"""What the commands ask for before they do anything."""

import os

import pytest
from click.testing import CliRunner

from ops import cli, exits

pytestmark = pytest.mark.pure


class TestUsage:
    @pytest.mark.parametrize(
        "words",
        [
            "parked redrive",
            "replay --from billing --to quota",
            "replay --from billing --max 1",
            "replay --from billing --to quota --max 1 --positions 1-2",
            "replay --from billing --to quota --max 1 --execute",
            "parked discard quota/billing/1",
            "parked discard --reason because",
            "deadletters requeue",
            "deadletters requeue quota/billing/1 --all",
            "deadletters discard --service quota",
            "quota credit org_1 --messages 5 --reason because",
            "quota credit org_1 --messages 0 --reason because --expires 2027-01-31",
            "quota credit org_1 --messages 5 --reason because --expires tomorrow",
            "jobs retry",
            "jobs retry job_1 --all",
            "jobs cancel job_1",
            "jobs list --state lost",
        ],
    )
    def test_asks_for_what_must_be_said(self, words):
        asked = CliRunner().invoke(cli.main, [*words.split(), "--execute"] if "list" not in words else words.split())

        assert (asked.exit_code, asked.stdout) == (exits.USAGE, "")

    def test_asks_who_decides_where_the_system_does_not_know_it(self, monkeypatch):
        for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)  # as in a container, a number without a name

        asked = CliRunner().invoke(cli.main, ["parked", "discard", "quota/billing/1", "--reason", "because"])

        assert (asked.exit_code, asked.stdout) == (exits.USAGE, "")
        assert "--by" in asked.stderr
