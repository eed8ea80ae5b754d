"""The timer that opens orgs whose time has come: whom it visits, and what becomes of it when it is not alone."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from services.quota import models, visits, worker
from services.quota.events import CATALOGUE
from shared import tables, verification

ROOT = Path(__file__).parents[2]
FIRST = datetime(2026, 12, 1, tzinfo=UTC)
KILLED = """
import sys
from pathlib import Path
from services.quota import visits, worker
from shared import clock, database, failpoints
visits.AT_ONCE = 2
failpoints.arm("visit.committed", at=2)
worker.turn_months(database.Database(sys.argv[1], clock.Clock(Path(sys.argv[2]))))
"""


@pytest.fixture
def orgs(quota, monkeypatch):
    """Seven that have ended at their limit when the month has just turned, beside `org_1`, which has not."""
    monkeypatch.setattr(visits, "AT_ONCE", 3)
    ids = [f"org_at_{number}" for number in range(7)]
    for org_id in ids:
        quota.subscribe(org_id=org_id, message_limit=0)
    with quota.database.begin() as session:  # they begin the new month with messages, without having sent ten each
        session.execute(update(models.Org).where(models.Org.org_id.in_(ids)).values(message_limit=10))
    quota.database.clock.set(frozen_at=FIRST)
    return ids


def periods(quota):
    with quota.database.begin() as session:
        return {org.org_id: org.period for org in session.scalars(select(models.Org))}


def still_in(quota, period):
    return {org_id for org_id, theirs in periods(quota).items() if theirs == period}


def recorded(quota, name):
    """How many events of this name each stream has."""
    with quota.database.begin() as session:
        return Counter(session.scalars(select(tables.Event.stream).where(tables.Event.name == name)))


def restarted(quota):
    return recorded(quota, "quota.BotsRestarted")


class TestVisit:
    def test_is_paid_to_those_alone_who_had_ended_at_their_limit(self, quota, orgs):
        assert worker.turn_months(quota.database) == len(orgs)

        assert still_in(quota, "2026-11") == {"org_1"}
        assert restarted(quota) == dict.fromkeys((f"quota-{org_id}" for org_id in orgs), 1)
        assert verification.verify(quota.database, CATALOGUE).faults == {}

    def test_does_nothing_the_second_time(self, quota, orgs):
        worker.turn_months(quota.database)

        assert worker.turn_months(quota.database) == 0
        assert sum(restarted(quota).values()) == len(orgs)

    def test_passes_over_an_org_that_somebody_holds(self, quota, orgs):
        with quota.database.begin() as session:
            session.execute(text("SELECT FROM orgs WHERE org_id = 'org_at_4' FOR UPDATE"))
            assert worker.turn_months(quota.database) == len(orgs) - 1

        assert still_in(quota, "2026-11") == {"org_1", "org_at_4"}
        assert worker.turn_months(quota.database) == 1

    def test_is_shared_by_those_who_visit_at_once(self, quota, orgs, monkeypatch):
        monkeypatch.setattr(visits, "AT_ONCE", 1)
        together = threading.Barrier(4)

        def visit(_number):
            together.wait()
            return worker.turn_months(quota.database)

        with ThreadPoolExecutor(4) as workers:
            changed = list(workers.map(visit, range(4)))

        worker.turn_months(quota.database)  # an org that two wanted at once may have been left to the other
        assert sum(changed) <= len(orgs)
        assert still_in(quota, "2026-11") == {"org_1"}
        assert set(restarted(quota).values()) == {1}
        assert len(restarted(quota)) == len(orgs)

    def test_ends_after_so_many_and_goes_on_the_next_time(self, quota, orgs, monkeypatch):
        monkeypatch.setattr(visits, "PER_VISIT", 3)

        changed = [worker.turn_months(quota.database) for _ in range(4)]

        assert changed == [3, 3, 1, 0]

    def test_that_is_killed_is_taken_up_by_the_next(self, quota, orgs):
        program = [sys.executable, "-W", "ignore", "-c", KILLED, quota.database.url, str(quota.database.clock.file)]

        killed = subprocess.run(program, cwd=ROOT, timeout=60, check=False)

        assert killed.returncode == -signal.SIGKILL
        assert len(restarted(quota)) == 4
        assert worker.turn_months(quota.database) == 3
        assert restarted(quota) == dict.fromkeys((f"quota-{org_id}" for org_id in orgs), 1)
        assert verification.verify(quota.database, CATALOGUE).faults == {}

    def test_opens_the_others_when_one_cannot_be_opened_and_says_why(self, quota, orgs):
        with quota.database.begin() as session:
            session.execute(text("""UPDATE orgs SET credits = '[{"id": 1}]' WHERE org_id = 'org_at_2'"""))

        with pytest.raises(KeyError, match="granted_at"):
            worker.turn_months(quota.database)

        assert still_in(quota, "2026-11") == {"org_1", "org_at_2"}
