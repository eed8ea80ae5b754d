"""How each service follows the others: its place in their logs, seen from both databases and from RabbitMQ."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ops import limits, looks, rabbitmq, reach, sights
from ops.looks import Away
from shared import database, figures

Link = tuple[str, str]
"""(the service that hears, the one it hears)"""


@dataclass(frozen=True, kw_only=True)
class Queues:
    """
    :param queue: None where it was never declared, or deleted
    :param dead: how many dead letters there are
    """

    queue: rabbitmq.Queue | None
    dead: int


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """One service as a follower of another; what could not be looked at is away."""

    service: str
    producer: str
    queues: Queues | Away
    applied: figures.Inbox | Away
    lag: sights.Lag | Away
    parked: figures.Parked

    @property
    def name(self) -> str:
        return f"{self.service} from {self.producer}"

    def document(self) -> dict[str, Any]:
        queues = self.queues if isinstance(self.queues, Queues) else None
        queue = queues.queue if queues else None
        applied = self.applied if isinstance(self.applied, figures.Inbox) else None
        lag = self.lag if isinstance(self.lag, sights.Lag) else None
        return {
            "service": self.service,
            "producer": self.producer,
            "queue": queue.name if queue else None,
            "consumers": queue.consumers if queue else None,
            "ready": queue.ready if queue else None,
            "dead": queues.dead if queues else None,
            "position": applied.position if applied else None,
            "lag_events": lag.events if lag else None,
            "lag_seconds": round(lag.seconds, 1) if lag else None,
            "parked": self.parked.events,
            "attempts": applied.attempts if applied else None,
            "same_epoch": lag.same_epoch if lag else None,
            "hash_known": lag.known if lag else None,
        }


def links(services: Iterable[str]) -> list[Link]:
    return [(name, hears.catalogue.service) for name in services for hears in reach.hears_of(name)]


def look_at_queues(amqp_uri: str, link: Link) -> Queues:
    """On a connection of its own, so that a queue without a leader holds up no other look."""
    name = ".from.".join(link)
    with rabbitmq.connected(amqp_uri) as connection:
        queue = rabbitmq.look_at(connection, name)
        dead = rabbitmq.look_at(connection, f"{name}.dead")
    return Queues(queue=queue, dead=dead.ready if dead else 0)


def gather(
    homes: Mapping[str, database.Database],
    seen: Mapping[str, sights.Sight | Away],
    queues: Mapping[Link, Queues | Away],
) -> list[Consumer]:
    """
    Put together what was seen of each link, and ask the producers' databases for the lag.

    :param seen: by service, the producers too
    """
    applied = {link: _applied(seen[link[0]], link[1]) for link in queues}
    asked = {
        link: partial(sights.lag, homes[link[1]], place)
        for link, place in applied.items()
        if isinstance(place, figures.Inbox) and not isinstance(seen[link[1]], Away)
    }
    lags = looks.at_once(asked, seconds=limits.LOOK_SECONDS)
    return [
        Consumer(
            service=link[0],
            producer=link[1],
            queues=found,
            applied=applied[link],
            lag=lags.get(link, Away("a database is away")),
            parked=_parked(seen[link[0]], link[1]),
        )
        for link, found in queues.items()
    ]


def _applied(sight: sights.Sight | Away, producer: str) -> figures.Inbox | Away:
    if isinstance(sight, Away):
        return sight
    if sight.inside is None:
        return Away("its database is not migrated")
    return sight.inside.inboxes.get(producer, figures.Inbox())


def _parked(sight: sights.Sight | Away, producer: str) -> figures.Parked:
    inside = None if isinstance(sight, Away) else sight.inside
    return inside.parked.get(producer, figures.Parked()) if inside else figures.Parked()
