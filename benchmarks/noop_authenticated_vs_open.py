"""
What it costs to know who asks: POST /v1/noop with an API secret against POST /v1/open-noop, which anyone may ask and
which is otherwise the same.

One gateway, the same load, turn by turn in one run. The secret is asked about once in 30 seconds, and remembered.
"""

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks import noop_vs_bare_nameko, turns
from benchmarks.results import Result

NAME = "noop_authenticated_vs_open"


def run() -> list[Result]:
    from sandbox import binaries, infrastructure
    from services.gateway import api_secret

    with tempfile.TemporaryDirectory(prefix="chatness-benchmark-") as directory, ExitStack() as stack:
        broker = infrastructure.start_rabbitmq(binaries.ensure(None), Path(directory) / "rabbitmq")
        stack.callback(broker.stop)
        token = api_secret.generate("test")
        authenticated = noop_vs_bare_nameko.start("gateway", token, broker.uri, stack)
        opened = replace(authenticated, path="/v1/open-noop", headers={})
        loads = turns.take({"authenticated": authenticated, "open": opened})
    return [
        Result(
            name=NAME,
            value=round(turns.ratio(loads, "authenticated", "open"), 3),
            unit="of its requests/s",
            against="the same request that anyone may make; 0.9 at least",
            detail=turns.detail(loads),
        )
    ]
