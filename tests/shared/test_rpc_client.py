import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import kombu
import kombu.utils.url
import pytest

from sandbox.rabbitmq import RabbitmqServer
from shared import context, errors, rpc_client
from shared.rpc_client import BlockingClient
from tests.shared import kernel
from tests.shared.rpc_processes import Process, eventually, processes


@pytest.fixture(scope="module")
def example(amqp_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with processes(tmp_path_factory.mktemp("client")) as start:
        process = start(amqp_uri, "example")
        process.becomes_ready()
        yield process


@pytest.fixture
def client(amqp_uri: str) -> Iterator[BlockingClient]:
    with BlockingClient(amqp_uri) as client:
        yield client


@pytest.mark.usefixtures("example")
class TestCall:
    def test_returns_the_answer(self, client: BlockingClient):
        assert client.call("example", "echo", timeout=5, value={"a": 1}) == {"a": 1}

    def test_serves_several_threads(self, client: BlockingClient):
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda number: client.call("example", "echo", timeout=10, value=number), range(100))

            assert list(answers) == list(range(100))

    def test_stops_waiting_in_time_and_takes_no_late_answer_for_its_own(self, client: BlockingClient):
        started = time.monotonic()
        with pytest.raises(errors.Unavailable) as refusal:
            client.call("example", "wait", timeout=0.3, seconds=0.5, name="late")
        waited = time.monotonic() - started

        assert refusal.value.code == "service_unavailable"
        assert "example" in refusal.value.message
        assert 0.3 <= waited < 0.5
        assert client.call("example", "wait", timeout=5, seconds=0.5, name="in time") == "in time"

    def test_stops_waiting_for_its_turn_in_time(self, client: BlockingClient, amqp_uri: str):
        with ThreadPoolExecutor() as pool:
            long = pool.submit(client.call, "example", "wait", timeout=5, seconds=1, name="long")
            with BlockingClient(amqp_uri) as other:
                eventually(lambda: "long" in other.call("example", "list_calls", timeout=5))

            with pytest.raises(errors.Unavailable):
                client.call("example", "echo", timeout=0.1, value=1)

            assert long.result() == "long"

    def test_says_at_once_that_a_service_does_not_exist(self, client: BlockingClient):
        started = time.monotonic()

        with pytest.raises(errors.Unavailable) as refusal:
            client.call("nobody", "anything", timeout=5)

        assert refusal.value.code == "service_unavailable"
        assert time.monotonic() - started < 1

    def test_says_at_once_that_there_is_no_broker(self):
        with BlockingClient("amqp://guest:guest@127.0.0.1:1//") as client:
            started = time.monotonic()

            with pytest.raises(errors.Unavailable):
                client.call("example", "echo", timeout=5, value=1)

            assert time.monotonic() - started < 1

    def test_stops_waiting_in_time_for_a_broker_that_says_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with BlockingClient(f"amqp://guest:guest@127.0.0.1:{port}//") as client:
                started = time.monotonic()

                with pytest.raises(errors.Unavailable):
                    client.call("example", "echo", timeout=0.5, value=1)

                assert 0.4 < time.monotonic() - started < 1

    def test_does_not_call_for_somebody_who_waits_no_more(self, client: BlockingClient):
        with context.use(deadline=time.time() - 1), pytest.raises(errors.Unavailable) as refusal:
            client.call("example", "wait", timeout=5, seconds=0, name="never sent")

        assert refusal.value.code == "deadline_passed"
        assert "never sent" not in client.call("example", "list_calls", timeout=5)

    def test_leaves_no_queue_behind(self, amqp_uri: str, rabbitmq: RabbitmqServer):
        vhost = kombu.utils.url.parse_url(amqp_uri)["virtual_host"]

        def reply_queues() -> str:
            return "".join(
                line for line in rabbitmq.ctl("list_queues", "-p", vhost, "name").splitlines() if "reply" in line
            )

        client = BlockingClient(amqp_uri)
        client.call("example", "echo", timeout=5, value=1)
        assert reply_queues()

        client.close()

        eventually(lambda: not reply_queues())


class TestStands:
    def test_says_so_again_and_again(self, client: BlockingClient):
        assert [client.stands(), client.stands()] == [True, True]

    def test_notices_that_rabbitmq_has_ended_the_connection_and_makes_another(self, client: BlockingClient):
        client.stands()
        assert client._connection is not None
        client._connection.sock.shutdown(socket.SHUT_RDWR)

        assert client.stands()

    def test_does_not_take_a_listener_that_says_nothing_for_rabbitmq(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(rpc_client, "CONNECT_SECONDS", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with BlockingClient(f"amqp://guest:guest@127.0.0.1:{port}/") as client:
                started = time.monotonic()

                assert not client.stands()
                assert time.monotonic() - started < 2


class TestCountMessages:
    def test_counts_what_waits_and_takes_no_queue_for_an_empty_one(self, amqp_uri: str, client: BlockingClient):
        with kombu.Connection(amqp_uri) as connection:
            queue = connection.SimpleQueue("waiting")
            queue.put("one")
            kernel.eventually(lambda: client.count_messages("waiting") == 1, "it is counted")
            queue.queue.delete()

        assert client.count_messages("nobody") == 0
        assert client.stands()
