"""The parts of /readyz: what a process needs to do its work now."""

import threading
from collections.abc import Callable, Mapping

from shared import database, health, migrate, rpc_client, worker


def of_databases(homes: Mapping[str, database.Database]) -> health.Checks:
    """
    By service: whether its database takes what is written, and has this release's migrations.

    :param homes: on connections for looking: under load those of the work are all taken, and that is no illness
    """
    checks: dict[str, Callable[[], bool]] = {}
    for service, home in homes.items():
        checks[f"database {service}"] = home.answers
        checks[f"migrations {service}"] = _Migrations(home, service).are_there
    return checks


def of_workers(workers: Mapping[str, worker.Worker], stopping: threading.Event) -> health.Checks:
    """RabbitMQ, every consumer and publisher, and that nobody has asked us to stop."""
    broker = rpc_client.BlockingClient(next(iter(workers.values())).amqp_uri)
    parts: dict[str, Callable[[], bool]] = {"running": lambda: not stopping.is_set(), "rabbitmq": broker.stands}
    for one in workers.values():
        parts[f"{one.work.service} publisher"] = one.sequenced.is_set
        parts |= {follower.name: follower.connected.is_set for follower in one.consumers}
    return parts


class _Migrations:
    """Once there, they are there for good: they are not looked at again."""

    def __init__(self, home: database.Database, service: str) -> None:
        self._home = home
        self._service = service
        self._there = False

    def are_there(self) -> bool:
        if not self._there:
            with self._home.engine.connect() as connection:
                self._there = not migrate.missing(connection, self._service)
        return self._there
