"""
What counting a message costs: POST /v1/messages with an API secret against POST /v1/noop, which takes the same body
through the same schema, authentication and answer size and asks nobody.

One whole stack (gateway, services, worker, PostgreSQL, RabbitMQ) on this machine, 64 connections on one org, turn by
turn in one run. Every admission is counted: the month's usage at the end must be the number of answers.
"""

import statistics

from benchmarks import load, stack
from benchmarks.results import Result

NAME = "admission_vs_noop"

ROUNDS = 5
ROUND_SECONDS = 2.0


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
        loads: dict[str, list[load.Load]] = {path: [] for path in requests}
        for _ in range(1 + ROUNDS):
            for path, request in requests.items():
                loads[path].append(load.run(request, seconds=ROUND_SECONDS))
        _check_count(owner, loads["messages"])
    return [_result(loads["messages"][1:], loads["noop"][1:])]  # the first round warmed up


def _check_count(owner: stack.client.Api, admissions: list[load.Load]) -> None:
    """Each round leaves up to one request per connection whose answer was not waited for, and which counts too."""
    used = owner.ask("GET", "/v1/usage").json()["used"]
    answered = sum(each.answers for each in admissions)
    if not answered <= used <= answered + len(admissions) * load.CONNECTIONS:
        raise RuntimeError(f"{answered} answers, but {used} messages counted")


def _result(admissions: list[load.Load], noops: list[load.Load]) -> Result:
    refused = sum(each.refused for each in (*admissions, *noops))
    if refused:
        raise RuntimeError(f"{refused} answers were not 2xx")
    rates = [statistics.median(each.per_second for each in rounds) for rounds in (admissions, noops)]
    return Result(
        name=NAME,
        value=round(rates[0] / rates[1], 3),
        unit="of its requests/s",
        against="the same request without the count",
        detail={
            "admissions_per_second": [round(each.per_second) for each in admissions],
            "noops_per_second": [round(each.per_second) for each in noops],
            "admissions_p50_p99_ms": [(each.p50_ms, each.p99_ms) for each in admissions],
            "noops_p50_p99_ms": [(each.p50_ms, each.p99_ms) for each in noops],
        },
    )
