from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from shared import clock

pytestmark = pytest.mark.pure

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def test_clock(tmp_path: Path) -> clock.Clock:
    return clock.Clock(tmp_path / "clock.json")


class TestNow:
    def test_is_the_machine_time_without_a_test_clock(self):
        before = datetime.now(UTC)

        assert before <= clock.Clock().now() <= datetime.now(UTC)

    def test_is_the_machine_time_while_nobody_has_set_the_test_clock(self, test_clock):
        assert test_clock.moved(NOON) == NOON

    def test_stands_where_it_was_frozen(self, test_clock):
        test_clock.set(frozen_at=NOON)

        assert test_clock.now() == test_clock.now() == NOON

    def test_runs_on_moved_by_the_offset(self, test_clock):
        test_clock.set(offset_seconds=3600)

        assert test_clock.moved(NOON) == NOON + timedelta(hours=1)


class TestSet:
    def test_moves_the_clock_of_every_process_that_shares_the_file(self, test_clock):
        other = clock.Clock(test_clock.file)
        assert other.moved(NOON) == NOON

        test_clock.set(offset_seconds=60)
        assert other.moved(NOON) == NOON + timedelta(minutes=1)

        test_clock.set(frozen_at=NOON)
        assert other.now() == NOON

    def test_is_never_seen_half_done(self, test_clock):
        moments = [NOON, NOON + timedelta(days=1)]
        test_clock.set(frozen_at=NOON)

        with ThreadPoolExecutor(3) as threads:
            seen = [
                threads.submit(lambda: {clock.Clock(test_clock.file).now() for _ in range(200)}) for _ in range(2)
            ]
            for turn in range(200):
                test_clock.set(frozen_at=moments[turn % 2])

        assert set().union(*(found.result() for found in seen)) <= set(moments)

    def test_is_refused_where_there_is_no_test_clock(self):
        with pytest.raises(RuntimeError):
            clock.Clock().set(offset_seconds=1)


class TestRfc3339:
    @pytest.mark.parametrize(
        "moment, text",
        [
            (NOON, "2026-11-22T12:00:00Z"),
            (NOON.replace(microsecond=5), "2026-11-22T12:00:00.000005Z"),
            (datetime(2026, 11, 22, 14, tzinfo=timezone(timedelta(hours=2))), "2026-11-22T12:00:00Z"),
        ],
    )
    def test_is_in_utc_and_undone_by_parse(self, moment, text):
        assert clock.rfc3339(moment) == text
        assert clock.parse(text) == moment


class TestParse:
    @pytest.mark.parametrize("text", ["", "noon", "2026-11-22", "2026-11-22T12:00:00"])
    def test_refuses_what_is_no_moment_or_names_no_zone(self, text):
        with pytest.raises(ValueError):  # noqa: PT011  # the standard library's own words
            clock.parse(text)


class TestNextMonth:
    @pytest.mark.parametrize(
        "moment, first",
        [
            (datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)),
            (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)),
            (datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)),
            (datetime(2026, 12, 15, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
            (datetime(2026, 11, 1, 1, tzinfo=timezone(timedelta(hours=3))), datetime(2026, 11, 1, tzinfo=UTC)),
        ],
    )
    def test_is_the_first_moment_of_the_next_month_in_utc(self, moment, first):
        assert clock.next_month(moment) == first
