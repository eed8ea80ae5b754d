"""
/livez and /readyz on a port of their own. Live: the process turns. Ready: every check says so.
"""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from shared import config

Checks = Mapping[str, Callable[[], bool]]


def serve(port: int, checks: Checks, *, host: str = "127.0.0.1") -> None:
    """
    Answer in the background; with port 0 not at all.

    :raises BadConfiguration: if the port is taken, or the address not ours
    """
    if port == 0:
        return
    try:
        server = ThreadingHTTPServer((host, port), _handler(checks))
    except OSError as error:
        raise config.BadConfiguration(
            f"CHATNESS_HEALTH_HOST, CHATNESS_HEALTH_PORT: no listening on {host}:{port}: {error.strerror}"
        ) from None
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()


def _handler(checks: Checks) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/livez":
                self._answer(200, {"live": True})
            elif self.path == "/readyz":
                found = {name: _passes(check) for name, check in checks.items()}
                self._answer(200 if all(found.values()) else 503, found)
            else:
                self._answer(404, {})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: Any) -> None:
            """A probe every few seconds is no news."""

    return Handler


def _passes(check: Callable[[], bool]) -> bool:
    try:
        return bool(check())
    except Exception:  # noqa: BLE001  # whatever it is, it is not ready
        return False
