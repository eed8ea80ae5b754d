"""A process that stands still and keeps its connections: another takes over, and it does no harm when it goes on."""

import time

import pytest
from sqlalchemy import text

from sandbox.rabbitmq import RabbitmqServer
from tests.faults import report
from tests.faults.fleet import Fleet
from tests.faults.history import Tap
from tests.shared import kernel
from tests.shared.kernel import Listener
from tests.shared.test_worker import LISTENERS

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]

TAKEOVER_SECONDS = 150  # RabbitMQ misses two heartbeats of 30 s, or the second one asks after a minute's silence
STREAM = "counter-org_1"
QUEUE = "listening.from.counting"


class TestAProcessThatStandsStill:
    @pytest.mark.parametrize("name", ["listening", "counting"])
    def test_is_replaced_and_does_nothing_again_when_it_goes_on(
        self, fleet: Fleet, tap: Tap, rabbitmq: RabbitmqServer, name: str
    ) -> None:
        listener = Listener(fleet.listening)
        fleet.start()
        fleet.add_up(STREAM)
        kernel.eventually(lambda: len(listener.heard()) == 1, "all begin")

        fleet.add(f"{name} 2", name).start()
        kernel.eventually(lambda: stand_by(fleet, rabbitmq, name), "the second stands by")
        fleet.add_up(STREAM)
        kernel.eventually(lambda: len(listener.heard()) == 2, "the first does it")
        with fleet.members[name].paused():
            started = time.monotonic()
            for _ in range(5):
                fleet.add_up(STREAM, with_job=True)
            kernel.eventually(
                lambda: len(listener.heard()) == 7, "the second takes over", timeout_seconds=TAKEOVER_SECONDS
            )
            report.add(f"{name} stands still", takeover_seconds=round(time.monotonic() - started, 1))
        fleet.add_up(STREAM)

        fleet.history(tap).settle()
        fleet.settle_jobs(most_repeats=0)


def stand_by(fleet: Fleet, rabbitmq: RabbitmqServer, name: str) -> bool:
    """Whether both do what they do when there is nothing to do."""
    if name == "listening":
        return rabbitmq.ctl("list_consumers", "-p", fleet.vhost, "queue_name").count(QUEUE) == 2
    with fleet.counting.begin() as session:
        return len(session.execute(text(LISTENERS)).all()) == 2
