import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import Proxy
from tests.shared.kernel import eventually

pytestmark = pytest.mark.pure


class Echo:
    """Sends back what it hears, and remembers it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while heard := connection.recv(1000):
                    self.heard += heard
                    connection.sendall(heard)
            except OSError:
                return


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    proxy = Proxy(echo.port)
    yield proxy
    proxy.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def say(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    return connection.recv(1000)


class TestProxy:
    def test_passes_both_ways_what_it_is_given(self, proxy):
        with connect(proxy) as client:
            assert say(client, b"hello") == b"hello"

    def test_takes_its_time(self, proxy):
        proxy.delay(0.1)
        with connect(proxy) as client:
            started = time.monotonic()
            assert say(client, b"hello") == b"hello"

        assert time.monotonic() - started >= 0.2

    def test_holds_everything_back_while_it_stalls(self, proxy):
        with connect(proxy) as client:
            say(client, b"hello")
            client.settimeout(0.2)
            with proxy.stalled(), pytest.raises(TimeoutError):
                say(client, b"again")
            client.settimeout(5)
            assert client.recv(1000) == b"again"

    def test_cuts_in_the_middle(self, proxy, echo):
        with connect(proxy) as client:
            say(client, b"hello")  # and as many bytes back
            proxy.cut_after(3)
            with pytest.raises(ConnectionResetError):
                say(client, b"world")

        eventually(lambda: (echo.heard, proxy.cuts) == (b"hellowor", 1), "it passed as far as the cut")

    @pytest.mark.parametrize("passes", [True, False])
    def test_cuts_at_a_word_before_or_after_the_server_hears_it(self, proxy, echo, passes):
        proxy.cut_at(b"COMMIT", passes=passes)
        with connect(proxy) as client:
            say(client, b"BEGIN")
            with pytest.raises(ConnectionResetError):
                say(client, b"COMMIT")
        with connect(proxy) as client:
            assert say(client, b"COMMIT") == b"COMMIT"

        expected = b"BEGINCOMMITCOMMIT" if passes else b"BEGINCOMMIT"
        eventually(lambda: echo.heard == expected, "both are heard")

    def test_resets_what_stands(self, proxy):
        with connect(proxy) as client:
            say(client, b"hello")
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                client.recv(1000)

    def test_refuses_until_it_does_no_more(self, proxy):
        with proxy.refusing(), pytest.raises(ConnectionResetError), connect(proxy) as client:
            client.recv(1000)
        with connect(proxy) as client:
            assert say(client, b"hello") == b"hello"

    def test_leads_to_the_server_of_a_url(self, proxy):
        url = proxy.url("postgresql+psycopg2://me:word@127.0.0.1:1/database")

        assert url == f"postgresql+psycopg2://me:word@127.0.0.1:{proxy.port}/database"
