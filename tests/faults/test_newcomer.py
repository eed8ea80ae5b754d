"""A consumer that begins: late, or on a broker that dies at the worst moment."""

import time

import pika.exceptions
from sqlalchemy import text

from sandbox.rabbitmq import RabbitmqServer
from shared import outbox, tables
from tests.faults import report
from tests.faults.fleet import Fleet
from tests.shared import broker, kernel

EVENTS, STREAMS = 10_000, 50
QUEUE = "listening.from.counting"


class TestAConsumer:
    def test_that_starts_after_ten_thousand_events_applies_them_all(self, fleet: Fleet) -> None:
        for number in range(STREAMS):
            stream, amounts = f"counter-org_{number}", tuple(range(1, EVENTS // STREAMS + 1))
            kernel.add(fleet.counting, stream, *amounts)
            fleet.acknowledged.append((stream, amounts))
        assert outbox.sequence(fleet.counting) == EVENTS
        fleet.members["serve"].start()
        fleet.members["counting"].start()
        kernel.eventually(lambda: published(fleet) == EVENTS, "all is published", timeout_seconds=60)

        started = time.monotonic()
        fleet.members["listening"].start()
        kernel.eventually(lambda: applied(fleet) == EVENTS, "all is applied", timeout_seconds=90)
        report.add("late consumer", events=EVENTS, seconds=round(time.monotonic() - started, 1))
        fleet.history().settle()

    def test_makes_its_queue_anew_when_the_broker_died_before_the_queue_had_a_leader(
        self, fleet: Fleet, rabbitmq: RabbitmqServer
    ) -> None:
        fleet.members["listening"].settings["answer_seconds"] = 2
        fleet.members["serve"].start()
        fleet.members["listening"].start()
        kernel.eventually(lambda: is_declared(fleet), "the queue is there")
        rabbitmq.kill()
        rabbitmq.start()

        fleet.members["counting"].start()
        for _ in range(3):
            fleet.add_up("counter-org_1")

        kernel.eventually(lambda: published(fleet) == 3, "the broker takes events again", timeout_seconds=90)
        assert "queue is broken; deleting it" in fleet.members["listening"].log.read_text()
        fleet.history().settle()


def is_declared(fleet: Fleet) -> bool:
    """Asked quickly: half a second later the queue has a leader for good."""
    try:
        with broker.channel(fleet.amqp_uri) as channel:
            channel.queue_declare(QUEUE, passive=True)
    except pika.exceptions.ChannelClosedByBroker:
        return False
    return True


def applied(fleet: Fleet) -> int:
    row = kernel.row_of(fleet.listening, tables.Inbox, "counting")
    return row.position if row else 0


def published(fleet: Fleet) -> int:
    with fleet.counting.begin() as session:
        place: int = session.execute(text("SELECT published FROM log_head")).scalar_one()
        return place
