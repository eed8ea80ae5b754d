"""
How long a revoked secret is still believed: from the answer that says it is revoked to the first refusal, at the
gateway that was asked to revoke it and at another one.

One whole stack and a second gateway on this machine, both under load, and both remember the secret when it is
revoked. It is tried again as soon as it is answered; its time ends with the answer that refuses it, and counts for
the slower of the two gateways.
"""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import load, servers, stack
from benchmarks.results import Result
from ops import client

NAME = "revocation"

REVOCATIONS = 200
CONNECTIONS = 4  # of the load, at each gateway: more of it is the load's own waiting
LOAD_SECONDS = 3.0


def run() -> list[Result]:
    """:raises RuntimeError: if a refused secret was believed again"""
    with stack.running(CHATNESS_NOOP_ROUTE="1") as standing:
        owner, port = standing.owner("growth"), servers.free_port()
        environ = {**standing.environment, "CHATNESS_PORT": str(port), "CHATNESS_HEALTH_PORT": "0"}
        with servers.running("ops.cli", "serve", "gateway", environ=environ) as process:
            servers.until_listening(port, process)
            urls = [standing.environment["PUBLIC_URL"], f"http://127.0.0.1:{port}"]
            with ThreadPoolExecutor(2 + len(urls)) as pool:
                milliseconds = _under_load(owner, urls, [standing.port, port], pool)
    percentiles = statistics.quantiles(milliseconds, n=100)
    detail = {"revocations": REVOCATIONS, "max_ms": round(max(milliseconds), 1)}
    return [
        Result(name=f"{NAME}_ms_p50", value=round(percentiles[49], 1), unit="ms", against="50 ms", detail=detail),
        Result(name=f"{NAME}_ms_p99", value=round(percentiles[98], 1), unit="ms", against="100 ms", detail=detail),
    ]


def _under_load(owner: client.Api, urls: list[str], ports: list[int], pool: ThreadPoolExecutor) -> list[float]:
    busy = _secret(owner)["secret"]
    for url in urls:
        _until(client.Api(url, busy), 201)  # a gateway listens before it can ask
    milliseconds: list[float] = []
    while len(milliseconds) < REVOCATIONS:
        loads = [pool.submit(_load, port, busy) for port in ports]
        while not all(one.done() for one in loads) and len(milliseconds) < REVOCATIONS:
            milliseconds.append(_revoke(owner, urls, pool))
        refused = sum(one.result().refused for one in loads)
        if refused:
            raise RuntimeError(f"{refused} requests of the load were refused")
    return milliseconds


def _load(port: int, token: str) -> load.Load:
    headers = {"Authorization": f"Bearer {token}"}
    request = load.Request(port=port, method="POST", path="/v1/noop", headers=headers, body='{"bot_id": "bot_1"}')
    return load.run(request, seconds=LOAD_SECONDS, connections=CONNECTIONS)


def _revoke(owner: client.Api, urls: list[str], pool: ThreadPoolExecutor) -> float:
    made = _secret(owner)
    programs = [client.Api(url, made["secret"]) for url in urls]
    for program in programs:
        _until(program, 201)
    answer = owner.ask("DELETE", f"/v1/secrets/{made['id']}")
    answered_at = time.perf_counter()
    if answer.status_code != 204:
        raise RuntimeError(answer.text)
    refused_at = max(pool.map(lambda program: _until(program, 401), programs))
    if any(_status(program) != 401 for program in programs):
        raise RuntimeError("a revoked secret was believed again")
    return (refused_at - answered_at) * 1000


def _until(program: client.Api, status: int) -> float:
    """When it was answered so. :raises TimeoutError: if it never was"""
    stack.until(lambda: _status(program) == status, rest_seconds=0.0)
    return time.perf_counter()


def _status(program: client.Api) -> int:
    return program.ask("POST", "/v1/noop", {"bot_id": "bot_1"}).status_code


def _secret(owner: client.Api) -> dict[str, Any]:
    answer = owner.ask("POST", "/v1/secrets", {"name": "bench", "scopes": ["messages:write"]})
    if answer.status_code != 201:
        raise RuntimeError(answer.text)
    return dict(answer.json())
