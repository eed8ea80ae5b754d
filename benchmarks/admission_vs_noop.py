"""
What counting a message costs: POST /v1/messages with an API secret against POST /v1/noop, which takes the same body
through the same schema, authentication and answer size and asks nobody.

One whole stack (gateway, services, worker, PostgreSQL, RabbitMQ) on this machine, 64 connections on one org, turn by
turn in one run. Every admission is counted: the month's usage at the end must be the number of answers.
"""

import time

from benchmarks import load, stack, turns
from benchmarks.results import Result

NAME = "admission_vs_noop"


def run() -> list[Result]:
    with stack.running(CHATNESS_NOOP_ROUTE="1") as standing:
        owner = standing.owner("scale")
        bot = owner.ask("POST", "/v1/bots", {"name": "Bench"}).json()
        secret = owner.ask("POST", "/v1/secrets", {"name": "bench", "scopes": ["messages:write"]}).json()["secret"]
        requests = {
            path: load.Request(
                port=standing.port,
                method="POST",
                path=f"/v1/{path}",
                headers={"Authorization": f"Bearer {secret}"},
                body=f'{{"bot_id": "{bot["id"]}"}}',
            )
            for path in ("messages", "noop")
        }
        turns.take(requests, rounds=1, seconds=turns.WARM_UP_SECONDS, warm_up_seconds=0)
        before = _used(owner)
        loads = turns.take(requests, warm_up_seconds=0)
        _check_count(_used(owner) - before, loads["messages"])
    return [
        Result(
            name=NAME,
            value=round(turns.ratio(loads, "messages", "noop"), 3),
            unit="of its requests/s",
            against="the same request without the count",
            detail=turns.detail(loads),
        )
    ]


def _used(owner: stack.client.Api) -> int:
    """Once all have arrived whose answers nobody waits for any more."""
    counted = -1
    while counted != (counted := owner.ask("GET", "/v1/usage").json()["used"]):
        time.sleep(0.5)
    return counted


def _check_count(counted: int, admissions: list[load.Load]) -> None:
    """Each round leaves up to one request per connection whose answer was not waited for, and which counts too."""
    answered = sum(each.answers for each in admissions)
    if not answered <= counted <= answered + len(admissions) * load.CONNECTIONS:
        raise RuntimeError(f"{answered} answers, but {counted} messages counted")
