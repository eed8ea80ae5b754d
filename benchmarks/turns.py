"""
Loads that are compared: turn by turn in one run, so that whatever else the machine does meets all of them.

A shared machine is a third slower in one second than in the next. So turns are short and many, every other round is
taken backwards, and a ratio is the median of those of neighbours.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import load

ROUNDS = 15
ROUND_SECONDS = 1.0
WARM_UP_SECONDS = 3.0

Requests = load.Request | Sequence[load.Request]


def take(
    requests: Mapping[str, Requests],
    *,
    rounds: int = ROUNDS,
    seconds: float = ROUND_SECONDS,
    warm_up_seconds: float = WARM_UP_SECONDS,
    connections: int = load.CONNECTIONS,
) -> dict[str, list[load.Load]]:
    """
    The loads by name, one per round; a round before the first warms up and is not among them, unless it has no time.

    :raises RuntimeError: if an answer was not 2xx
    """
    loads: dict[str, list[load.Load]] = {name: [] for name in requests}
    lengths = [seconds] * rounds if warm_up_seconds == 0 else [warm_up_seconds, *[seconds] * rounds]
    for number, length in enumerate(lengths):
        for name in sorted(requests, reverse=number % 2 == 1):
            loads[name].append(load.run(requests[name], seconds=length, connections=connections))
    refused = sum(one.refused for taken in loads.values() for one in taken)
    if refused:
        raise RuntimeError(f"{refused} answers were not 2xx")
    return {name: taken[-rounds:] for name, taken in loads.items()}


def ratio(loads: Mapping[str, Sequence[load.Load]], of: str, to: str) -> float:
    """Of their requests a second."""
    return statistics.median(
        one.per_second / other.per_second for one, other in zip(loads[of], loads[to], strict=True)
    )


def detail(loads: Mapping[str, Sequence[load.Load]]) -> dict[str, Any]:
    """The raw figures of all rounds, by name."""
    rates = {f"{name}_per_second": [round(one.per_second) for one in taken] for name, taken in loads.items()}
    times = {f"{name}_p50_p99_ms": [(one.p50_ms, one.p99_ms) for one in taken] for name, taken in loads.items()}
    return rates | times
