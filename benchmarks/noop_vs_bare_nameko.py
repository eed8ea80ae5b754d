"""
What the gateway costs before any service is asked: POST /v1/noop (its body, its schema, its authentication and its
answer are those of POST /v1/messages) against an HTTP handler of nameko's own that does nothing.

One process each, the same load, turn by turn in one run. The API secret is verified over RabbitMQ as in real life:
once in 30 seconds.
"""

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import requests

from benchmarks import load, servers, turns
from benchmarks.results import Result
from benchmarks.stack import until

NAME = "noop_vs_bare_nameko"

BODY = '{"bot_id": "bot_01m82kped67c6q1ct3db3gtb4j"}'
BARE_ANSWER = '{"id": "msg_01m82kped67c6q1ct3db3gtb4j"}'


def run() -> list[Result]:
    from sandbox import binaries, infrastructure
    from services.gateway import api_secret

    with tempfile.TemporaryDirectory(prefix="chatness-benchmark-") as directory, ExitStack() as stack:
        broker = infrastructure.start_rabbitmq(binaries.ensure(None), Path(directory) / "rabbitmq")
        stack.callback(broker.stop)
        token = api_secret.generate("test")
        loads = turns.take({role: start(role, token, broker.uri, stack) for role in ("bare", "gateway")})
    return [
        Result(
            name=NAME,
            value=round(turns.ratio(loads, "gateway", "bare"), 3),
            unit="of its requests/s",
            against="an empty HTTP handler of nameko",
            detail=turns.detail(loads),
        )
    ]


def start(role: str, token: str, amqp_uri: str, stack: ExitStack) -> load.Request:
    """A server of its own, `bare` or `gateway`, until the stack ends; and a request that it answers."""
    port = servers.free_port()
    process = stack.enter_context(
        servers.running(
            __name__,
            role,
            environ={
                "AMQP_URI": amqp_uri,
                "PUBLIC_URL": "http://127.0.0.1",
                "CURSOR_KEY": "a key for this benchmark, no secret",
                "CHATNESS_PORT": str(port),
                "CHATNESS_NOOP_ROUTE": "1",
            },
        )
    )
    servers.until_listening(port, process)
    headers = {"Authorization": f"Bearer {token}"}
    address, body = f"http://127.0.0.1:{port}/v1/noop", json.loads(BODY)
    # A gateway listens before it can ask whose a token is.
    until(lambda: requests.post(address, json=body, headers=headers, timeout=10).status_code == 201)
    return load.Request(port=port, method="POST", path="/v1/noop", headers=headers, body=BODY)


def _serve(role: str) -> int:
    """The process of one server."""
    from shared import config, logs, serve

    serve.green()
    from services.gateway.settings import Settings

    logs.configure(role, level="ERROR")
    settings = config.load(Settings)
    address = f"{settings.host}:{settings.port}"
    classes = [_bare_service()] if role == "bare" else _gateway_and_secrets()
    return serve.serve(
        classes, amqp_uri=settings.amqp_uri, config={"gateway": settings, "WEB_SERVER_ADDRESS": address}
    )


def _bare_service() -> type:
    from nameko.web.handlers import http

    class Bare:
        name = "bare"

        @http("POST", "/v1/noop")
        def do_nothing(self, _request: Any) -> tuple[int, str]:
            return 201, BARE_ANSWER

    return Bare


def _gateway_and_secrets() -> list[type]:
    from services.gateway.service import Gateway
    from shared import rpc

    class Secrets:
        """Answers as the real one does, without its database."""

        name = "secrets"

        @rpc.door
        def verify_secret(self, sha256: str) -> dict[str, Any]:
            identity = {"secret_id": f"sec_{sha256[:26]}", "org_id": "org_01m82kped67c6q1ct3db3gtb4j"}
            return {**identity, "scopes": ["messages:write"], "expires_at": None}

        @rpc.door
        def note_uses(self, secret_ids: list[str]) -> None:
            pass

    return [Gateway, Secrets]


if __name__ == "__main__":
    sys.exit(_serve(sys.argv[1]))
