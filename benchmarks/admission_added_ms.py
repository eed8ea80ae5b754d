"""
What counting a message adds to the time of one request: POST /v1/messages against POST /v1/noop, on one connection.

One whole stack on this machine, turn by turn in one run, each request sent when the one before is answered: nothing
is gathered into a batch, and every message is an RPC and a commit of its own. The value is the difference of the
medians of all rounds.
"""

import statistics

from benchmarks import orgs, stack, turns
from benchmarks.results import Result

NAME = "admission_added_ms"


def run() -> list[Result]:
    with stack.running(CHATNESS_NOOP_ROUTE="1") as standing:
        (org,) = orgs.make(standing, 1)
        requests = {path: org.message(standing.port, f"/v1/{path}") for path in ("messages", "noop")}
        loads = turns.take(requests, connections=1)
    messages, noops = (statistics.median(one.p50_ms for one in loads[path]) for path in requests)
    return [
        Result(
            name=f"{NAME}_p50",
            value=round(messages - noops, 2),
            unit="ms",
            against=f"4 ms, beside the {noops:g} ms of a request that counts nothing",
            detail=turns.detail(loads),
        )
    ]
