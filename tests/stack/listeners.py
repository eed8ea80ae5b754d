"""Those who listen to a stream of server-sent events, each on a connection of its own."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

SECONDS = 20


class Listener:
    """:ivar status: of the answer"""

    def __init__(self, url: str, token: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((str(place.hostname), place.port), timeout=SECONDS)
        self._lines = self._socket.makefile("rb")
        head = f"GET /v1/usage/stream HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {token}\r\n"
        self._socket.sendall(f"{head}Accept: text/event-stream\r\n\r\n".encode())

    def status(self) -> int:
        status = int(self._lines.readline().split()[1])
        while self._lines.readline().strip():
            pass
        return status

    def usage(self) -> dict[str, Any]:
        """The data of the next event."""
        return next(self.events())

    def events(self) -> Iterator[dict[str, Any]]:
        """Of all that come until the stream ends, properly."""
        while size := int(self._lines.readline(), 16):
            piece = self._lines.read(size + 2)[:-2].decode()
            if piece.startswith("event: usage\ndata: "):
                yield json.loads(piece.removeprefix("event: usage\ndata: "))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()
