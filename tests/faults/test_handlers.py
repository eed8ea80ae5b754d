"""Handlers that raise, kill their process, or hang: their stream is parked, the others go on."""

import pytest

from shared import inbox
from tests.faults import counting
from tests.faults.fleet import Fleet
from tests.shared import kernel
from tests.shared.kernel import Listener

SICK, WELL = "counter-org_1", "counter-org_2"
HANDLER_SECONDS = 1.0


@pytest.fixture
def listener(fleet: Fleet) -> Listener:
    return Listener(fleet.listening)


def restart_until(fleet: Fleet, name: str, holds, what: str) -> int:
    """As a supervisor would: start it again whenever it has ended. Gives how often that was."""
    restarts = 0

    def look() -> bool:
        nonlocal restarts
        member = fleet.members[name]
        if not member.lives:
            member.restart()
            restarts += 1
        return bool(holds())

    kernel.eventually(look, what, timeout_seconds=60)
    return restarts


class TestAHandler:
    @pytest.mark.parametrize(
        "fault, deaths, reason",
        [
            (counting.RAISES, 0, "RuntimeError in counting.Added"),
            (counting.KILLS, inbox.MAX_ATTEMPTS, "the process ended while it handled counting.Added"),
            (counting.HANGS, inbox.MAX_ATTEMPTS, "the process ended while it handled counting.Added"),
        ],
        ids=["that raises", "that kills its process", "that hangs"],
    )
    def test_parks_its_stream_after_three_tries_and_nothing_else(
        self, fleet: Fleet, listener: Listener, fault: int, deaths: int, reason: str
    ) -> None:
        fleet.members["listening"].settings["handler_seconds"] = HANDLER_SECONDS
        fleet.start()
        fleet.add_up(SICK, 1)
        fleet.add_up(SICK, fault)
        for amount in range(2, 12):
            fleet.add_up(WELL, amount)
        fleet.add_up(SICK, 2)

        restarts = restart_until(fleet, "listening", lambda: len(listener.parked()) == 2, "both are parked")

        kernel.eventually(lambda: len(listener.heard()) == 11, "the others are applied")
        assert listener.parked()[0][1] == reason
        assert listener.parked()[1][1] == "an earlier event of its stream is parked"
        assert sorted(listener.heard()) == [(SICK, 1), *((WELL, version) for version in range(1, 11))]
        assert deaths <= restarts <= deaths + 1  # one more where it was handled together with others at first
