from collections.abc import Iterator

import pika
import pika.exceptions
import pytest

from sandbox import binaries, children, home, infrastructure
from sandbox.rabbitmq import RabbitmqServer


@pytest.fixture(scope="module")
def server(backend: binaries.Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitmqServer]:
    directory = tmp_path_factory.mktemp("own") / "rabbitmq"
    server = infrastructure.start_rabbitmq(backend, directory)
    yield server
    server.stop()
    home.discard(directory)


def publish(uri: str, *, queue: str, body: bytes) -> None:
    with pika.BlockingConnection(pika.URLParameters(uri)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True)
        channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2), mandatory=True)


def fetch(uri: str, *, queue: str) -> bytes | None:
    with pika.BlockingConnection(pika.URLParameters(uri)) as connection:
        _, _, body = connection.channel().basic_get(queue, auto_ack=True)
        return body


class TestServer:
    def test_keeps_messages_and_uri_over_a_stop_and_a_start(self, server: RabbitmqServer):
        uri = server.uri
        publish(uri, queue="stopped", body=b"kept")

        server.stop()
        server.start()

        assert server.uri == uri
        assert fetch(uri, queue="stopped") == b"kept"

    def test_keeps_confirmed_messages_and_leaves_no_process_when_it_is_killed(self, server: RabbitmqServer):
        publish(server.uri, queue="killed", body=b"kept")
        # The message is on disk, but a queue declared only just now need not be.
        server.ctl("eval", "catch mnesia:sync_log().")
        family = [children.find(server.pid or 0), *children.descendants(server.pid or 0)]

        server.kill()

        assert len(family) > 1
        assert not [process for process in family if process and process.lives]
        server.start()
        assert fetch(server.uri, queue="killed") == b"kept"

    def test_runs_beside_another_one(self, server: RabbitmqServer, rabbitmq: RabbitmqServer):
        publish(server.uri, queue="here", body=b"only here")

        assert "here" in server.ctl("list_queues", "name")
        assert "here" not in rabbitmq.ctl("list_queues", "name")

    def test_admits_only_who_knows_its_password(self, server: RabbitmqServer):
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            publish(f"amqp://guest:guest@127.0.0.1:{server.port}/", queue="guest", body=b"")


class TestAddVhosts:
    def test_makes_hosts_that_do_not_see_each_other(self, rabbitmq: RabbitmqServer):
        rabbitmq.add_vhosts("left", "right")
        publish(rabbitmq.uri_of("left"), queue="letters", body=b"for the left")

        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue"):
            fetch(rabbitmq.uri_of("right"), queue="letters")
        assert fetch(rabbitmq.uri_of("left"), queue="letters") == b"for the left"
