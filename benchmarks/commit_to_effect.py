"""
How long a change of plan takes from billing's commit to quota's: outbox, sequencer, RabbitMQ, inbox.

Plans are changed over HTTP on a whole stack, upgrade and downgrade in turn. Both databases stand on one PostgreSQL,
which itself notes when each transaction was committed (track_commit_timestamp); the figure is the time between the
commit that holds SubscriptionChanged and the one that holds the LimitChanged it led to.
"""

import statistics
from typing import Any

import psycopg2

from benchmarks import stack
from benchmarks.results import Result

NAME = "commit_to_effect"

CHANGES = 200

COMMITTED = """
SELECT (convert_from(data, 'UTF8')::json ->> %s)::int, extract(epoch FROM pg_xact_commit_timestamp(xmin))
FROM events WHERE name = %s AND stream LIKE %s
"""


def run() -> list[Result]:
    with stack.running() as standing:
        owner = standing.owner("growth")
        org_id = owner.ask("GET", "/v1/org").json()["id"]
        before = owner.ask("GET", "/v1/subscription").json()["version"]
        for number in range(CHANGES):
            _change(owner, "growth" if number % 2 else "scale")
        recorded = _committed(standing, "billing", "version", "billing.SubscriptionChanged", org_id)
        applied = _committed(standing, "quota", "subscription_version", "quota.LimitChanged", org_id)
    milliseconds = [
        (at - recorded[version]) * 1000 for version, at in applied.items() if before < version <= before + CHANGES
    ]
    if len(milliseconds) != CHANGES:
        raise RuntimeError(f"{CHANGES} changes, but {len(milliseconds)} took effect")
    percentiles = statistics.quantiles(milliseconds, n=100)
    detail = {"changes": CHANGES, "min_ms": round(min(milliseconds), 1), "max_ms": round(max(milliseconds), 1)}
    return [
        Result(name=f"{NAME}_ms_p50", value=round(percentiles[49], 1), unit="ms", against="50 ms", detail=detail),
        Result(name=f"{NAME}_ms_p99", value=round(percentiles[98], 1), unit="ms", against="250 ms", detail=detail),
    ]


def _change(owner: Any, plan: str) -> None:
    """Change the plan; the answer comes when quota has applied it."""
    answer = owner.ask("PUT", "/v1/subscription", {"plan": plan})
    if answer.status_code != 200:
        raise RuntimeError(answer.text)


def _committed(standing: stack.Standing, service: str, member: str, name: str, org_id: str) -> dict[int, float]:
    """When each version was committed, in seconds since the epoch, by PostgreSQL's own note."""
    url = standing.environment[f"{service.upper()}_DATABASE_URL"].replace("+psycopg2", "")
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(COMMITTED, (member, name, f"%{org_id}%"))
        return {version: float(seconds) for version, seconds in cursor.fetchall()}
