"""
What gathering messages brings: admissions as they are against one RPC and one commit for each message.

One whole stack on this machine, 64 connections on one org, turn by turn in one run. Beside the stack's gateway stands
a second one, the same but for its coalescer, whose batches hold one message, five of them under way at once: HTTP,
authentication, checks, RPC, quota's process, its transaction and all that it writes are the same, so that the
difference is the gathering alone. That they are one org's costs the naive side little: spread over 64 orgs it admits
about as many.
"""

import sys
from typing import Any

from benchmarks import servers, stack, turns
from benchmarks.results import Result

NAME = "admission_vs_naive"

IN_FLIGHT = 5  # as many as quota keeps connections to its database: more only wait, and are refused in the end


def run() -> list[Result]:
    from benchmarks import orgs

    port = servers.free_port()
    with stack.running() as standing:
        environment = {**standing.environment, "CHATNESS_PORT": str(port)}
        with servers.running(__name__, environ=environment) as one_by_one:
            servers.until_listening(port, one_by_one)
            (org,) = orgs.make(standing, 1)
            loads = turns.take({"gathered": org.message(standing.port), "one_by_one": org.message(port)})
    return [
        Result(
            name=NAME,
            value=round(turns.ratio(loads, "gathered", "one_by_one"), 2),
            unit="times its requests/s",
            against="one RPC and one commit for each message",
            detail=turns.detail(loads),
        )
    ]


def _serve() -> int:
    """The process of the second gateway."""
    from shared import config, logs, serve

    serve.green()
    from services.gateway.settings import Settings

    logs.configure(NAME, level="ERROR")
    settings = config.load(Settings)
    return serve.serve(
        [_one_by_one()],
        amqp_uri=settings.amqp_uri,
        config={"gateway": settings},
        max_workers=settings.connections,
    )


def _one_by_one() -> type:
    from services.gateway import admissions, coalescer, server
    from services.gateway.service import Gateway

    class OneByOne(Gateway):
        @server.site
        def open(self) -> Any:
            site = Gateway.open(self)
            self.admissions = coalescer.Coalescer(
                admissions.sender(self.quota),
                unavailable=admissions.unavailable,
                max_batch=1,
                max_in_flight=IN_FLIGHT,
            )
            return site

    return OneByOne


if __name__ == "__main__":
    sys.exit(_serve())
