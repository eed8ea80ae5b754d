"""A gateway is replaced under load, one after the other, and no client notices."""

import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from sandbox import ports
from tests.stack.stacks import CHATNESS, Org, Process, Running, eventually

CLIENTS = 16
BETWEEN = 200  # answers, all clients together


@dataclass
class Client:
    """
    Asks one message after the other, as any HTTP client does: if its connection is refused, or was kept and is closed
    before the first byte of an answer, it asks the other gateway. Any other end of a connection is a fault.

    :param keeps: whether it keeps its connection for the next message; who does not may never ask twice
    """

    addresses: list[str]
    org: Org
    keeps: bool
    connection: http.client.HTTPConnection | None = None
    answers: int = 0
    faults: list[str] = field(default_factory=list)

    def ask(self, message_id: str) -> None:
        for _ in range(50):
            fresh = self.connection is None
            try:
                status = self._ask(message_id)
            except ConnectionRefusedError:
                self._turn_away()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                self._turn_away()
                if fresh:
                    self.faults.append(f"{error!r} on a new connection")
            except (http.client.HTTPException, OSError) as error:
                self._turn_away()
                self.faults.append(f"cut: {error!r}")
            else:
                self.answers += 1
                if status != 201:
                    self.faults.append(f"status {status}")
                return
        self.faults.append("no gateway answers")

    def _ask(self, message_id: str) -> int:
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.addresses[0], timeout=20)
            self.connection.connect()
        body = json.dumps({"bot_id": self.org.bot_id, "id": message_id})
        headers = {"Authorization": f"Bearer {self.org.program.token}", "Content-Type": "application/json"}
        self.connection.request("POST", "/v1/messages", body, headers)
        answer = self.connection.getresponse()
        answer.read()
        if answer.will_close:
            self._turn_away()
        elif not self.keeps:
            self._close()
        return answer.status

    def _turn_away(self) -> None:
        self._close()
        self.addresses = self.addresses[::-1]

    def _close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None


@pytest.fixture
def gateways(stack: Running) -> Iterator[list[Process]]:
    """Two of the test's own."""
    names = ["rolling gateway 1", "rolling gateway 2"]
    started = [stack.add(name, *CHATNESS, "serve", "gateway", CHATNESS_PORT=str(ports.free())) for name in names]
    for one in started:
        one.await_ready()
    yield started
    for one in started:
        one.stop()
        del stack.processes[one.name]


@contextmanager
def load(clients: list[Client]) -> Iterator[None]:
    """All clients ask, without a pause, until the end of the block."""
    over = threading.Event()

    def ask_on(number: int) -> None:
        while not over.is_set():
            clients[number].ask(f"msg_{number}_{clients[number].answers}")

    with ThreadPoolExecutor(len(clients)) as pool:
        asking = [pool.submit(ask_on, number) for number in range(len(clients))]
        try:
            yield
        finally:
            over.set()
    for one in asking:
        one.result()


def test_a_rolling_restart_under_load_costs_no_client_an_answer(stack: Running, gateways: list[Process]) -> None:
    first, second = gateways
    org = stack.sign_up()
    org.subscribe("scale", limit=100_000)
    addresses = [f"127.0.0.1:{one.environment['CHATNESS_PORT']}" for one in gateways]
    clients = [
        Client(addresses[:: 1 if number % 2 else -1], org, keeps=number < CLIENTS / 2) for number in range(CLIENTS)
    ]

    def await_answers() -> None:
        enough = sum(one.answers for one in clients) + BETWEEN
        eventually(lambda: sum(one.answers for one in clients) >= enough)

    with load(clients):
        await_answers()
        first.stop()
        await_answers()
        first.restart()
        await_answers()
        second.stop()
        await_answers()

    assert [one.child and one.child.returncode for one in gateways] == [None, 0]
    assert [fault for one in clients for fault in one.faults] == []
    assert org.usage()["used"] == sum(one.answers for one in clients)
