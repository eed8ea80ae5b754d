"""A running site and raw sockets to it: what a stranger may send, byte by byte."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway import examples

REPOSITORY = Path(__file__).parents[2]
CONNECTIONS = 8
SOCKET_SECONDS = 1
LISTEN, TIME_WAIT = "0A", "06"
MESSAGE = b'{"bot_id": "bot_1"}'


class Site:
    """A running site. `errors` is what it has written to its log."""

    def __init__(self, directory: Path, **settings: str) -> None:
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
            **settings,
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

    def connect(self, *, source_port: int = 0) -> socket.socket:
        """:param source_port: 0: whichever is free"""
        return socket.create_connection(("127.0.0.1", self.port), 20, ("127.0.0.1", source_port))

    def open_sockets(self) -> int:
        """How many connections to it the kernel holds on its side, closed ones that it still sends to among them."""
        local = f":{self.port:04X}"
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(line[1].endswith(local) and line[3] not in (LISTEN, TIME_WAIT) for line in lines)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def running(directory: Path, **settings: str) -> Iterator[Site]:
    site = Site(directory, **settings)
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
