from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.quota import forecast

pytestmark = pytest.mark.pure

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


def runs_out_at(remaining, counted, now=NOON):
    return forecast.runs_out_at(remaining=remaining, counted=counted, now=now, resets_at=DECEMBER)


class TestRunsOutAt:
    def test_goes_on_at_the_pace_since_the_first_day_with_a_message(self):
        counted = {"2026-11-20": 30, "2026-11-22": 20}  # 50 in 60 hours

        assert runs_out_at(40, counted) == NOON + timedelta(hours=48)

    def test_is_the_next_whole_hour(self):
        assert runs_out_at(41, {"2026-11-20": 50}) == NOON + timedelta(hours=50)

    def test_takes_the_first_hours_of_an_org_for_a_day(self):
        assert runs_out_at(100, {"2026-11-22": 100}) == NOON + timedelta(days=1)

    def test_looks_back_across_the_turn_of_the_month_and_seven_days_at_most(self):
        now = datetime(2026, 11, 2, tzinfo=UTC)
        counted = {"2026-10-25": 1_000_000, "2026-10-26": 70, "2026-11-01": 70}

        assert runs_out_at(40, counted, now) == now + timedelta(days=2)

    @pytest.mark.parametrize(
        "remaining, counted",
        [
            (10, {}),
            (0, {"2026-11-22": 10}),
            (10, {"2026-11-14": 10}),  # longer ago
            (10, {"2026-11-21": 0, "2026-11-20": -3}),  # all was given back
            (10**15, {"2026-11-20": 1}),
            (60, {"2026-11-21": 10}),  # they last beyond the first of December
        ],
    )
    def test_is_not_said_where_nothing_is_sent_or_left_or_it_lasts(self, remaining, counted):
        assert runs_out_at(remaining, counted) is None

    @given(
        st.integers(0, 10**9),
        st.dictionaries(st.integers(-40, 3), st.integers(-5, 10**7)),
        st.timedeltas(-timedelta(days=400), timedelta(days=60)),
    )
    def test_lies_between_now_and_the_reset_whatever_was_counted(self, remaining, days, since):
        now = NOON + since
        counted = {f"{now + timedelta(days=day):%Y-%m-%d}": number for day, number in days.items()}

        moment = runs_out_at(remaining, counted, now)

        assert moment is None or now <= moment < DECEMBER
