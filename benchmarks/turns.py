"""Loads that are compared: turn by turn in one run, so that whatever else the machine does meets all of them."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import load

ROUNDS = 5
ROUND_SECONDS = 2.0

Requests = load.Request | Sequence[load.Request]


def take(
    requests: Mapping[str, Requests],
    *,
    rounds: int = ROUNDS,
    seconds: float = ROUND_SECONDS,
    warm_up_seconds: float = ROUND_SECONDS,
    connections: int = load.CONNECTIONS,
) -> dict[str, list[load.Load]]:
    """
    The loads by name, one per round; a round before the first warms up and is not among them.

    :raises RuntimeError: if an answer was not 2xx
    """
    loads: dict[str, list[load.Load]] = {name: [] for name in requests}
    for length in (warm_up_seconds, *[seconds] * rounds):
        for name, sent in requests.items():
            loads[name].append(load.run(sent, seconds=length, connections=connections))
    refused = sum(one.refused for taken in loads.values() for one in taken)
    if refused:
        raise RuntimeError(f"{refused} answers were not 2xx")
    return {name: taken[1:] for name, taken in loads.items()}


def per_second(loads: Sequence[load.Load]) -> float:
    return statistics.median(one.per_second for one in loads)


def detail(loads: Mapping[str, Sequence[load.Load]]) -> dict[str, Any]:
    """The raw figures of all rounds, by name."""
    rates = {f"{name}_per_second": [round(one.per_second) for one in taken] for name, taken in loads.items()}
    times = {f"{name}_p50_p99_ms": [(one.p50_ms, one.p99_ms) for one in taken] for name, taken in loads.items()}
    return rates | times
