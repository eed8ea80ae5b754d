"""
HTTP as eventlet speaks it, stricter: what another server in front of us could read differently is refused, a request
must arrive in time, and refusals are problem documents that name no software.
"""

import re
from email.message import Message
from functools import partial
from typing import Any

import eventlet
from eventlet import wsgi
from nameko.web import server as nameko_server

from services.gateway import problems
from shared import context, ids

DISCARD_SECONDS = 2.0
DISCARD_BYTES = 1_048_576
LENGTH = re.compile(r"[0-9]{1,15}")


class Protocol(nameko_server.HttpOnlyProtocol):  # type: ignore[misc]
    """One connection."""

    head_timer: Any = None

    def handle_one_request(self) -> None:
        eventlet.sleep(0)  # a client that asks faster than we answer would never let another have its turn
        try:
            super().handle_one_request()
        finally:
            if self.head_timer:
                self.head_timer.cancel()

    def _read_request_line(self) -> bytes:
        """A connection may rest before the first byte; from there on the clock runs, however the bytes drip in."""
        self.connection.settimeout(self.server.keepalive or self.server.socket_timeout)
        self.rfile.peek(1)
        self.head_timer = eventlet.Timeout(self.server.socket_timeout, TimeoutError("the head took too long"))
        line: bytes = super()._read_request_line()
        return line

    def parse_request(self) -> bool:
        understood: bool = super().parse_request()
        self.head_timer.cancel()
        fault = understood and _framing_fault(self.headers)
        if fault:
            self.send_error(400, fault)
        return understood and not fault

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["eventlet.input"].discard = partial(self._discard, environ["eventlet.input"])
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
        """Refuse what never reaches the app."""
        context.enter(context.Context(correlation_id=ids.new("req")))
        self.close_connection = True
        problem = problems.Problem(status=code, code="bad_request", detail=message or "This is no HTTP request.")
        response = problems.response(problem, public_url=self.server.public_url)
        headers = {**response.headers, "Request-Id": context.current().correlation_id, "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wfile.write(f"HTTP/1.1 {response.status}\r\n{head}\r\n".encode("latin-1") + response.data)


def _framing_fault(headers: Message) -> str | None:
    """Why it is not certain where this request's body ends: the ways in which one request is smuggled in another."""
    if headers.defects:  # the parser takes a line that is no header for the end of them, and drops the rest
        return "A line among the headers is no header."
    lengths = 0
    for name, value in headers.items():
        match name.lower():
            case "content-length":
                lengths += 1
                if lengths > 1 or not LENGTH.fullmatch(value):
                    return "Content-Length must stand there once, as a number."
            case "transfer-encoding" if value.lower() != "chunked":
                return "Only the transfer encoding `chunked` is understood."
    return None
