"""`docs/alerts.yml`: what to be woken for, by the same limits as the doctor's, as a file of rules for Prometheus."""

from dataclasses import dataclass

from ops import limits, processes

PATH = "docs/alerts.yml"

HEAD = """\
# Rules for Prometheus, made from ops/documents/alerts.py by `make docs`: change them there.
# `section` names the part of docs/operations.md that says what to do. The limits are those of `chatness doctor`.
groups:
  - name: chatness
    rules:
"""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """
    :param minutes: how long it must hold; 0: once is enough
    :param severity: `page` wakes somebody, `ticket` waits for the morning
    :param section: the heading in `docs/operations.md`
    :param service: which one it is about, where it is a rule of that service alone
    """

    name: str
    expression: str
    minutes: int
    severity: str
    summary: str
    section: str
    service: str = ""


def _missing(verb: str, service: str) -> Alert:
    """
    A rule for each: which services a process runs stands in one label, and what is dead shows no figures.

    :param verb: `serve` or `worker`
    """
    return Alert(
        name="ChatnessNoWorker" if verb == "worker" else "ChatnessNoServe",
        expression=f'absent(chatness_build_info{{role=~"{verb} (.+ )?{service}( .+)?"}})',
        minutes=2,
        severity="page",
        summary=f"no {verb} {service} runs: "
        + ("its events and jobs wait" if verb == "worker" else "what needs it is answered with 503"),
        section="The doctor says: silent, or no live process",
        service=service,
    )


ALERTS = (
    Alert(
        name="ChatnessNotReady",
        expression="min by (instance, part) (chatness_ready) == 0",
        minutes=2,
        severity="page",
        summary="{{ $labels.instance }} is not ready: {{ $labels.part }}",
        section="Messages are answered with 503",
    ),
    *(_missing("serve", name) for name in (*processes.SERVICES, "gateway")),
    *(_missing("worker", name) for name in processes.SERVICES),
    Alert(
        name="ChatnessNoMailroom",
        expression='absent(chatness_build_info{role="mailroom"})',
        minutes=15,
        severity="ticket",
        summary="no mailroom runs: your mail server keeps the mail to support",
        section="Mail to support does not arrive",
        service="mailroom",
    ),
    Alert(
        name="ChatnessAnswersWithErrors",
        expression='sum(rate(chatness_http_requests_total{status=~"5.."}[5m]))'
        " / sum(rate(chatness_http_requests_total[5m])) > 0.01",
        minutes=5,
        severity="page",
        summary="more than one answer in a hundred is 5xx",
        section="Messages are answered with 503",
    ),
    Alert(
        name="ChatnessSlow",
        expression="histogram_quantile(0.99, sum by (le) (rate("
        'chatness_http_request_duration_seconds_bucket{route="/v1/messages"}[5m]))) > 1',
        minutes=5,
        severity="page",
        summary="one message in a hundred waits longer than 1 s",
        section="Messages are answered with 503",
    ),
    Alert(
        name="ChatnessHubHeldUp",
        expression="histogram_quantile(0.99, sum by (instance, le) ("
        "rate(chatness_hub_late_seconds_bucket[5m]))) > 0.5",
        minutes=10,
        severity="ticket",
        summary="{{ $labels.instance }} lets its green threads wait for each other",
        section="A process is slow, or not live",
    ),
    Alert(
        name="ChatnessBug",
        expression='sum by (method) (increase(chatness_rpc_served_total{outcome="bug"}[10m])) > 0',
        minutes=0,
        severity="ticket",
        summary="{{ $labels.method }} failed in a way it did not mean to: its log has the traceback",
        section="A process is slow, or not live",
    ),
    Alert(
        name="ChatnessWorkFails",
        expression='sum by (work) (increase(chatness_work_failures_total{reason="bug"}[10m])) > 0',
        minutes=0,
        severity="ticket",
        summary="{{ $labels.work }} failed in a way it did not mean to: its log has the traceback",
        section="A process is slow, or not live",
    ),
    Alert(
        name="ChatnessOutboxLate",
        expression=f"max by (service) (chatness_outbox_oldest_seconds) > {limits.OUTBOX_SECONDS:g}"
        f" or max by (service) (chatness_log_unpublished_oldest_seconds) > {limits.OUTBOX_SECONDS:g}",
        minutes=1,
        severity="page",
        summary="events of {{ $labels.service }} are not published",
        section="The outbox grows, or the log is not published",
    ),
    Alert(
        name="ChatnessConsumerBehind",
        expression=f"max by (service, producer) (chatness_consumer_lag_seconds) > {limits.LAG_SECONDS:g}",
        minutes=1,
        severity="page",
        summary="{{ $labels.service }} is behind {{ $labels.producer }}",
        section="A consumer is behind",
    ),
    Alert(
        name="ChatnessDiverged",
        expression="max by (service, producer) (chatness_consumer_diverged) > 0",
        minutes=0,
        severity="page",
        summary="{{ $labels.producer }}'s log never had what {{ $labels.service }} applied",
        section="A log diverged after a restore",
    ),
    Alert(
        name="ChatnessParked",
        expression='max by (service, producer) (chatness_parked_events{for="operations"}) > 0',
        minutes=0,
        severity="ticket",
        summary="events of {{ $labels.producer }} are parked in {{ $labels.service }}",
        section="Events are parked",
    ),
    Alert(
        name="ChatnessDeadLetters",
        expression="max by (service, producer) (chatness_dead_letters) > 0",
        minutes=0,
        severity="ticket",
        summary="{{ $labels.service }} got what is no event of {{ $labels.producer }}",
        section="There are dead letters",
    ),
    Alert(
        name="ChatnessJobGivenUp",
        expression='max by (service, kind) (chatness_jobs{state="failed"}) > 0',
        minutes=0,
        severity="ticket",
        summary="a job {{ $labels.kind }} was given up",
        section="A job was given up",
    ),
    Alert(
        name="ChatnessJobsOverdue",
        expression=f"max by (service, kind) (chatness_jobs_overdue_seconds) > {limits.OVERDUE_SECONDS:g}",
        minutes=1,
        severity="page",
        summary="nobody does the jobs {{ $labels.kind }}",
        section="A job was given up",
    ),
    Alert(
        name="ChatnessStripeAway",
        expression="max(chatness_stripe_refused) > 0",
        minutes=5,
        severity="page",
        summary="Stripe fails or does not answer: nobody can change a plan",
        section="Stripe is away",
    ),
    Alert(
        name="ChatnessFiguresMissing",
        expression="max by (service, source) (chatness_figures_up) == 0",
        minutes=5,
        severity="ticket",
        summary="the figures of {{ $labels.service }} cannot be read: {{ $labels.source }}",
        section="Messages are answered with 503",
    ),
)


def render() -> str:
    return HEAD + "\n".join(_rule(alert) for alert in ALERTS)


def _rule(alert: Alert) -> str:
    holds = f"        for: {alert.minutes}m\n" if alert.minutes else ""
    service = f"          service: {alert.service}\n" if alert.service else ""
    return (
        f"      - alert: {alert.name}\n"
        f"        expr: >-\n          {alert.expression}\n"
        f"{holds}"
        f"        labels:\n          severity: {alert.severity}\n{service}"
        f"        annotations:\n"
        f"          summary: {_quoted(alert.summary)}\n"
        f"          section: {_quoted(alert.section)}\n"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
