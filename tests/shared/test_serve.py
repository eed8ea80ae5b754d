import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared import errors, hub, serve
from shared.rpc_client import BlockingClient
from tests.shared.rpc_processes import Process, Start, eventually, processes


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with processes(tmp_path_factory.mktemp("serve")) as start:
        yield start


def answered(process: Process) -> int:
    return process.log.count('"method": "example.wait"')


class TestServe:
    def test_finishes_the_calls_under_way_when_it_is_told_to_stop(self, amqp_uri: str, start: Start):
        process = start(amqp_uri, "example", "front")
        process.becomes_ready()
        with BlockingClient(amqp_uri) as client, ThreadPoolExecutor() as pool:
            call = pool.submit(
                client.call, "front", "pass_on", timeout=5, method="wait", arguments={"seconds": 1, "name": "last"}
            )
            with BlockingClient(amqp_uri) as other:
                eventually(lambda: "last" in other.call("example", "list_calls", timeout=5))
            assert process.health("/readyz") == process.health("/readyz?part=running") == 200
            process.terminate()
            eventually(lambda: process.health("/readyz") == process.health("/readyz?part=running") == 503)
            assert not call.done()

            assert process.end() == 0

            assert call.result() == "last"
        assert process.log.splitlines()[-1] == "closed"

    def test_loses_no_call_and_runs_none_twice_while_another_process_takes_over(self, amqp_uri: str, start: Start):
        stopping, staying = start(amqp_uri, "example"), start(amqp_uri, "example")
        stopping.becomes_ready()
        staying.becomes_ready()
        enough = threading.Event()

        def call_on_and_on(_number: int) -> int:
            calls = 0
            with BlockingClient(amqp_uri) as client:
                while not enough.is_set():
                    client.call("example", "wait", timeout=5, seconds=0.02)
                    calls += 1
            return calls

        with ThreadPoolExecutor(8) as pool:
            callers = [pool.submit(call_on_and_on, number) for number in range(8)]
            eventually(lambda: answered(stopping) > 50)

            assert stopping.stop() == 0

            before = answered(staying)
            eventually(lambda: answered(staying) > before + 50)
            enough.set()
            calls = sum(caller.result() for caller in callers)
        assert answered(stopping) + answered(staying) == calls

    def test_ends_hard_when_the_stop_takes_too_long(self, new_vhost: Callable[[], str], start: Start):
        hanging = {}
        for method, arguments in {"wait": {"seconds": 60}, "block": {}}.items():
            uri = new_vhost()
            hanging[method] = start(uri, "example")
            hanging[method].becomes_ready()
            with BlockingClient(uri) as client, pytest.raises(errors.Unavailable):
                client.call("example", method, timeout=0.5, **arguments)

        started = time.monotonic()
        for process in hanging.values():
            process.terminate()
        time.sleep(hub.STUCK_SECONDS - 1)
        eventually(lambda: hanging["block"].health("/livez") == 503)
        assert hanging["block"].health("/readyz") == 503
        assert (hanging["wait"].health("/livez"), hanging["wait"].health("/readyz")) == (200, 503)

        assert [process.end() for process in hanging.values()] == [1, 1]
        assert serve.STOP_SECONDS - 1 < time.monotonic() - started < serve.STOP_SECONDS + 3
        assert all("the stop took too long" in process.log for process in hanging.values())

    def test_ends_the_process_when_a_service_dies(self, amqp_uri: str, start: Start):
        process = start(amqp_uri, "example", "mortal")

        assert process.end() == 1

        last = json.loads(process.log.splitlines()[-1])
        assert (last["level"], last["event"], last["reason"]) == (
            "error",
            "service died",
            "ZeroDivisionError: by zero",
        )

    def test_ends_the_process_when_a_service_cannot_start(self, amqp_uri: str, start: Start):
        process = start(amqp_uri, "example", "unlucky")

        assert process.end() == 1

        last = json.loads(process.log.splitlines()[-1])
        assert (last["level"], last["event"]) == ("error", "service died")
        assert "Address already in use" in last["reason"]
