"""
Every figure that a process shows at /metrics, with its labels; and the few calls by which the code counts.

A label has few values, all of them known to the code: a route's template and not its path, a method's name and not
its arguments. No ids and no personal data, ever.
"""

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any, TypeVar

import prometheus_client
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from shared import errors

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 60.0, 110.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
HTTP_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

# Of every process.
BUILD = Gauge("chatness_build_info", "Always 1: which release this is, and as what it runs", ["release", "role"])
READY = Gauge("chatness_ready", "Whether this part of /readyz is ready: 1 or 0; asked at each scrape", ["part"])
HUB_LATE = Histogram(
    "chatness_hub_late_seconds",
    "How much later than it should a green thread got its turn, looked at twice a second (`serve` only)",
    buckets=SECONDS,
)

# The gateway's.
HTTP_REQUESTS = Counter(
    "chatness_http_requests_total",
    "Answered requests, by the route's template; `(none)`: no such route, `(unread)`: refused before it was read",
    ["route", "method", "status"],
)
HTTP_SECONDS = Histogram(
    "chatness_http_request_duration_seconds",
    "From the request's head to the beginning of its answer",
    ["route", "method"],
    buckets=SECONDS,
)
HTTP_IN_FLIGHT = Gauge("chatness_http_requests_in_flight", "Requests that are being answered")
STREAMS = Gauge("chatness_streams_open", "Answers that go on for long: usage streams, and statements as CSV")
MESSAGES_WAITING = Gauge("chatness_messages_waiting", "Messages that wait in the gateway for the next batch to quota")

# Calls between processes.
RPC_SERVED = Counter(
    "chatness_rpc_served_total",
    "Calls answered here, by what came of them: `answered`, the kind of refusal, `deadline_passed` or `bug`; "
    "`(unknown)` is a method that does not exist",
    ["method", "outcome"],
)
RPC_SERVED_SECONDS = Histogram(
    "chatness_rpc_served_seconds", "From a call's arrival to its answer", ["method"], buckets=SECONDS
)
RPC_CALLS = Counter(
    "chatness_rpc_calls_total",
    "Calls made from here, by what came of them; `unavailable`: also where no answer came in time",
    ["method", "outcome"],
)
RPC_CALL_SECONDS = Histogram(
    "chatness_rpc_call_seconds", "From a call to its answer, or to the end of patience", ["method"], buckets=SECONDS
)

# Quota's.
ADMISSIONS = Counter(
    "chatness_admissions_total",
    "Messages, by quota's decision: `admitted` was counted now, `repeated` before; else the refusal's code",
    ["outcome"],
)
ADMISSION_BATCH = Histogram("chatness_admission_batch_messages", "How many messages a batch held", buckets=SIZES)
ADMISSION_SECONDS = Histogram(
    "chatness_admission_batch_seconds", "How long a batch took, its commit included", buckets=SECONDS
)

# Billing's, in `serve` and `worker`.
STRIPE_CALLS = Counter(
    "chatness_stripe_calls_total",
    "Tries of a call to Stripe: `answered`, `refused` (4xx), `throttled` (429), `failed` (5xx), `lost` (no answer); "
    "`not_asked`: refused here, because too many failed or are under way",
    ["outcome"],
)
STRIPE_SECONDS = Histogram("chatness_stripe_call_seconds", "How long a try of a call to Stripe took", buckets=SECONDS)
STRIPE_REFUSED = Gauge(
    "chatness_stripe_refused", "1 while so many calls to Stripe have failed that none is made; else 0"
)

# The workers'. What they count while they work:
PUBLISHED = Counter("chatness_events_published_total", "Events that RabbitMQ has confirmed", ["service"])
APPLIED = Counter(
    "chatness_events_applied_total",
    "Events of a producer that were passed in order: handled, not wanted, or parked",
    ["service", "producer"],
)
HANDLER_SECONDS = Histogram(
    "chatness_handler_seconds", "How long a handler took for one event", ["service", "event"], buckets=LONG_SECONDS
)
HANDLER_FAILURES = Counter(
    "chatness_handler_failures_total", "Tries of one event that failed through its handler", ["service", "event"]
)
JOB_SECONDS = Histogram("chatness_job_seconds", "How long a try of a job took", ["kind"], buckets=LONG_SECONDS)
JOB_FAILURES = Counter("chatness_job_failures_total", "Tries of a job that failed", ["kind"])
WORK_FAILURES = Counter(
    "chatness_work_failures_total",
    "Turns of a worker's thread that failed; `away`: a database or RabbitMQ was not there, `bug`: anything else",
    ["work", "reason"],
)

# What they read from the databases at a scrape. All are gone while the database does not answer.
FIGURES_UP = Gauge(
    "chatness_figures_up",
    "Whether the figures read at this scrape are there: 1 or 0; the source is `database`, a producer for what it is "
    "asked, or `dead letters of` it",
    ["service", "source"],
)
SCRAPE_ERRORS = Counter(
    "chatness_scrape_errors_total", "Scrapes at which figures could not be read in time", ["service", "source"]
)
OUTBOX = Gauge("chatness_outbox_events", "Committed events without a place in the log", ["service"])
OUTBOX_SECONDS = Gauge("chatness_outbox_oldest_seconds", "The age of the oldest of them", ["service"])
LOG_POSITION = Gauge("chatness_log_position", "The last place in the service's log", ["service"])
UNPUBLISHED = Gauge("chatness_log_unpublished_events", "Events of the log that are not published", ["service"])
UNPUBLISHED_SECONDS = Gauge("chatness_log_unpublished_oldest_seconds", "The age of the oldest of them", ["service"])
INBOX_POSITION = Gauge(
    "chatness_inbox_position", "How far the service has applied a producer's log", ["service", "producer"]
)
PARKED = Gauge(
    "chatness_parked_events",
    "Parked events; `for` is `operations`, or `a_release` where only a release that can read them is missing",
    ["service", "producer", "for"],
)
DISCARDED = Gauge(
    "chatness_discarded_events",
    "Parked events that operations have passed over, and no replay has applied since",
    ["service", "producer"],
)
JOBS = Gauge(
    "chatness_jobs", "Jobs that are not over: `waiting`, `running` or `failed`", ["service", "kind", "state"]
)
JOBS_OVERDUE = Gauge(
    "chatness_jobs_overdue_seconds", "For how long the oldest job is due; 0: none is", ["service", "kind"]
)
LAG = Gauge("chatness_consumer_lag_events", "Events of a producer's log still to apply", ["service", "producer"])
LAG_SECONDS = Gauge("chatness_consumer_lag_seconds", "The age of the oldest of them", ["service", "producer"])
DEAD_LETTERS = Gauge(
    "chatness_dead_letters",
    "Messages that the service could not take from a producer's queue, and that wait for a person",
    ["service", "producer"],
)
DIVERGED = Gauge(
    "chatness_consumer_diverged",
    "1 if the producer's log never had what was applied: one of the two databases was restored",
    ["service", "producer"],
)

Metric = TypeVar("Metric", Counter, Gauge, Histogram)


@functools.cache
def child(metric: Metric, *labels: str) -> Metric:
    """The metric for these labels, found faster than by `labels`. Not for one that is ever removed."""
    return metric.labels(*labels)


def describe(role: str) -> None:
    """:param role: as on the command line: `serve quota`, `worker accounts billing`"""
    BUILD.labels(metadata.version("chatness"), role).set(1)


def served_http(route: str, method: str, status: int, seconds: float) -> None:
    method = method if method in HTTP_METHODS else "(other)"
    child(HTTP_REQUESTS, route, method, str(status)).inc()
    child(HTTP_SECONDS, route, method).observe(seconds)


def served_rpc(method: str, fault: BaseException | None, seconds: float) -> None:
    child(RPC_SERVED, method, outcome_of(fault)).inc()
    child(RPC_SERVED_SECONDS, method).observe(seconds)


@contextmanager
def calling(method: str) -> Iterator[None]:
    """Around a call to another service."""
    started, fault = time.monotonic(), None
    try:
        yield
    except BaseException as error:
        fault = error
        raise
    finally:
        child(RPC_CALLS, method, outcome_of(fault)).inc()
        child(RPC_CALL_SECONDS, method).observe(time.monotonic() - started)


def stripe_called(outcome: str, seconds: float | None = None) -> None:
    """:param seconds: None if nothing was sent"""
    child(STRIPE_CALLS, outcome).inc()
    if seconds is not None:
        STRIPE_SECONDS.observe(seconds)


def expect_rpc(method: str) -> None:
    """Show that it had no bug yet: to Prometheus, a counter that begins with 1 did not increase."""
    child(RPC_SERVED, method, "bug")


def expect_work(work: str) -> None:
    """As `expect_rpc`, of what `work_failed` counts."""
    for reason in ("away", "bug"):
        child(WORK_FAILURES, work, reason)


def work_failed(work: str, reason: str) -> None:
    """:param reason: `away` or `bug`"""
    child(WORK_FAILURES, work, reason).inc()


_KINDS: dict[type[BaseException], str] = {
    errors.Invalid: "invalid",
    errors.Forbidden: "forbidden",
    errors.NotFound: "not_found",
    errors.Conflict: "conflict",
    errors.LimitReached: "limit_reached",
    errors.Unavailable: "unavailable",
}


def outcome_of(fault: BaseException | None) -> str:
    """What came of a call, in one of a few words."""
    if fault is None:
        return "answered"
    if isinstance(fault, errors.ServiceError) and fault.code == "deadline_passed":
        return "deadline_passed"
    return _KINDS.get(type(fault), "bug")


def remove(*gauges: Gauge, **labels: str) -> None:
    """Show nothing rather than what is no longer known to be true."""
    for gauge in gauges:
        gauge.remove_by_labels(labels)


def page() -> bytes:
    return prometheus_client.generate_latest(REGISTRY)


def all_of_ours() -> list[Any]:
    """Every metric of this module, in the order in which they stand there."""
    return [metric for metric in globals().values() if isinstance(metric, Counter | Gauge | Histogram)]
