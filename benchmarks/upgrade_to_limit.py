"""
How long it takes until an upgrade counts: from PUT /v1/subscription to the first GET /v1/usage with the new limit.

One whole stack on this machine with the Stripe sandbox, so that the charge, the object that is fetched after it, the
event and its journey to quota are all part of the time; only Stripe's own is missing. One upgrade at a time, two for
each of a few orgs whose card is known. Usage is asked for again as soon as it is answered.
"""

import statistics
import time

from benchmarks import stack
from benchmarks.results import Result

NAME = "upgrade_to_limit"

OWNERS = 10
PLANS = ("growth", "scale")


def run() -> list[Result]:
    """:raises RuntimeError: if an upgrade was refused; TimeoutError: if its limit never came"""
    with stack.running() as standing:
        owners = [standing.owner("starter") for _ in range(OWNERS)]
        milliseconds = [_upgrade(owner, plan) for owner in owners for plan in PLANS]
    return [
        Result(
            name=f"{NAME}_ms_p50",
            value=round(statistics.median(milliseconds)),
            unit="ms",
            against="300 ms, the Stripe sandbox included",
            detail={"milliseconds": [round(each) for each in milliseconds]},
        )
    ]


def _upgrade(owner: stack.client.Api, plan: str) -> float:
    before = _limit(owner)
    started = time.perf_counter()
    answer = owner.ask("PUT", "/v1/subscription", {"plan": plan})
    if answer.status_code != 200:
        raise RuntimeError(f"the upgrade to {plan} was answered {answer.status_code}: {answer.text}")
    stack.until(lambda: _limit(owner) > before)
    return (time.perf_counter() - started) * 1000


def _limit(owner: stack.client.Api) -> int:
    return int(owner.ask("GET", "/v1/usage").json()["limit"])
