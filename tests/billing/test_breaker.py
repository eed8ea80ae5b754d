"""The circuit breaker, on a clock that the tests move."""

import pytest

from services.billing import breaker
from services.billing.breaker import FAILURES, LONGEST_OPEN_SECONDS, OPEN_SECONDS

pytestmark = pytest.mark.pure


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def switch(clock: Clock) -> breaker.Breaker:
    return breaker.Breaker(now=clock)


def fail(switch: breaker.Breaker, times: int = FAILURES) -> None:
    for _ in range(times):
        switch.admit()
        switch.failed()


def is_admitted(switch: breaker.Breaker) -> bool:
    try:
        switch.admit()
    except breaker.Refused:
        return False
    return True


class TestBreaker:
    def test_opens_after_failures_in_a_row(self, switch):
        fail(switch, FAILURES - 1)
        open_before_the_last = switch.is_open

        fail(switch, 1)

        assert (open_before_the_last, switch.is_open, is_admitted(switch)) == (False, True, False)

    def test_does_not_count_failures_with_an_answer_between_them(self, switch):
        fail(switch, FAILURES - 1)
        switch.admit()
        switch.succeeded()

        fail(switch, FAILURES - 1)

        assert not switch.is_open

    def test_says_when_asking_may_be_worth_it(self, switch, clock):
        fail(switch)
        clock.seconds += OPEN_SECONDS - 2

        with pytest.raises(breaker.Refused) as refused:
            switch.admit()

        assert refused.value.seconds == pytest.approx(2)

    def test_lets_one_through_after_a_while(self, switch, clock):
        fail(switch)
        clock.seconds += OPEN_SECONDS

        assert [is_admitted(switch) for _ in range(3)] == [True, False, False]
        assert switch.is_open

    def test_closes_when_that_one_is_answered(self, switch, clock):
        fail(switch)
        clock.seconds += OPEN_SECONDS
        switch.admit()

        switch.succeeded()

        assert not switch.is_open
        assert all(is_admitted(switch) for _ in range(3))

    def test_stays_open_for_longer_each_time_that_one_fails(self, switch, clock):
        fail(switch)
        waited = []
        for _ in range(5):
            before = clock.seconds
            while not is_admitted(switch):
                clock.seconds += 1
            switch.failed()
            waited.append(clock.seconds - before)

        assert waited == [
            OPEN_SECONDS,
            2 * OPEN_SECONDS,
            4 * OPEN_SECONDS,
            LONGEST_OPEN_SECONDS,
            LONGEST_OPEN_SECONDS,
        ]

    def test_lets_another_through_if_that_one_never_tells(self, switch, clock):
        fail(switch)
        clock.seconds += OPEN_SECONDS
        switch.admit()

        switch.abandoned()

        assert is_admitted(switch)

    def test_is_not_opened_for_longer_by_those_that_had_begun_before(self, switch, clock):
        for _ in range(FAILURES + 3):
            switch.admit()
        for _ in range(FAILURES + 3):
            switch.failed()

        clock.seconds += OPEN_SECONDS

        assert is_admitted(switch)

    def test_bounds_how_many_calls_are_under_way(self, clock):
        narrow = breaker.Breaker(now=clock, at_once=2)
        admitted = [is_admitted(narrow) for _ in range(3)]
        narrow.succeeded()

        assert (admitted, is_admitted(narrow), narrow.is_open) == ([True, True, False], True, False)

    def test_leaves_room_for_what_needs_no_answer(self):
        assert breaker.AT_ONCE < 32  # the calls that one `serve` answers at once
