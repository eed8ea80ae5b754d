"""The transport between services while its broker is away, or refuses it."""

from collections.abc import Iterator

import kombu
import pytest

from sandbox import binaries, home, infrastructure
from sandbox.rabbitmq import RabbitmqServer
from shared import errors
from shared.rpc_client import BlockingClient
from tests.shared.rpc_processes import Start, calls_of, eventually, start

__all__ = ["start"]


@pytest.fixture(scope="module")
def broker(backend: binaries.Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitmqServer]:
    """A broker of this module's own, to be killed."""
    directory = tmp_path_factory.mktemp("broker") / "rabbitmq"
    server = infrastructure.start_rabbitmq(backend, directory)
    yield server
    server.stop()
    home.discard(directory)


class TestBrokerAway:
    def test_at_the_start_is_waited_for(self, broker: RabbitmqServer, start: Start):
        broker.stop()
        process = start(broker.uri, "example")
        eventually(lambda: process.log.count("broker not reached") > 3)

        broker.start()

        process.becomes_ready()
        assert process.stop() == 0

    def test_does_not_keep_a_process_from_stopping(self, start: Start):
        process = start("amqp://guest:guest@127.0.0.1:1//", "example", "front")
        eventually(lambda: "broker not reached" in process.log)

        assert process.stop() == 0

    def test_fails_waiting_calls_at_once_and_new_ones_work_when_it_is_back(
        self, broker: RabbitmqServer, start: Start
    ):
        # Both in one process, which keeps its outcomes while the test itself cannot ask.
        process = start(broker.uri, "example", "front", "listener")
        process.becomes_ready()
        with BlockingClient(broker.uri) as client:
            asked = [{"seconds": seconds, "name": "waits"} for seconds in range(2, 12)] * 2
            with pytest.raises(errors.Unavailable):
                client.call("front", "ask_at_once", timeout=0.5, method="wait", list_of_arguments=asked, seconds=30)
            eventually(lambda: calls_of(client).count("waits") == 20)

            broker.kill()

            broker.start()
            process.becomes_ready(times=2)
            outcomes = client.call("front", "list_outcomes", timeout=5)
            assert [outcome["code"] for outcome in outcomes] == ["service_unavailable"] * 20
            assert max(outcome["seconds"] for outcome in outcomes) < 10
            assert client.call("front", "pass_on", timeout=5, method="echo", arguments={"value": 1}) == 1
            assert client.call("front", "count_pending", timeout=5) == 0
            assert client.call("listener", "heard", timeout=5)["subscriptions"] == 2
        eventually(lambda: process.log.count('"method": "example.wait", "milliseconds"') == 20)
        assert process.stop() == 0

    def test_between_two_calls_is_not_noticed(self, broker: RabbitmqServer, start: Start):
        process = start(broker.uri, "example")
        process.becomes_ready()
        with BlockingClient(broker.uri) as client:
            assert client.call("example", "echo", timeout=5, value=1) == 1

            broker.ctl("close_all_connections", "test")

            eventually(lambda: process.log.count("broker connected") == 6)  # three connections, twice
            assert client.call("example", "echo", timeout=5, value=2) == 2


class TestBrokerRefusing:
    def test_a_queue_of_another_kind_ends_the_process(self, broker: RabbitmqServer, start: Start):
        connection = kombu.Connection(broker.uri).transport.establish_connection()
        connection.channel().queue_delete("rpc-example")
        connection.channel().queue_declare("rpc-example", durable=False, auto_delete=False)

        process = start(broker.uri, "example")

        assert process.end() == 78
        assert "PRECONDITION_FAILED" in process.log.splitlines()[-1]
        connection.channel().queue_delete("rpc-example")
        connection.close()

    def test_bad_credentials_end_the_process(self, broker: RabbitmqServer, start: Start):
        process = start(broker.uri.replace("chatness:", "chatness:not-"), "example", "front")

        assert process.end() == 78
        assert "ACCESS_REFUSED" in process.log.splitlines()[-1]
        assert broker.uri not in process.log

    def test_permissions_taken_away_later_end_the_process(self, broker: RabbitmqServer, start: Start):
        broker.ctl("add_user", "guest2", "guest2")
        broker.ctl("set_permissions", "guest2", ".*", ".*", ".*")
        uri = f"amqp://guest2:guest2@127.0.0.1:{broker.port}//"
        process = start(uri, "example")
        process.becomes_ready()

        broker.ctl("set_permissions", "guest2", "^$", "^$", "^$")
        broker.ctl("close_all_connections", "test")

        assert process.end() == 78
