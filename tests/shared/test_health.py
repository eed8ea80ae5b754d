import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox import ports
from shared import config, health

pytestmark = pytest.mark.pure

Answer = tuple[int, Any]
SHORT_SECONDS = 0.3


def fail() -> bool:
    raise OSError("away")


class Figures:
    """A source of figures that a test can let hang."""

    def __init__(self) -> None:
        self.shown = 0
        self.looking, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()

    def start(self) -> None: ...

    def show(self, *, until: float) -> None:
        self.shown += 1
        self.looking.set()
        assert self.may_end.wait(10)


@dataclass
class Opened:
    """A health page, and what is behind it; a test sets that."""

    port: int
    checks: dict[str, Callable[[], bool]]
    stuck: Sequence[str] = ()
    figures: Figures = field(default_factory=Figures)

    def get(self, path: str, method: str = "GET") -> Answer:
        answer = self.ask(path, method)
        return answer.status, json.loads(answer.read())

    def ask(self, path: str, method: str = "GET") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request(method, path)
        return connection.getresponse()

    def send(self, raw: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.sendall(raw)
            return client.recv(4096)


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    page = Opened(ports.free(), {})
    checks = {name: lambda name=name: page.checks[name]() for name in ("database", "broker")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "CLIENT_SECONDS", SHORT_SECONDS)
        patch.setattr(health, "PATIENCE_SECONDS", SHORT_SECONDS)
        health.serve(page.port, checks, stuck=lambda: page.stuck, sources=[page.figures])
        yield page


@pytest.fixture
def page(opened: Opened) -> Opened:
    opened.checks.update(database=lambda: True, broker=lambda: True)
    opened.stuck = ()
    return opened


class TestReadyz:
    def test_is_ready_when_every_check_says_so(self, page):
        assert page.get("/readyz") == (200, {"database": True, "broker": True})

    @pytest.mark.parametrize("wrong", [fail, lambda: False])
    def test_names_what_is_not(self, page, wrong):
        page.checks["database"] = wrong

        assert page.get("/readyz") == (503, {"database": False, "broker": True})

    def test_answers_for_the_part_that_is_asked_for(self, page):
        page.checks["database"] = fail

        assert page.get("/readyz?part=broker") == (200, {"broker": True})
        assert page.get("/readyz?part=broker&part=database") == (503, {"broker": True, "database": False})

    @pytest.mark.parametrize("query", ["part=brokre", "part=", "part=broker&part=brokre"])
    def test_knows_no_other_part(self, page, query):
        assert page.get(f"/readyz?{query}") == (404, {})

    def test_does_not_wait_long_for_a_check_that_hangs_and_asks_it_once_for_all(self, page):
        may_end, asked = threading.Event(), []
        page.checks["database"] = lambda: bool(asked.append(1)) or may_end.wait(10)
        started = time.monotonic()
        try:
            answers = [page.get("/readyz"), page.get("/readyz")]
        finally:
            may_end.set()

        assert answers == [(503, {"database": False, "broker": True})] * 2
        assert time.monotonic() - started < 4 * SHORT_SECONDS
        assert len(asked) == 1


class TestLivez:
    def test_lives_whatever_the_checks_say(self, page):
        page.checks.update(database=fail, broker=lambda: False)

        assert page.get("/livez") == (200, {"live": True})

    def test_names_what_will_not_go_on(self, page):
        page.stuck = ["quota publish"]

        assert page.get("/livez") == (503, {"live": False, "stuck": ["quota publish"]})


class TestMetrics:
    def test_shows_figures_and_which_parts_are_ready(self, page):
        page.checks["broker"] = fail
        shown = page.figures.shown

        answer = page.ask("/metrics?name=whatever")

        text = answer.read().decode()
        assert (answer.status, answer.getheader("Content-Type")) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert 'chatness_ready{part="database"} 1.0\nchatness_ready{part="broker"} 0.0\n' in text
        assert "process_resident_memory_bytes" in text
        assert page.figures.shown == shown + 1

    def test_shows_the_page_as_it_stands_to_who_comes_while_another_looks(self, page):
        shown = page.figures.shown
        page.figures.looking.clear()
        page.figures.may_end.clear()
        first = threading.Thread(target=page.ask, args=("/metrics",))
        first.start()
        assert page.figures.looking.wait(5)
        try:
            answer = page.ask("/metrics")
        finally:
            page.figures.may_end.set()
            first.join(10)

        assert (answer.status, b"chatness_ready" in answer.read()) == (200, True)
        assert page.figures.shown == shown + 1


class TestServe:
    def test_knows_no_other_address(self, page):
        assert page.get("/") == (404, {})

    @pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
    def test_knows_no_other_method(self, page, method):
        answer = page.ask("/livez", method)

        assert (answer.status, answer.getheader("Allow")) == (405, "GET")

    @pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"GET /livez\r\n\r\n", b"\r\n\r\n", b"x" * 9000])
    def test_refuses_what_is_no_request(self, page, raw):
        assert page.send(raw).startswith(b"HTTP/1.1 400 ")

    def test_answers_others_while_slow_clients_say_nothing(self, page):
        slow = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(2 * health.CLIENTS_AT_ONCE)]
        slow[0].sendall(b"GET /livez HT")
        try:
            started = time.monotonic()
            assert page.get("/livez")[0] == 200
        finally:
            for client in slow:
                client.close()

        assert time.monotonic() - started < 4 * SHORT_SECONDS

    def test_opens_nothing_with_port_0(self):
        health.serve(0, {"database": fail})  # would be a listener on a random port otherwise

    def test_refuses_an_address_that_is_not_ours(self):
        with pytest.raises(config.BadConfiguration, match=r"CHATNESS_HEALTH_HOST.*203\.0\.113\.1"):
            health.serve(ports.free(), {}, host="203.0.113.1")
