"""Whatever a clock does: each message in its month in UTC by quota's database, and nothing granted twice."""

import json
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from ops.quota import looking
from services.quota import boundary, worker
from services.quota.events import CATALOGUE
from shared import tables, verification
from tests.quota.conftest import OWNER

ROOT = Path(__file__).parents[2]
ENDS = [
    "2026-12-31T23:59:59.999Z",
    "2027-02-28T23:59:59.999Z",
    "2028-02-29T23:59:59.999Z",
    "2100-02-28T23:59:59.999Z",
]


@pytest.fixture
def bot_id(quota):
    return quota.tell("create_bot", name="Anna")["id"]


@pytest.mark.pure
class TestPeriodOf:
    def test_is_the_month_in_utc_in_whatever_zone_the_moment_is_written(self):
        new_york, kiritimati = timezone(-timedelta(hours=5)), timezone(timedelta(hours=14))

        assert boundary.period_of(datetime(2026, 11, 30, 19, tzinfo=new_york)) == "2026-12"
        assert boundary.period_of(datetime(2026, 12, 1, 13, 59, tzinfo=kiritimati)) == "2026-11"


class TestTheMonth:
    @pytest.mark.parametrize("end", ENDS)
    def test_ends_with_its_last_moment_in_long_months_short_ones_and_leap_years(self, quota, bot_id, end):
        last_moment = datetime.fromisoformat(end)
        first_moment = last_moment + timedelta(milliseconds=1)

        quota.database.clock.set(frozen_at=last_moment)
        last = quota.send(bot_id, "msg_last")[0]["admitted"]
        quota.database.clock.set(frozen_at=first_moment)
        first = quota.send(bot_id, "msg_first")[0]["admitted"]

        assert (last["period"], last["used"]) == (f"{last_moment:%Y-%m}", 1)
        assert (first["period"], first["used"]) == (f"{first_moment:%Y-%m}", 1)
        assert first_moment.day == 1

    @pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati"])
    def test_does_not_depend_on_the_zones_of_machine_and_server_or_their_summer_time(
        self, quota, bot_id, postgres, monkeypatch, zone
    ):
        with postgres.administer() as cursor:
            cursor.execute(f"ALTER DATABASE \"{quota.database.engine.url.database}\" SET timezone TO '{zone}'")
        quota.database.close()
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        moments = {
            "2027-03-14T06:59:59Z": "2027-03",  # New York's clocks go from 1:59 to 3:00 …
            "2027-03-14T07:00:00Z": "2027-03",
            "2027-10-31T23:30:00Z": "2027-10",
            "2027-11-01T00:30:00Z": "2027-11",
            "2027-11-07T06:30:00Z": "2027-11",  # … and show 1:30 for the second time
            "2027-11-30T23:59:59.999999Z": "2027-11",
            "2027-12-01T00:00:00Z": "2027-12",
        }
        try:
            periods = {}
            for moment in moments:
                quota.database.clock.set(frozen_at=datetime.fromisoformat(moment))
                periods[moment] = quota.send(bot_id, f"msg_{moment}")[0]["admitted"]["period"]
        finally:
            monkeypatch.undo()
            time.tzset()

        assert periods == moments

    numbers = count()

    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(st.sampled_from([0, 1, -1, 3600, -3600, 86_400, -86_400, 32 * 86_400]), st.integers(1, 7)),
            max_size=12,
        )
    )
    def test_is_granted_once_however_the_clock_jumps(self, quota, jumps):
        org_id, now = f"org_x{next(self.numbers)}", datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
        owner = OWNER.__class__(kind="person", id="acc_1", org_id=org_id, role="owner")
        quota.database.clock.set(frozen_at=now)
        quota.subscribe(org_id=org_id, message_limit=10)
        bot_id = quota.tell("create_bot", actor=owner, name="Anna")["id"]
        used, periods = defaultdict(list), []
        for step, (seconds, messages) in enumerate(jumps):
            now += timedelta(seconds=seconds)
            quota.database.clock.set(frozen_at=now)
            worker.turn_months(quota.database)
            for answer in quota.send(bot_id, *(f"msg_{step}_{number}" for number in range(messages)), actor=owner):
                if "admitted" in answer:
                    used[answer["admitted"]["period"]].append(answer["admitted"]["used"])
                    periods.append(answer["admitted"]["period"])
            usage = quota.ask("get_usage", actor=owner)
            assert 0 <= usage["used"] <= 10

        assert periods == sorted(periods)
        assert all(counted == list(range(1, len(counted) + 1)) and len(counted) <= 10 for counted in used.values())
        with quota.database.begin() as session:
            opened = select(tables.Event.stream).where(
                tables.Event.name == "quota.PeriodOpened", tables.Event.stream.like(f"ledger-{org_id}-%")
            )
            streams = session.scalars(opened).all()
        assert len(streams) == len(set(streams))
        assert verification.verify(quota.database, CATALOGUE).faults == {}


class TestAMachineWhoseClockIsWrong:
    @pytest.fixture
    def quota(self, make_quota, open_database):
        """By the machine's time, as outside the sandbox."""
        made = make_quota(open_database("quota"))
        made.subscribe(message_limit=1000)
        return made

    @pytest.mark.parametrize("days", [40, -40])
    def test_counts_in_the_month_that_its_database_shows(self, quota, days):
        bot_id = quota.tell("create_bot", name="Anna")["id"]
        period = boundary.period_of(database_time(quota))

        with time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True):
            worker.turn_months(quota.database)
            admitted = quota.send(bot_id, "msg_1")[0]["admitted"]

        assert period <= admitted["period"] <= boundary.period_of(database_time(quota))

    def test_forgets_no_id_that_its_database_would_remember(self, quota):
        bot_id = quota.tell("create_bot", name="Anna")["id"]
        counted = quota.send(bot_id, "msg_1")

        with time_machine.travel(datetime.now(UTC) + timedelta(days=100), tick=True):
            assert worker.prune_messages(quota.database) == 0
            with quota.database.begin() as session:
                assert looking.remembered_from(session) < boundary.period_of(database_time(quota))

        assert quota.send(bot_id, "msg_1") == counted

    def test_decides_by_one_clock_with_another_that_is_ten_seconds_apart(self, quota):
        bot_id = quota.tell("create_bot", name="Anna")["id"]
        program = [sys.executable, "-m", "tests.quota.skewed", quota.database.url]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [
            subprocess.Popen([*program, seconds, bot_id, "20"], cwd=ROOT, **pipes) for seconds in ("5", "-5")
        ]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        began_at = database_time(quota)
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
        ended_at = database_time(quota)

        used = [answer["admitted"]["used"] for process in answers for answer in process]
        assert sorted(used) == list(range(1, 41))
        recorded = select(tables.Event.recorded_at).where(tables.Event.name == "quota.MessageRecorded")
        with quota.database.begin() as session:
            moments = session.scalars(recorded.order_by(tables.Event.stream, tables.Event.version)).all()
        assert moments == sorted(moments)
        assert began_at <= moments[0]
        assert moments[-1] <= ended_at


def database_time(quota) -> datetime:
    with quota.database.begin() as session:
        return session.scalars(text("SELECT clock_timestamp()")).one()
