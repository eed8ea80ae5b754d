"""
The process of `test_service`: the real gateway, a service that knows one token, and one that does not answer.

`python -m tests.gateway.with_broker`, with the gateway's settings in the environment. The tokens are nobody's, and
quota answers, as soon as the file REVOKED exists; the file READY exists as soon as the process hears and can ask.
"""

import os
import sys
from pathlib import Path
from typing import Any

from shared import config, errors, logs, serve

serve.green()

import eventlet  # noqa: E402

from services.gateway.service import Gateway  # noqa: E402
from services.gateway.settings import Settings  # noqa: E402
from shared import rpc  # noqa: E402
from tests.gateway import examples  # noqa: E402


def verify(sha256: str) -> dict[str, Any]:
    if Path(os.environ["REVOKED"]).exists():
        raise errors.NotFound("not_found", "Nobody's.")
    return examples.verify(sha256)


class Secrets:
    name = "secrets"

    @rpc.door
    def verify_secret(self, sha256: str) -> dict[str, Any]:
        return verify(sha256)

    @rpc.door
    def note_uses(self, secret_ids: list[str]) -> None:
        pass


class Quota:
    name = "quota"

    @rpc.door
    def admit_messages(self, items: list[dict[str, Any]], actors: list[dict[str, Any]]) -> list[dict[str, Any]]:
        while not Path(os.environ["REVOKED"]).exists():
            eventlet.sleep(0.02)
        return []


def tell_when_ready() -> None:
    while not serve.ready():
        eventlet.sleep(0.02)
    Path(os.environ["READY"]).touch()


if __name__ == "__main__":
    eventlet.spawn(tell_when_ready)
    logs.configure("gateway")
    settings = config.load(Settings)
    sys.exit(serve.serve([Gateway, Secrets, Quota], amqp_uri=settings.amqp_uri, config={"gateway": settings}))
