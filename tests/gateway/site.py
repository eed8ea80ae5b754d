"""
The process of `test_server`: a nameko service that serves the example site on real sockets, and no broker.

`python -m tests.gateway.site`, with the gateway's settings in the environment.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared import config, logs, serve

serve.green()

import eventlet  # noqa: E402
import flask  # noqa: E402

from services.gateway import server  # noqa: E402
from services.gateway.settings import Settings  # noqa: E402
from shared import errors  # noqa: E402
from tests.gateway import examples  # noqa: E402


class Site:
    name = "gateway"

    @server.site
    def open(self) -> flask.Flask:
        app = examples.make_app(config.load(Settings))

        @app.get("/until/<path:file>")
        def wait_until(file: str) -> dict[str, Any]:
            """Answers when this file exists."""
            Path("/", file, "entered").touch()
            while not Path("/", file, "leave").exists():
                eventlet.sleep(0.01)
            return {"left": True}

        counted = 0

        @app.get("/counted")
        def count() -> dict[str, Any]:
            nonlocal counted
            counted += 1
            return {}

        @app.get("/turns")
        def take_turns() -> dict[str, Any]:
            """How many were counted between two turns of the green thread of this request, at most."""
            most = 0
            for _ in range(500):
                before = counted
                eventlet.sleep(0)
                most = max(most, counted - before)
            return {"most": most, "counted": counted}

        @app.get("/breaks-off/<kind>")
        def break_off(kind: str) -> flask.Response:
            """As much as fits into no buffer, until the client has gone or something happens here."""

            def parts() -> Iterator[bytes]:
                while kind != "refused":
                    yield b"x" * 100_000
                yield b"x" * 100_000
                raise errors.Unavailable("service_unavailable", "It went away.")

            return flask.Response(parts(), content_type="text/plain")

        return app


if __name__ == "__main__":
    logs.configure("gateway")
    settings = config.load(Settings)
    sys.exit(serve.serve([Site], amqp_uri=settings.amqp_uri, config={"gateway": settings}))
