"""SIGKILL at each of the places where a crash could lose or repeat something."""

import time

import pytest

from shared import failpoints, jobs
from tests.faults.fleet import Fleet
from tests.faults.history import Tap

ROLES = {
    "command.committed": "serve",
    "outbox.sequenced": "counting",
    "relay.published": "counting",
    "relay.confirmed": "counting",
    "job.claimed": "counting",
    "job.effected": "counting",
    "inbox.applied": "listening",
    "inbox.committed": "listening",
}
DEATH_SECONDS = 30


class TestSigkill:
    @pytest.mark.parametrize("place", ROLES)
    def test_loses_nothing_and_repeats_nothing(self, fleet: Fleet, tap: Tap, place: str) -> None:
        victim = fleet.members[ROLES[place]]
        for member in fleet.members.values():
            member.start(fail_at=f"{place}:2" if member is victim else "")
        if place == "command.committed":
            # Whoever asks waits for its deadline; the second process answers when it is asked again.
            fleet.add("serve 2", "serve").start()
        deadline = time.monotonic() + DEATH_SECONDS
        while victim.lives:  # one by one, or they would all be done in one go
            assert time.monotonic() < deadline, f"{place} was not reached twice"
            fleet.add_up("counter-org_1", with_job=True)
            fleet.add_up("counter-org_2")

        victim.restart()
        fleet.counting.clock.set(offset_seconds=jobs.LEASE.total_seconds())

        fleet.add_up("counter-org_1")
        fleet.history(tap).settle()
        fleet.assert_acknowledged_once()
        # Whatever ends a worker may catch one of its jobs between the effect and the mark.
        fleet.settle_jobs(most_repeats=1 if ROLES[place] == "counting" else 0)


class TestArm:
    pytestmark = pytest.mark.pure

    def test_knows_its_places(self):
        with pytest.raises(ValueError, match="'nowhere' is not one of"):
            failpoints.arm("nowhere")


class TestParse:
    pytestmark = pytest.mark.pure

    def test_reads_a_place_and_a_count(self):
        assert failpoints.parse("relay.confirmed") == ("relay.confirmed", 1)
        assert failpoints.parse("relay.confirmed:3") == ("relay.confirmed", 3)

    @pytest.mark.parametrize("text", ["", "relay", "relay.confirmed:0", "relay.confirmed:-1", "relay.confirmed:x"])
    def test_refuses_what_is_neither(self, text):
        with pytest.raises(ValueError):  # noqa: PT011
            failpoints.parse(text)
