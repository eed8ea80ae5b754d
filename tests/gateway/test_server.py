"""Over real sockets: what a stranger may send, and how the process starts and stops."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.gateway import api_secret
from tests.gateway import examples

pytestmark = pytest.mark.pure

REPOSITORY = Path(__file__).parents[2]
CONNECTIONS = 8
SOCKET_SECONDS = 1
MESSAGE = b'{"bot_id": "bot_1"}'


class Site:
    """A running site. `errors` is what it has written to its log."""

    def __init__(self, directory: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.log = directory / "log"
        environ = {
            "AMQP_URI": "amqp://guest:guest@127.0.0.1:1",
            "PUBLIC_URL": "https://api.example.com",
            "CURSOR_KEY": "a key for tests that is no secret",
            "CHATNESS_PORT": str(self.port),
            "CHATNESS_CONNECTIONS": str(CONNECTIONS),
            "CHATNESS_SOCKET_SECONDS": str(SOCKET_SECONDS),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.site"],
            cwd=REPOSITORY,
            env={**os.environ, **environ},
            stderr=self.log.open("w"),
        )
        until(self.listens)

    def listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def running(directory: Path) -> Iterator[Site]:
    site = Site(directory)
    try:
        yield site
    finally:
        site.process.kill()
        site.process.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def connection(site):
    with site.connect() as connection:
        yield connection


def post(*headers: str, body: bytes = MESSAGE, length: bool = True) -> bytes:
    """The bytes of a request to the no-op route."""
    lines = ["POST /v1/noop HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def authorised(*headers: str, body: bytes = MESSAGE, length: bool = True) -> bytes:
    return post(f"Authorization: Bearer {examples.OWNER}", *headers, body=body, length=length)


def answer(connection: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.body = json.loads(response.read() or b"null")
    return response


def rest(connection: socket.socket) -> bytes:
    """All that comes until the other side closes the connection."""
    chunks = []
    try:
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    except ConnectionResetError:
        pass
    return b"".join(chunks)


class TestRequest:
    def test_is_answered_and_the_connection_kept(self, connection):
        for _ in range(3):
            connection.sendall(authorised())
            response = answer(connection)

            assert (response.status, response.body["bot_id"]) == (201, "bot_1")

    def test_tells_nothing_of_our_software(self, connection):
        connection.sendall(authorised())

        assert answer(connection).headers["Server"] is None

    def test_may_come_in_chunks(self, connection):
        connection.sendall(authorised("Transfer-Encoding: chunked", body=b"", length=False))
        for chunk in (MESSAGE[:5], MESSAGE[5:], b""):
            connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))

        assert answer(connection).status == 201


class TestFraming:
    """A request whose end two servers could see in different places is refused, and the connection ends."""

    @pytest.mark.parametrize(
        "headers",
        [
            ("Content-Length: 5", "Content-Length: 6"),
            ("Content-Length: 5", "Content-Length: 5"),
            ("Content-Length: 5", "Transfer-Encoding: chunked"),
            ("Content-Length: +5",),
            ("Content-Length: 1_0",),
            ("Content-Length: -1",),
            ("Content-Length: 5, 5",),
            ("Content-Length : 5",),
            ("Transfer-Encoding: gzip, chunked",),
            ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ],
    )
    def test_must_be_certain(self, connection, headers):
        connection.sendall(authorised(*headers, body=b"5\r\nhello\r\n0\r\n\r\n", length=False))

        assert re.match(rb"HTTP/1.. 400 (?!.*HTTP/1)", rest(connection), re.DOTALL)

    def test_is_refused_with_a_problem(self, connection):
        connection.sendall(authorised("Content-Length: 1"))
        response = answer(connection)

        assert (response.status, response.body["code"]) == (400, "bad_request")
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["Request-Id"] == response.body["instance"]
        assert response.headers["Connection"] == "close"
        assert response.headers["Server"] is None

    @pytest.mark.parametrize("line", [b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n"])
    def test_of_what_is_no_http_is_refused_too(self, connection, line):
        connection.sendall(line)
        response = answer(connection)

        assert 400 <= response.status <= 505
        assert response.headers["Server"] is None
        rest(connection)

    def test_has_a_limit_for_the_address(self, connection):
        connection.sendall(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n")

        assert connection.recv(12) == b"HTTP/1.0 414"

    def test_has_a_limit_for_the_headers(self, connection):
        connection.sendall(authorised("X: " + "a" * 9000))

        assert connection.recv(12) == b"HTTP/1.0 400"


class TestBody:
    def test_that_is_too_large_is_refused_before_it_is_read(self, connection):
        connection.sendall(authorised("Content-Length: 100000000", body=b"{", length=False))
        response = answer(connection)

        assert (response.status, response.body["code"]) == (413, "body_too_large")
        rest(connection)

    def test_that_never_ends_is_refused_and_not_read_for_ever(self, connection):
        connection.sendall(authorised("Transfer-Encoding: chunked", body=b"", length=False))
        connection.sendall(b"4000\r\n%s\r\n" % (b" " * 0x4000) * 5)
        response = answer(connection)

        assert response.status == 413
        drip(connection, b"4000\r\n%s\r\n" % (b" " * 0x4000))

    def test_that_the_client_sends_all_the_same_does_not_cost_it_the_answer(self, connection):
        connection.sendall(authorised(body=b" " * 300_000))

        assert answer(connection).status == 413

    def test_that_drips_is_not_waited_for(self, connection):
        connection.sendall(authorised("Content-Length: 1000", body=b"{", length=False))
        drip(connection, b" ")
        response = answer(connection)

        assert (response.status, response.body["code"]) == (408, "request_timeout")


class TestHead:
    def test_that_drips_is_not_waited_for(self, connection):
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")

        drip(connection, b"a")

        rest(connection)

    def test_that_stops_in_its_first_line_is_not_waited_for(self, connection):
        connection.sendall(b"GE")

        assert rest(connection) == b""


def drip(connection: socket.socket, drop: bytes) -> None:
    """Send a byte every tenth of a second until the other side has had enough."""
    connection.settimeout(0.1)
    try:
        while True:
            connection.sendall(drop)
            try:
                connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                continue
            return
    except OSError:
        return
    finally:
        connection.settimeout(20)


class TestProcess:
    def test_outlives_clients_that_go_away(self, site):
        for start in (b"", b"GET", authorised()[:40], authorised()[:-3], authorised()):
            with site.connect() as connection:
                connection.sendall(start)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        with site.connect() as connection:
            connection.sendall(authorised())
            assert answer(connection).status == 201

    def test_lets_no_more_clients_in_than_it_has_room_for(self, site):
        residents = [site.connect() for _ in range(CONNECTIONS)]
        for resident in residents:
            resident.sendall(authorised())
            assert answer(resident).status == 201

        with site.connect() as late:
            late.sendall(authorised())
            late.settimeout(0.3)
            with pytest.raises(TimeoutError):
                late.recv(1)
            late.settimeout(20)
            residents.pop().close()
            assert answer(late).status == 201
        for resident in residents:
            resident.close()

    def test_logs_a_bug_with_the_id_that_the_client_got(self, site):
        with site.connect() as connection:
            connection.sendall(b"GET /v1/refusals/bug HTTP/1.1\r\nRequest-Id: bug-7\r\n\r\n")
            response = answer(connection)

        assert (response.status, response.headers["Request-Id"]) == (500, "bug-7")
        lines = [json.loads(line) for line in site.log.read_text().splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line.get("correlation_id") == "bug-7"]
        assert "ZeroDivisionError" in line["exception"]

    def test_logs_no_tokens(self, site):
        token = api_secret.generate("live")
        with site.connect() as connection:
            connection.sendall(post(f"Authorization: Bearer {token}"))
            assert answer(connection).status == 401

        assert token not in site.log.read_text()


class TestStop:
    def test_finishes_the_requests_under_way_and_lets_nobody_in(self, tmp_path):
        with running(tmp_path) as site, closing(site.connect()) as idle, closing(site.connect()) as busy:
            idle.sendall(authorised())
            assert answer(idle).status == 201
            busy.sendall(f"GET /until{tmp_path} HTTP/1.1\r\n\r\n".encode())
            until((tmp_path / "entered").exists)

            site.process.send_signal(signal.SIGTERM)

            assert rest(idle) == b""
            until(lambda: not site.listens())
            (tmp_path / "leave").touch()
            response = answer(busy)
            assert (response.status, response.body) == (200, {"left": True})
            assert response.headers["Connection"] == "close"
            assert site.process.wait(timeout=20) == 0

    def test_is_clean_while_nobody_asks(self, tmp_path):
        with running(tmp_path) as site:
            assert site.stop() == 0
