"""The month turns at midnight of the first, UTC, by the test clock that all processes share."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared import clock
from tests.stack import crowd
from tests.stack.stacks import Org, Running, eventually
from tests.stack.test_admission import message


@pytest.fixture
def turn(stack: Running) -> Iterator[datetime]:
    """The first moment of the next month. Afterwards the clock shows the machine's time again."""
    yield clock.next_month(stack.clock.now())
    stack.clock.set()


@pytest.fixture
def org(stack: Running, turn: datetime) -> Org:
    """One that signed up an hour before the month's end: a session does not rest for longer."""
    stack.clock.set(frozen_at=turn - timedelta(hours=1))
    return stack.sign_up()


class TestAMessage:
    def test_of_the_last_moment_counts_in_the_old_month(self, org: Org, turn: datetime) -> None:
        last_moment = turn - timedelta(microseconds=1)
        org.stack.clock.set(frozen_at=last_moment)

        admitted = org.send("msg_last").json()

        assert (admitted["period"], admitted["used"]) == (f"{last_moment:%Y-%m}", 1)
        assert org.usage()["resets_at"] == clock.rfc3339(turn)

    def test_of_the_first_moment_counts_in_the_new_month(self, org: Org, turn: datetime) -> None:
        org.send("msg_before")
        org.stack.clock.set(frozen_at=turn)

        admitted = org.send("msg_first").json()

        assert (admitted["period"], admitted["used"]) == (f"{turn:%Y-%m}", 1)
        assert org.usage()["resets_at"] == clock.rfc3339(clock.next_month(turn))

    def test_counts_in_the_open_month_when_the_clock_is_set_back(self, org: Org, turn: datetime) -> None:
        org.stack.clock.set(frozen_at=turn)
        org.send("msg_first")
        org.stack.clock.set(frozen_at=turn - timedelta(minutes=1))

        admitted = org.send("msg_second").json()

        assert (admitted["period"], admitted["used"]) == (f"{turn:%Y-%m}", 2)
        assert org.usage()["period"] == f"{turn:%Y-%m}"

    def test_of_the_old_month_asked_again_in_the_new_gets_its_answer(self, org: Org, turn: datetime) -> None:
        first = org.send("msg_same")
        org.stack.clock.set(frozen_at=turn)

        again = org.send("msg_same")

        assert (again.status_code, again.json()) == (201, first.json())
        assert org.usage()["used"] == 0


class TestAnOrgAtItsLimit:
    def test_runs_again_by_itself_when_the_month_turns(self, org: Org, turn: datetime) -> None:
        answers = crowd.ask_at_once([message(org, f"msg_{number}", org.stack.url) for number in range(200)])
        assert {answer.status for answer in answers} == {201}
        assert org.bots() == [("Charles", "stopped")]

        org.stack.clock.set(frozen_at=turn)

        eventually(lambda: org.stack.events("quota", "quota.BotsRestarted", org.id), "nobody turned the month")
        assert org.bots() == [("Charles", "running")]
        assert org.send("msg_first").json()["used"] == 1


class TestTheTurnOfTheYear:
    """The quota's month is the calendar's, in UTC; the paid period begins on whatever day somebody paid."""

    def test_counts_messages_anew_and_lets_the_paid_period_be(self, stack: Running) -> None:
        new_year = datetime(stack.clock.now().year + 1, 1, 1, tzinfo=UTC)
        stack.clock.set(frozen_at=new_year - timedelta(hours=1))
        try:
            org = stack.sign_up()
            org.subscribe("starter", limit=2000)
            org.send("msg_before")
            org.stack.clock.set(frozen_at=new_year - timedelta(seconds=1))
            last_second = (org.usage()["used"], org.usage()["resets_at"])
            before = org.subscription()

            stack.clock.set(frozen_at=new_year)

            assert last_second == (1, clock.rfc3339(new_year))
            assert org.usage()["used"] == 0
            first = org.send("msg_first").json()
            assert (first["period"], first["used"]) == (f"{new_year:%Y-%m}", 1)
            after = org.subscription()
            assert [after[name] for name in ("plan", "version", "period")] == ["starter", 2, before["period"]]
            assert before["period"]["ends_at"] == clock.rfc3339(new_year + timedelta(days=31, hours=-1))
        finally:
            stack.clock.set()
