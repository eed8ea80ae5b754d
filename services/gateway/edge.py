"""
What every request and every answer goes through, whatever the route: outermost, plain WSGI.

A request gets an id and a deadline; an answer gets the id and the headers that keep browsers from guessing.
"""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from shared import context, ids

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NOSNIFF: Headers = [("X-Content-Type-Options", "nosniff")]
_NO_REFERRER: Headers = [("Referrer-Policy", "no-referrer")]
_NO_STORE: Headers = [("Cache-Control", "no-store")]


class Edge:
    def __init__(self, application: Application, *, request_seconds: float) -> None:
        self._application = application
        self._request_seconds = request_seconds

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        request_id = _request_id(environ)
        context.enter(context.Context(correlation_id=request_id, deadline=time.time() + self._request_seconds))
        in_api = environ["PATH_INFO"].startswith("/v1/")

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            headers.append(("Request-Id", request_id))
            headers.extend(_NOSNIFF)
            named = {name.lower() for name, _ in headers}
            if "referrer-policy" not in named:
                headers.extend(_NO_REFERRER)
            if in_api and "cache-control" not in named:
                headers.extend(_NO_STORE)
            return start_response(status, headers, exc_info)

        if environ.get("HTTP_TRANSFER_ENCODING"):
            environ["wsgi.input_terminated"] = True  # eventlet ends a chunked body; werkzeug would take it for empty
        return self._application(environ, start)


def _request_id(environ: Environ) -> str:
    given: str = environ.get("HTTP_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else ids.new("req")
