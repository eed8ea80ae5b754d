"""
What a worker's /metrics shows of its databases: read at a scrape, in threads of their own, and kept for a moment.

A database or a producer that does not answer in time has no figures: a stale one would look like a good one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from prometheus_client import Gauge

from shared import clock, consumer, database, figures, inbox, metrics, probes, rpc_client, worker

FRESH_SECONDS = 5.0
ASK_SECONDS = 1.0

Found = TypeVar("Found")
OF_THE_DATABASE = (
    metrics.OUTBOX,
    metrics.OUTBOX_SECONDS,
    metrics.LOG_POSITION,
    metrics.UNPUBLISHED,
    metrics.UNPUBLISHED_SECONDS,
    metrics.INBOX_POSITION,
    metrics.PARKED,
    metrics.DISCARDED,
    metrics.JOBS,
    metrics.JOBS_OVERDUE,
)
OF_THE_WAY = (metrics.LAG, metrics.LAG_SECONDS, metrics.DIVERGED)
OF_THE_QUEUE = (metrics.DEAD_LETTERS,)
Lag = tuple[int, float]


@dataclass(frozen=True, kw_only=True)
class Inside:
    log: figures.Log
    inboxes: dict[str, figures.Inbox]
    parked: dict[str, figures.Parked]
    discarded: dict[str, int]
    jobs: dict[str, figures.Jobs]


class Source(Generic[Found]):
    """
    One question about a service, and the gauges that show its answer.

    :param name: what `source` says of it
    :param labels: those that all of its gauges have: the `service`, and the `producer` if it is about one
    """

    def __init__(
        self,
        name: str,
        ask: Callable[[], Found],
        gauges: Sequence[Gauge],
        show: Callable[[Found], None],
        **labels: str,
    ) -> None:
        self._labels = labels
        self._source = {"service": labels["service"], "source": name}
        self._gauges = gauges
        self._show = show
        self._probe = probes.Probe(ask, fresh_seconds=FRESH_SECONDS)

    def start(self) -> None:
        self._probe.start()

    def show(self, *, until: float) -> None:
        up = metrics.FIGURES_UP.labels(**self._source)
        try:
            found = self._probe.answer(until=until)
        except probes.NoAnswer:
            metrics.remove(*self._gauges, **self._labels)
            metrics.SCRAPE_ERRORS.labels(**self._source).inc()
            up.set(0)
        else:
            metrics.remove(*self._gauges, **self._labels)  # such as the last job of a kind
            self._show(found)
            up.set(1)


def sources(running: worker.Worker, home: database.Database) -> list[Source[Any]]:
    """
    For one service.

    :param home: its database, on a connection that is not the worker's: neither side is to wait for the other
    """
    service = running.work.service
    of_it = Source("database", partial(read, home), OF_THE_DATABASE, partial(show, running), service=service)
    found: list[Source[Any]] = [of_it]
    for hears in running.work.hears:
        found += sources_along(inbox.Inbox(home, service, hears), running.amqp_uri)
    return found


def sources_along(box: inbox.Inbox, amqp_uri: str) -> list[Source[Any]]:
    """On connections of their own: a producer that does not answer hides no dead letters."""
    labels = {"service": box.service, "producer": box.producer}
    lag = partial(look_along, rpc_client.BlockingClient(amqp_uri), box)
    dead = partial(count_dead, rpc_client.BlockingClient(amqp_uri), box)
    return [
        Source(box.producer, lag, OF_THE_WAY, partial(show_way, box), **labels),
        Source(f"dead letters of {box.producer}", dead, OF_THE_QUEUE, partial(show_dead, box), **labels),
    ]


def read(home: database.Database) -> Inside:
    with home.engine.connect() as connection:
        now = home.clock.now()
        return Inside(
            log=figures.log(connection, now),
            inboxes=figures.inboxes(connection),
            parked=figures.parked(connection),
            discarded=figures.discarded(connection),
            jobs=figures.jobs(connection, now),
        )


def look_along(client: rpc_client.BlockingClient, box: inbox.Inbox) -> Lag | None:
    """
    How many events of a producer's log are still to apply, and the age of the oldest; None if the log diverged.
    Asked of the producer itself, whose database is not ours to read.
    """
    place = box.place()
    try:
        answer = consumer.ask(client, box, place, limit=1, timeout=ASK_SECONDS)
    except inbox.Diverged:
        return None
    ages = [box.database.clock.now() - clock.parse(event["time"]) for event in answer["events"]]
    seconds = ages[0].total_seconds() if ages else 0.0
    return max(0, answer["head"] - place.position), max(0.0, seconds)


def count_dead(client: rpc_client.BlockingClient, box: inbox.Inbox) -> int:
    return client.count_messages(consumer.dead_letters(box.service, box.producer))


def show(running: worker.Worker, inside: Inside) -> None:
    """Zeros too, for what the code knows of: a series that comes and goes is no ground for an alert."""
    service = running.work.service
    metrics.OUTBOX.labels(service).set(inside.log.unsequenced)
    metrics.OUTBOX_SECONDS.labels(service).set(inside.log.unsequenced_seconds)
    metrics.LOG_POSITION.labels(service).set(inside.log.head)
    metrics.UNPUBLISHED.labels(service).set(inside.log.unpublished)
    metrics.UNPUBLISHED_SECONDS.labels(service).set(inside.log.unpublished_seconds)
    for producer in {hears.catalogue.service for hears in running.work.hears} | set(inside.parked):
        parked = inside.parked.get(producer, figures.Parked())
        metrics.INBOX_POSITION.labels(service, producer).set(inside.inboxes.get(producer, figures.Inbox()).position)
        metrics.PARKED.labels(service, producer, "operations").set(parked.events - parked.unreadable)
        metrics.PARKED.labels(service, producer, "a_release").set(parked.unreadable)
        metrics.DISCARDED.labels(service, producer).set(inside.discarded.get(producer, 0))
    for kind in {*running.work.jobs, *inside.jobs}:
        jobs = inside.jobs.get(kind, figures.Jobs())
        for state in ("waiting", "running", "failed"):
            metrics.JOBS.labels(service, kind, state).set(getattr(jobs, state))
        metrics.JOBS_OVERDUE.labels(service, kind).set(jobs.overdue_seconds)


def show_way(box: inbox.Inbox, lag: Lag | None) -> None:
    service, producer = box.service, box.producer
    metrics.DIVERGED.labels(service, producer).set(lag is None)
    if lag is not None:
        events, seconds = lag
        metrics.LAG.labels(service, producer).set(events)
        metrics.LAG_SECONDS.labels(service, producer).set(seconds)


def show_dead(box: inbox.Inbox, messages: int) -> None:
    metrics.DEAD_LETTERS.labels(box.service, box.producer).set(messages)
