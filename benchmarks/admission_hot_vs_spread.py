"""
What it costs that all messages are one org's: admissions on a single org against the same spread over 1,000.

One whole stack on this machine, 64 connections, turn by turn in one run. Each of the 1,000 orgs has an API secret of
its own, and they send in turn; the hot one is an org beside them. Every row of an org is locked while a batch of its
messages is counted, so that one org's batches wait for each other. A thousand orgs pay for the rest: a row of each in
every batch, and a look at each secret every 30 seconds.
"""

from benchmarks import orgs, stack, turns
from benchmarks.results import Result

NAME = "admission_hot_vs_spread"

ORGS = 1000
WARM_UP_SECONDS = 6.0  # so that each secret has been asked about


def run() -> list[Result]:
    with stack.running() as standing:
        hot, *spread = orgs.make(standing, 1 + ORGS)
        requests = {"hot": hot.message(standing.port), "spread": [org.message(standing.port) for org in spread]}
        loads = turns.take(requests, warm_up_seconds=WARM_UP_SECONDS)
    return [
        Result(
            name=NAME,
            value=round(turns.ratio(loads, "hot", "spread"), 3),
            unit="of its requests/s",
            against=f"the same spread over {ORGS} orgs",
            detail=turns.detail(loads),
        )
    ]
