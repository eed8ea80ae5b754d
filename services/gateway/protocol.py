"""
HTTP as eventlet speaks it, stricter: what another server in front of us could read differently is refused, a request
must arrive in time, an answer must be taken in time, and refusals are problem documents that name no software.
"""

import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import eventlet
from eventlet import wsgi
from nameko.web import server as nameko_server

from services.gateway import chunks, framing, problems
from shared import context, ids, metrics

DISCARD_SECONDS = 2.0
DISCARD_BYTES = 6 * 1024**2  # more than the largest body that is taken: of a picture


class Connection(list[Any]):
    """eventlet's `[address, socket, state]`, and since when it rests."""

    def __init__(self, address: Any, client: Any) -> None:
        super().__init__([address, client, wsgi.STATE_IDLE])
        self.resting_since = time.monotonic()
        self.requests = 0

    @property
    def rests(self) -> bool:
        """Whether no request is under way; one whose first line has not come to its end is none."""
        return self[2] == wsgi.STATE_IDLE  # type: ignore[no-any-return]

    @property
    def age(self) -> float:
        """For how many seconds it has rested."""
        return time.monotonic() - self.resting_since


class Protocol(nameko_server.HttpOnlyProtocol):  # type: ignore[misc]
    """One connection."""

    rfile: Any
    path: str
    head_timer: Any = None
    lingers = False
    conn_state: Connection

    def setup(self) -> None:
        super().setup()
        self.wfile = Writer(self.connection)

    def handle_one_request(self) -> None:
        eventlet.sleep(0)  # a client that asks faster than we answer would never let another have its turn
        self.conn_state.resting_since = time.monotonic()
        try:
            super().handle_one_request()
        finally:
            if self.head_timer:
                self.head_timer.cancel()
        self.conn_state.requests += 1

    def _read_request_line(self) -> bytes:
        """A connection may rest between requests; from a first byte on the clock runs, however the bytes drip in."""
        rest = self.server.keepalive if self.conn_state.requests else None
        self.connection.settimeout(rest or self.server.socket_timeout)
        self.rfile.peek(1)
        self.head_timer = eventlet.Timeout(self.server.socket_timeout, TimeoutError("the head took too long"))
        line: bytes = super()._read_request_line()
        if line == framing.EMPTY_LINE:
            line = super()._read_request_line()
        if self.conn_state[2] == wsgi.STATE_CLOSE:
            return b""  # what still waited in the kernel when we closed is no request
        if len(line) >= self.server.url_length_limit:
            self.send_error(414)
            return b""
        return line

    def parse_request(self) -> bool:
        asked = framing.REQUEST_LINE.fullmatch(self.raw_requestline)
        if asked is None or asked["version"] not in framing.VERSIONS:
            self.send_error(505 if asked else 400)
            return False
        self.rfile = framing.Head(self.rfile)
        try:
            understood: bool = super().parse_request()
        except (wsgi.HeaderLineTooLong, wsgi.HeadersTooLarge):
            self.send_error(431)
            return False
        except framing.Head.Fault as broken:
            self.send_error(400, str(broken))
            return False
        self.head_timer.cancel()
        fault = understood and framing.fault(self.headers, self.request_version)
        if fault:
            self.send_error(400, fault)
            return False
        self.path = framing.path(asked["target"])
        return understood

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        body = environ["eventlet.input"]
        body.rfile = Body(body.rfile, on_failure=self._end)
        if body.chunked_input:
            body = environ["wsgi.input"] = environ["eventlet.input"] = chunks.Input.instead_of(
                body, on_failure=self._end
            )
        body.discard = partial(self._discard, body)
        return environ

    def _discard(self, unread: wsgi.Input) -> None:
        """Read what the app left of a body, so that the client gets to read our answer; but not for ever."""
        self.close_connection = True
        with eventlet.Timeout(DISCARD_SECONDS, False):
            for _ in range(DISCARD_BYTES // 16_384):
                if not unread.read(16_384):
                    self.close_connection = False
                    return

    def send_error(self, code: int, message: str | None = None, _explain: str | None = None) -> None:
        """Refuse what never reaches the app. Of what was sent nothing is repeated."""
        context.enter(context.Context(correlation_id=ids.new("req")))
        self._end()
        metrics.served_http("(unread)", "(other)", code, 0.0)
        problem = problems.from_status(code, message if code == 400 else None)
        response = problems.response(problem, public_url=self.server.public_url)
        headers = {**response.headers, "Request-Id": context.current().correlation_id, "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wfile.write(f"HTTP/1.1 {response.status}\r\n{head}\r\n".encode("latin-1") + response.data)

    def _end(self) -> None:
        """Close the connection after this answer, whatever still comes."""
        self.close_connection = self.lingers = True

    def finish(self) -> None:
        if self.lingers:
            self._linger()
        super().finish()

    def _linger(self) -> None:
        """Were the connection closed on what still arrives, the client would lose our answer."""
        with suppress(OSError), eventlet.Timeout(DISCARD_SECONDS, False):
            self.connection.shutdown(socket.SHUT_WR)
            for _ in range(DISCARD_BYTES // 16_384):
                if not self.connection.recv(16_384):
                    return


class Body:
    """What a body is read from. Of a read that was interrupted nobody knows what it had taken: no request follows."""

    def __init__(self, file: Any, *, on_failure: Callable[[], None]) -> None:
        self._file = file
        self._on_failure = on_failure

    def read(self, size: int = -1) -> bytes:
        return self._whole(self._file.read, size)

    def readline(self, size: int = -1) -> bytes:
        return self._whole(self._file.readline, size)

    def _whole(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except BaseException:
            self._on_failure()
            raise


class Writer:
    """
    What is written to a client, within the socket's time limit, and without a buffer.

    Of who did not take it in time nothing is kept: the kernel would go on sending for minutes.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.closed = False

    def write(self, data: bytes) -> None:
        """:raises TimeoutError: if the client does not take it"""
        try:
            self._connection.sendall(data)
        except TimeoutError:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def flush(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        self.closed = True
