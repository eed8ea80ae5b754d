import dataclasses
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pika
import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from shared import consumer, database, envelope, errors, outbox, relay, rpc_client, tables
from tests.shared import broker, kernel, kernel_programs
from tests.shared.kernel import Listener, places

ONE, TWO = "counter-org_1", "counter-org_2"
QUEUE = "listening.from.counting"


@pytest.fixture(autouse=True)
def libraries_keep_silent_too(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """kombu and the others log in their own way, and nothing of a message either."""
    caplog.set_level("DEBUG", logger="kombu")
    yield
    assert "Lovelace" not in "".join(record.getMessage() for record in caplog.get_records("call"))


@contextmanager
def serving(home: database.Database, amqp_uri: str) -> Iterator[None]:
    """The counters' log can be read at their service's door, served by nameko in a process of its own."""
    command = [sys.executable, "-m", "tests.shared.kernel_server", home.url, amqp_uri]
    process = subprocess.Popen(command, cwd=kernel_programs.ROOT, stderr=subprocess.DEVNULL)
    try:
        kernel.eventually(lambda: answers(amqp_uri), "the service answers")
        yield
    finally:
        process.kill()
        process.wait()


def answers(amqp_uri: str) -> bool:
    with rpc_client.BlockingClient(amqp_uri) as client:
        try:
            client.call("counting", "read_log", timeout=1, after=0, hash="", limit=1)
        except errors.Forbidden:  # we have not said who we are: it is there
            return True
        except errors.Unavailable:
            return False
    raise AssertionError("anyone may read the log")


@pytest.fixture(scope="module")
def producer(
    home_of_its_own: Callable[[Path], AbstractContextManager[database.Database]],
    amqp_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[database.Database]:
    """The counters' database, whose log grows from test to test, with their service in front of it."""
    with home_of_its_own(tmp_path_factory.mktemp("producer")) as home, serving(home, amqp_uri):
        yield home


@pytest.fixture
def channel(amqp_uri: str) -> Iterator[broker.BlockingChannel]:
    with broker.channel(amqp_uri) as channel:
        yield channel
        channel.queue_delete(QUEUE)
        channel.queue_delete(f"{QUEUE}.dead")


@contextmanager
def consuming(listener: Listener, amqp_uri: str) -> Iterator[consumer.Consumer]:
    """A consumer on its thread, until the end of the block."""
    follower = consumer.Consumer(listener.inbox, amqp_uri)
    stopping = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stopping,))
    thread.start()
    try:
        yield follower
    finally:
        stopping.set()
        thread.join(10)
        assert not thread.is_alive()


def write(producer: database.Database, *streams: str) -> list[envelope.Envelope]:
    """Add to the counters and sequence: the new part of the log, which nobody has published."""
    before = len(kernel.read_log(producer))
    return kernel.publish(producer, *streams)[before:]


def relayed(producer: database.Database, amqp_uri: str) -> None:
    outlet = relay.Relay(producer, "counting", amqp_uri)
    outlet.run()
    outlet.close()


def publish_raw(channel: broker.BlockingChannel, body: bytes, **properties: object) -> None:
    described = {"content_type": envelope.CONTENT_TYPE, **properties}
    channel.basic_publish("counting.events", "counting.Added", body, pika.BasicProperties(**described))


class Bomb:
    """Something that runs when it is unpickled."""

    def __reduce__(self) -> object:
        return os.abort, ()


POISON: dict[str, tuple[bytes, dict[str, object]]] = {
    "no JSON": (b"Ada Lovelace", {}),
    "no text": (b"\xff\xfeAda Lovelace", {}),
    "nested too deep": (b"[" * 100_000 + b"Ada Lovelace", {}),
    "10 MB": (b"Ada Lovelace " * 800_000, {}),
    "JSON of 10 MB": (json.dumps({"id": "Ada Lovelace " * 800_000}).encode(), {}),
    "no envelope": (b'{"type": "counting.Added", "data": "Ada Lovelace"}', {}),
    "another content type": (b"Ada Lovelace", {"content_type": "text/plain"}),
    "no content type": (b"Ada Lovelace", {"content_type": None}),
    "cannot be unpacked": (b"Ada Lovelace", {"headers": {"compression": "application/x-gzip"}}),
    "pickle": (pickle.dumps((Bomb(), "Ada Lovelace")), {"content_type": "application/x-python-serialize"}),
}


def becomes_like(listener: Listener, producer: database.Database) -> None:
    """The listener comes to the end of the log, with the effect of every event once and in order."""
    log = kernel.read_log(producer)
    kernel.eventually(lambda: listener.inbox.place().position == len(log), "the end of the log")
    assert listener.heard() == places(log)


def connected(follower: consumer.Consumer) -> None:
    kernel.eventually(follower.connected.is_set, "the consumer is connected")


class TestConsumer:
    def test_catches_up_with_what_was_said_before_it_came(self, producer, listener, channel, amqp_uri):
        for number in range(3):
            kernel.add(producer, f"counter-early_{number}", *[1] * 100)
        outbox.sequence(producer)

        with consuming(listener, amqp_uri):
            becomes_like(listener, producer)

    def test_hears_what_is_published(self, producer, listener, channel, amqp_uri):
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
            becomes_like(listener, producer)
            write(producer, ONE, TWO, ONE)
            relayed(producer, amqp_uri)

            becomes_like(listener, producer)

    def test_applies_once_what_is_published_twice(self, producer, listener, channel, amqp_uri):
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
            for event in write(producer, ONE, ONE, TWO) * 3:
                publish_raw(channel, event.encode())

            becomes_like(listener, producer)
            kernel.eventually(lambda: waiting(channel) == 0, "the queue is empty")

        assert listener.heard() == places(kernel.read_log(producer))

    def test_pulls_what_was_purged_from_its_queue(self, producer, listener, channel, amqp_uri):
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
        write(producer, ONE, TWO)
        relayed(producer, amqp_uri)
        kernel.eventually(lambda: waiting(channel) > 0, "messages wait")
        channel.queue_purge(QUEUE)

        with consuming(listener, amqp_uri):
            becomes_like(listener, producer)

    def test_pulls_what_lies_before_a_message_that_leaves_a_hole(self, producer, listener, channel, amqp_uri):
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
            becomes_like(listener, producer)
            _first, _second, third = write(producer, ONE, TWO, ONE)
            publish_raw(channel, third.encode())

            becomes_like(listener, producer)

    def test_makes_its_queue_anew_when_it_was_deleted(self, producer, listener, channel, amqp_uri):
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
            channel.queue_delete(QUEUE)
            write(producer, ONE)
            relayed(producer, amqp_uri)

            becomes_like(listener, producer)
            connected(follower)
            write(producer, TWO)
            relayed(producer, amqp_uri)
            becomes_like(listener, producer)

    def test_asks_by_itself_after_a_silence(self, producer, listener, channel, amqp_uri, monkeypatch):
        monkeypatch.setattr(consumer, "SILENCE_SECONDS", 0.2)
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
            becomes_like(listener, producer)

            write(producer, ONE)  # and nobody publishes it

            becomes_like(listener, producer)

    def test_has_each_effect_once_when_two_are_at_it(self, producer, listener, channel, amqp_uri):
        with consuming(listener, amqp_uri) as one, consuming(listener, amqp_uri) as other:
            connected(one)
            connected(other)
            write(producer, *[ONE, TWO] * 10)
            relayed(producer, amqp_uri)

            becomes_like(listener, producer)

    def test_applies_once_what_is_delivered_a_thousand_times(self, producer, listener, channel, amqp_uri):
        with consuming(listener, amqp_uri) as one, consuming(listener, amqp_uri) as other:
            connected(one)
            connected(other)
            becomes_like(listener, producer)
            (event,) = write(producer, ONE)
            for _ in range(1000):
                publish_raw(channel, event.encode())

            becomes_like(listener, producer)
            kernel.eventually(lambda: waiting(channel) == 0, "the queue is empty")

        assert listener.heard() == places(kernel.read_log(producer))

    @pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
    def test_sends_what_it_cannot_decode_to_the_dead_letters_and_pulls_it(
        self, producer, listener, channel, amqp_uri, poison
    ):
        body, properties = poison
        with capture_logs() as lines, consuming(listener, amqp_uri) as follower:
            connected(follower)
            becomes_like(listener, producer)
            write(producer, ONE)
            publish_raw(channel, body, **properties)

            becomes_like(listener, producer)
            ((_method, _properties, dead),) = broker.receive(channel, f"{QUEUE}.dead", 1)

        assert dead == body
        assert "undecodable message" in [line["event"] for line in lines]
        assert "Lovelace" not in json.dumps(lines, default=repr)

    def test_does_not_believe_a_message_that_does_not_fit_the_log(self, producer, listener, channel, amqp_uri):
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
            becomes_like(listener, producer)
            (event,) = write(producer, ONE)
            publish_raw(channel, dataclasses.replace(event, event_hash="00" * 32, data={"by": 999}).encode())

            becomes_like(listener, producer)

        assert 999 not in amounts(listener)

    def test_stops_and_says_so_when_the_producer_does_not_know_its_hash(self, producer, listener, channel, amqp_uri):
        write(producer, ONE)
        other_life = {"epoch": "another life", "position": 1, "hash": bytes(32), "attempting": 0, "attempts": 0}
        with listener.home.begin() as session:
            session.add(tables.Inbox(producer="counting", **other_life))

        with capture_logs() as lines, consuming(listener, amqp_uri) as follower:
            kernel.eventually(lambda: "critical" in [line["log_level"] for line in lines], "somebody is told")
            assert not follower.connected.is_set()

        assert listener.heard() == []

    def test_goes_on_when_its_database_comes_back(self, producer, listener, channel, amqp_uri, postgres):
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
            becomes_like(listener, producer)
            with kernel.away(postgres, listener.home):
                write(producer, ONE)
                relayed(producer, amqp_uri)
                kernel.eventually(lambda: not follower.connected.is_set(), "the consumer notices")

            becomes_like(listener, producer)
            assert listener.parked() == []


class TestConsumerWithoutItsProducer:
    """Nobody answers at the producer's door; what it has published arrives all the same."""

    @pytest.fixture
    def amqp_uri(self, new_vhost: Callable[[], str]) -> str:
        return new_vhost()

    def test_applies_what_is_in_its_queue(self, home, listener, amqp_uri):
        with consuming(listener, amqp_uri) as follower:
            connected(follower)
            kernel.publish(home, ONE, TWO)
            relayed(home, amqp_uri)

            becomes_like(listener, home)
            assert follower.connected.is_set()

    def test_keeps_messages_from_the_dead_letters_and_catches_up_when_the_producer_is_back(
        self, home, listener, amqp_uri, monkeypatch
    ):
        monkeypatch.setattr(consumer, "MAX_BACKOFF_SECONDS", 0.05)
        with capture_logs() as lines, consuming(listener, amqp_uri) as follower, broker.channel(amqp_uri) as channel:
            connected(follower)
            _first, second = kernel.publish(home, ONE, TWO)
            publish_raw(channel, second.encode())
            kernel.eventually(lambda: asked(lines) > consumer.DELIVERY_LIMIT, "it has asked often")
            assert waiting(channel, f"{QUEUE}.dead") == 0

            with serving(home, amqp_uri):
                becomes_like(listener, home)


def waiting(channel: broker.BlockingChannel, queue: str = QUEUE) -> int:
    """How many messages of a queue nobody has taken yet."""
    found: int = channel.queue_declare(queue, passive=True).method.message_count
    return found


def amounts(listener: Listener) -> list[int]:
    with listener.home.begin() as session:
        return list(session.scalars(select(kernel.Heard.by)))


def asked(lines: list[dict[str, object]]) -> int:
    """How often the consumer asked a producer who did not answer."""
    return [line["event"] for line in lines].count("producer away")


class TestBackoffSeconds:
    @pytest.mark.pure
    def test_grows_and_stays_within_its_limit(self):
        waits = [consumer.backoff_seconds(failures) for failures in range(20)]

        assert all(0.04 < wait <= consumer.MAX_BACKOFF_SECONDS for wait in waits)
        assert max(waits[:2]) < min(waits[6:])
