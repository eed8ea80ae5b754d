"""Months that are made in bulk are what quota's doors would have left."""

import pytest

from benchmarks import ledgers
from ops import exits
from services.quota import projections
from services.quota.events import CATALOGUE
from shared import rebuilding, verification
from tests.ops.conftest import months
from tests.ops.months import Months, asked
from tests.quota.conftest import make_quota, quota

__all__ = ["make_quota", "months", "quota"]

FILLED = [
    ledgers.Month(org_id="org_3", period="2026-10", message_limit=1000, messages=300, is_open=False),
    ledgers.Month(org_id="org_3", period="2026-11", message_limit=1000, messages=200),
    ledgers.Month(org_id="org_4", period="2026-11", message_limit=1, messages=1),
    ledgers.Month(org_id="org_5", period="2026-11", message_limit=5, messages=0),
]


@pytest.fixture
def filled(months: Months, monkeypatch: pytest.MonkeyPatch) -> Months:
    monkeypatch.setattr(ledgers, "EVENTS_AT_ONCE", 250)
    ledgers.fill(months.quota.database, FILLED)
    return months


class TestFill:
    def test_leaves_rows_that_are_as_the_events_say(self, filled: Months) -> None:
        done = asked("check")

        assert (done.exit_code, done.stdout) == (exits.OK, "4 orgs, 5 months, 509 events: all as the events say\n")

    def test_leaves_chains_that_verify(self, filled: Months) -> None:
        report = verification.verify(filled.quota.database, CATALOGUE)

        assert (report.events, report.faults) == (510, {})

    def test_leaves_tallies_that_follow_from_the_events(self, filled: Months) -> None:
        report = rebuilding.diff(filled.quota.database, projections.READ_MODELS, limit=10)

        assert report.differences == []
