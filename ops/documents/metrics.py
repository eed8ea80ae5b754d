"""`docs/metrics.md`: every figure of /metrics, from the objects that hold them."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared import metrics

PATH = "docs/metrics.md"

INTRODUCTION = """\
# Metrics

Made from `shared/metrics.py` by `make docs`: change it there.

Every process shows its figures at `/metrics`, beside `/livez` and `/readyz`, on `CHATNESS_HEALTH_HOST` and
`CHATNESS_HEALTH_PORT`, in the text format of Prometheus. Beside those below there are the usual ones of a Python
process: `process_…` and `python_…`.

No label holds an id, a path or anything else that a stranger could make up, so their number is bounded by the code.
A process counts from zero when it starts: look at rates, not at totals. Histograms have the usual `_bucket`, `_sum`
and `_count`.

What to be woken for is in [alerts.yml](alerts.yml), for Prometheus to read; what to do then, in
[operations](operations.md).
"""

SECTIONS: Mapping[str, tuple[str, Sequence[Any]]] = {
    "Every process": ("", (metrics.BUILD, metrics.READY, metrics.HUB_LATE)),
    "The gateway": (
        "",
        (
            metrics.HTTP_REQUESTS,
            metrics.HTTP_SECONDS,
            metrics.HTTP_IN_FLIGHT,
            metrics.STREAMS,
            metrics.MESSAGES_WAITING,
        ),
    ),
    "Calls between processes": (
        "",
        (metrics.RPC_SERVED, metrics.RPC_SERVED_SECONDS, metrics.RPC_CALLS, metrics.RPC_CALL_SECONDS),
    ),
    "Quota's decisions": (
        "Counted after the commit, by `serve quota`.",
        (metrics.ADMISSIONS, metrics.ADMISSION_BATCH, metrics.ADMISSION_SECONDS),
    ),
    "Billing's calls to Stripe": (
        "By `serve billing` and `worker billing`. A call may have several tries.",
        (metrics.STRIPE_CALLS, metrics.STRIPE_SECONDS, metrics.STRIPE_REFUSED),
    ),
    "What a worker has done": (
        "",
        (
            metrics.PUBLISHED,
            metrics.APPLIED,
            metrics.HANDLER_SECONDS,
            metrics.HANDLER_FAILURES,
            metrics.JOB_SECONDS,
            metrics.JOB_FAILURES,
            metrics.WORK_FAILURES,
        ),
    ),
    "What stands in the databases and queues": (
        "Read by workers at a scrape, and kept for 5 s. What cannot be read within 2 s is not shown, since an old\n"
        "figure would look like a good one; `chatness_figures_up` says so. Several workers of one service show the\n"
        "same: take their `max`.",
        (
            metrics.FIGURES_UP,
            metrics.SCRAPE_ERRORS,
            metrics.OUTBOX,
            metrics.OUTBOX_SECONDS,
            metrics.LOG_POSITION,
            metrics.UNPUBLISHED,
            metrics.UNPUBLISHED_SECONDS,
            metrics.INBOX_POSITION,
            metrics.LAG,
            metrics.LAG_SECONDS,
            metrics.DIVERGED,
            metrics.DEAD_LETTERS,
            metrics.PARKED,
            metrics.DISCARDED,
            metrics.JOBS,
            metrics.JOBS_OVERDUE,
        ),
    ),
}


def render() -> str:
    return "\n".join([INTRODUCTION, *(_section(title, *told) for title, told in SECTIONS.items())])


def _section(title: str, about: str, shown: Sequence[Any]) -> str:
    heads = ["| Metric | Kind | Labels | What it says |", "|---|---|---|---|"]
    return "\n".join([f"## {title}", "", *([about, ""] if about else []), *heads, *map(_row, shown), ""])


def _row(metric: Any) -> str:
    (described,) = metric.describe()
    name = f"{described.name}_total" if described.type == "counter" else described.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames) or "—"
    return f"| `{name}` | {described.type} | {labels} | {described.documentation} |"
