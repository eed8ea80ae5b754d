from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from shared import pruning, tables

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def home(open_database):
    home = open_database("secrets")
    home.clock.set(frozen_at=NOW)
    return home


def keep_commands(home, **ages):
    rows = [
        {"actor": "person:acc_1:org_1", "route": "x.y", "key": key, "fingerprint": b"", "outcome": {}}
        | {"created_at": NOW - age}
        for key, age in ages.items()
    ]
    with home.begin() as session:
        session.execute(insert(tables.Command), rows)


def keep_job(home, id, *, state, age):
    with home.begin() as session:
        session.execute(
            insert(tables.Job).values(
                id=id, kind="k", subject="org_1", state=state, attempts=1, due_at=NOW, created_at=NOW - age
            )
        )


def left(home, column):
    with home.begin() as session:
        return sorted(session.scalars(select(column)))


class TestPrune:
    def test_forgets_commands_after_a_day(self, home):
        keep_commands(home, old=timedelta(hours=24), young=timedelta(hours=24, microseconds=-1))

        assert pruning.prune(home) == 1

        assert left(home, tables.Command.key) == ["young"]

    def test_forgets_done_jobs_after_a_week_and_keeps_failed_and_waiting_ones(self, home):
        keep_job(home, "old", state="done", age=timedelta(days=7))
        keep_job(home, "young", state="done", age=timedelta(days=6))
        keep_job(home, "failed", state="failed", age=timedelta(days=100))
        keep_job(home, "waiting", state="waiting", age=timedelta(days=100))

        assert pruning.prune(home) == 1

        assert left(home, tables.Job.id) == ["failed", "waiting", "young"]

    def test_takes_as_many_batches_as_it_needs(self, home, monkeypatch):
        monkeypatch.setattr(pruning, "BATCH", 2)
        keep_commands(home, **{f"cmd_{number}": timedelta(days=2) for number in range(5)})

        assert pruning.prune(home) == 5

        assert left(home, tables.Command.key) == []
