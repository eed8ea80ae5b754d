"""
What every request and every answer goes through, whatever the route: outermost, plain WSGI.

A request gets an id and a deadline; an answer gets the id and the headers that keep browsers from guessing. Both are
counted.
"""

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from services.gateway import clients
from shared import context, ids, metrics

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Headers = list[tuple[str, str]]

ROUTE = "chatness.route"  # where the app notes in the environ which route's template a request has
NO_ROUTE = "(none)"

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NOSNIFF: Headers = [("X-Content-Type-Options", "nosniff")]
_NO_REFERRER: Headers = [("Referrer-Policy", "no-referrer")]
_NO_STORE: Headers = [("Cache-Control", "no-store")]


class Edge:
    def __init__(self, application: Application, *, request_seconds: float, proxies: int) -> None:
        self._application = application
        self._request_seconds = request_seconds
        self._proxies = proxies

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        request_id = _request_id(environ)
        deadline, client = time.time() + self._request_seconds, clients.address(environ, proxies=self._proxies)
        context.enter(context.Context(correlation_id=request_id, deadline=deadline, client=client))
        in_api = environ["PATH_INFO"].startswith("/v1/")

        began, code = time.monotonic(), 500

        def start(status: str, headers: Headers, exc_info: Any = None) -> Any:
            nonlocal code
            code = int(status[:3])
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
        metrics.HTTP_IN_FLIGHT.inc()
        try:
            return self._application(environ, start)
        finally:
            metrics.HTTP_IN_FLIGHT.dec()
            route, method = environ.get(ROUTE, NO_ROUTE), environ["REQUEST_METHOD"]
            metrics.served_http(route, method, code, time.monotonic() - began)


def _request_id(environ: Environ) -> str:
    given: str = environ.get("HTTP_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else ids.new("req")
