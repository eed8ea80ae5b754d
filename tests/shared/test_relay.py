import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pika
import pytest
from sqlalchemy import exc, text
from structlog.testing import capture_logs

from sandbox import ports
from sandbox.rabbitmq import RabbitmqServer
from shared import database, envelope, outbox, relay, tables
from tests.shared import broker, kernel

STREAM = "counter-org_1"


@pytest.fixture
def outlet(home: database.Database, amqp_uri: str) -> Iterator[relay.Relay]:
    outlet = relay.Relay(home, "counting", amqp_uri)
    yield outlet
    outlet.close()


@pytest.fixture
def channel(amqp_uri: str) -> Iterator[broker.BlockingChannel]:
    with broker.channel(amqp_uri) as channel:
        yield channel


def positions(messages: list[tuple[object, object, bytes]]) -> list[int]:
    return [envelope.decode(body).position for _method, _properties, body in messages]


def checkpoint(home: database.Database) -> int:
    head: tables.LogHead = kernel.row_of(home, tables.LogHead, True)
    return head.published


def publishing_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("publisher")]


class TestRun:
    def test_publishes_the_log_in_order_and_moves_its_checkpoint(self, home, outlet, channel):
        queue = broker.listen(channel)
        log = kernel.publish(home, *[STREAM, "counter-org_2"] * 3)

        assert outlet.run() == 6

        bodies = [body for _method, _properties, body in broker.receive(channel, queue, 6)]
        assert [envelope.decode(body) for body in bodies] == log
        assert checkpoint(home) == 6
        assert outlet.run() == 0

    def test_publishes_more_than_one_batch(self, home, outlet, channel, monkeypatch):
        monkeypatch.setattr(relay, "BATCH", 3)
        queue = broker.listen(channel)
        kernel.publish(home, *[STREAM] * 8)

        assert outlet.run() == 8

        assert positions(broker.receive(channel, queue, 8)) == list(range(1, 9))

    def test_writes_persistent_messages_that_say_what_they_are(self, home, outlet, channel):
        queue = broker.listen(channel)
        (event,) = kernel.publish(home, STREAM)

        outlet.run()

        ((method, properties, _body),) = broker.receive(channel, queue, 1)
        assert (method.exchange, method.routing_key) == ("counting.events", "counting.Added")
        assert properties.delivery_mode == pika.DeliveryMode.Persistent.value
        assert properties.content_type == "application/cloudevents+json"
        assert (properties.message_id, properties.type) == (event.id, "counting.Added")

    def test_takes_it_that_nobody_listens_yet(self, home, new_vhost):
        kernel.publish(home, STREAM)

        with closing(relay.Relay(home, "counting", new_vhost())) as outlet, capture_logs() as lines:
            assert outlet.run() == 1

        assert checkpoint(home) == 1
        assert "nobody listens" in [line["event"] for line in lines]

    def test_leaves_its_checkpoint_where_the_broker_refused(self, home, outlet, channel):
        full = broker.listen(channel, **{"x-max-length": 1, "x-overflow": "reject-publish"})
        kernel.publish(home, STREAM)
        outlet.run()
        kernel.publish(home, STREAM)

        for _ in range(2):
            with pytest.raises(relay.BrokerAway):
                outlet.run()
            assert checkpoint(home) == 1

        broker.receive(channel, full, 1)
        assert outlet.run() == 1
        assert positions(broker.receive(channel, full, 1)) == [2]

    def test_publishes_again_what_it_could_not_remember(self, home, listener, channel, amqp_uri):
        queue = broker.listen(channel)
        kernel.publish(home, STREAM, STREAM)
        hurried = database.Database(home.url, home.clock, statement_timeout_seconds=0.2)
        outlet = relay.Relay(hurried, "counting", amqp_uri)

        with home.begin() as session:
            session.execute(text("SELECT FROM log_head FOR UPDATE"))  # the checkpoint cannot be moved
            with pytest.raises(exc.OperationalError):
                outlet.run()
        outlet.run()

        messages = broker.receive(channel, queue, 4)
        assert positions(messages) == [1, 2, 1, 2]
        listener.inbox.take([envelope.decode(body) for _method, _properties, body in messages])
        assert listener.heard() == [(STREAM, 1), (STREAM, 2)]
        outlet.close()
        hurried.close()

    def test_connects_anew_after_the_broker_closed_the_connection(self, home, outlet, rabbitmq, amqp_uri):
        kernel.publish(home, STREAM)
        outlet.run()

        close_all_connections(rabbitmq)

        kernel.publish(home, STREAM)
        with broker.channel(amqp_uri) as again:
            queue = broker.listen(again)
            run_until_published(outlet, 1)
            assert positions(broker.receive(again, queue, 1)) == [2]

    def test_says_that_the_broker_is_away_and_leaves_no_thread_behind(self, home, monkeypatch):
        monkeypatch.setattr(relay, "CONFIRM_SECONDS", 0.3)
        kernel.publish(home, STREAM)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for port in (silent.getsockname()[1], ports.free()):
                outlet = relay.Relay(home, "counting", f"amqp://guest:guest@127.0.0.1:{port}/")
                for _ in range(2):
                    with pytest.raises(relay.BrokerAway):
                        outlet.run()

        assert checkpoint(home) == 0
        kernel.eventually(lambda: not publishing_threads(), "the threads of failed connections end")

    def test_keeps_the_order_when_two_do_it_at_once(self, home, channel, amqp_uri):
        queue = broker.listen(channel)
        outlets = [relay.Relay(home, "counting", amqp_uri) for _ in range(2)]
        written = threading.Event()

        def run(outlet: relay.Relay) -> int:
            published = 0
            while not written.is_set():
                published += outlet.run()
            return published + outlet.run()

        with ThreadPoolExecutor(2) as threads:
            running = [threads.submit(run, outlet) for outlet in outlets]
            for _ in range(30):
                kernel.add(home, STREAM, 1)
                outbox.sequence(home)
            kernel.eventually(lambda: checkpoint(home) == 30, "all are published")
            written.set()

        assert sum(done.result() for done in running) == 30
        assert positions(broker.receive(channel, queue, 30)) == list(range(1, 31))
        for outlet in outlets:
            outlet.close()


def close_all_connections(rabbitmq: RabbitmqServer) -> None:
    rabbitmq.ctl("close_all_connections", "the test wants it")


def run_until_published(outlet: relay.Relay, wanted: int) -> None:
    """As the worker does: what fails is tried again."""

    def published() -> bool:
        try:
            return outlet.run() == wanted
        except relay.BrokerAway:
            return False

    kernel.eventually(published, f"{wanted} published")


class TestClose:
    def test_ends_the_connection_and_its_thread(self, home, amqp_uri):
        outlet = relay.Relay(home, "counting", amqp_uri)
        kernel.publish(home, STREAM)
        outlet.run()
        assert publishing_threads()

        outlet.close()

        kernel.eventually(lambda: not publishing_threads(), "its thread ends")
