"""
What clients notice when Stripe delivers a thousand webhooks at once: the 99th percentile of admissions from the first
one until all are followed, against that of as long a time before.

One whole stack on this machine with the Stripe sandbox. The webhooks are genuine, each with its own id, about the
subscriptions of a few customers: each is stored, and its subscription fetched and compared. All are due in the same
moment and come over 64 connections, so that the slowest one's time is how long all of them took. A hundred orgs send
100 messages a second meanwhile; both loads are open-loop (see `paced`). Every webhook must be answered 200, stored,
and followed.
"""

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import requests

from benchmarks import load, orgs, paced, stack
from benchmarks.results import Result
from sandbox.stripe import deliveries

NAME = "webhook_burst"

WEBHOOKS = 1000
CUSTOMERS = 20
MOMENT_SECONDS = 0.01  # in which all of them are due
CONNECTIONS = 64
SENDERS = 100
PER_SECOND = 100.0
WARM_UP_SECONDS = 10.0
QUIET_SECONDS = 30.0  # before the burst, and for the load to go on after it
BURST_SECONDS = 60.0
SLOWEST_MS = 5000


def run() -> list[Result]:
    """:raises RuntimeError: if a webhook was refused, late or lost, or a message was not admitted"""
    with stack.running(CHATNESS_SECRET_CACHE_SECONDS="300") as standing:
        for _ in range(CUSTOMERS):
            standing.owner("starter")
        bodies = _webhooks(standing)
        messages = [org.message(standing.port) for org in orgs.make(standing, SENDERS)]
        load.run(messages, seconds=WARM_UP_SECONDS, connections=16)
        with ThreadPoolExecutor(1) as beside:
            admitting = beside.submit(
                paced.run, messages, per_second=PER_SECOND, seconds=QUIET_SECONDS + BURST_SECONDS
            )
            webhooks = _signed(standing, bodies)
            with _billing(standing) as connection:
                time.sleep(QUIET_SECONDS)
                told = _all_at_once(webhooks)
                stack.until(lambda: _followed(connection) == WEBHOOKS, seconds=BURST_SECONDS)
                ended_at = time.time()
            answers = _admitted(admitting)
    began_at = min(answer.due_at for answer in told)
    milliseconds = [answer.milliseconds for answer in told]
    if max(milliseconds) > SLOWEST_MS:
        raise RuntimeError(f"the slowest webhook was answered after {max(milliseconds):.0f} ms")
    lasted = ended_at - began_at
    quiet = _between(answers, began_at - min(lasted, QUIET_SECONDS - 5), began_at)
    burst = _between(answers, began_at, ended_at)
    return [
        Result(
            name=f"{NAME}_admission_p99_ratio",
            value=round(_p99(burst) / _p99(quiet), 2),
            unit="times as long",
            against="admissions before the burst",
            detail={
                "webhooks": WEBHOOKS,
                "slowest_webhook_ms": round(max(milliseconds)),
                "all_followed_within_seconds": round(lasted, 1),
                "quiet_p50_p99_ms": [round(statistics.median(quiet), 1), round(_p99(quiet), 1)],
                "burst_p50_p99_ms": [round(statistics.median(burst), 1), round(_p99(burst), 1)],
                "admissions_in_the_burst": len(burst),
            },
        )
    ]


def _webhooks(standing: stack.Standing) -> list[str]:
    """The last change of each subscription, told again and again under other ids."""
    state = requests.get(f"{standing.environment['STRIPE_API_BASE']}/_sandbox/state", timeout=15).json()
    events = [event for event in state["event"] if event["type"] == "customer.subscription.created"]
    return [json.dumps({**events[number % len(events)], "id": f"evt_burst_{number}"}) for number in range(WEBHOOKS)]


def _signed(standing: stack.Standing, bodies: Sequence[str]) -> list[load.Request]:
    """As Stripe would send them now."""
    secret, now = standing.environment["STRIPE_WEBHOOK_SECRETS"], int(time.time())
    return [
        load.Request(
            port=standing.port,
            method="POST",
            path="/v1/stripe/webhook",
            headers={"Stripe-Signature": deliveries.signature(body.encode(), secret, now)},
            body=body,
        )
        for body in bodies
    ]


def _all_at_once(webhooks: Sequence[load.Request]) -> list[paced.Answer]:
    """:raises RuntimeError: if one was refused"""
    per_second = len(webhooks) / MOMENT_SECONDS
    answers = paced.run(webhooks, per_second=per_second, seconds=MOMENT_SECONDS, connections=CONNECTIONS)
    if refused := [answer.status for answer in answers if answer.status != "200"]:
        raise RuntimeError(f"of {len(answers)} webhooks {len(refused)} were refused: {refused[0]}")
    return answers


@contextmanager
def _billing(standing: stack.Standing) -> Iterator[Any]:
    """A connection to its database, opened before the burst: this process should take none of its time."""
    from sqlalchemy import create_engine

    engine = create_engine(standing.environment["BILLING_DATABASE_URL"], isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _followed(connection: Any) -> int:
    """How many are stored, once nothing is left to be done about them."""
    from sqlalchemy import text

    left = connection.scalar(text("SELECT count(*) FROM jobs WHERE state <> 'done'"))
    stored = connection.scalar(text(r"SELECT count(*) FROM webhooks WHERE id LIKE 'evt\_burst\_%'"))
    return 0 if left else int(stored or 0)


def _admitted(admitting: "Future[list[paced.Answer]]") -> list[paced.Answer]:
    answers = admitting.result()
    if refused := [answer.status for answer in answers if answer.status != "201"]:
        raise RuntimeError(f"of {len(answers)} messages {len(refused)} were not admitted: {refused[0]}")
    return answers


def _between(answers: Sequence[paced.Answer], start: float, end: float) -> list[float]:
    return [answer.milliseconds for answer in answers if start <= answer.due_at < end]


def _p99(milliseconds: Sequence[float]) -> Any:
    return statistics.quantiles(milliseconds, n=100)[98]
