"""The parts of /readyz: what a process needs to do its work now."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from shared import database, health, migrate, rpc_client, worker

ASK_SECONDS = 2.0


def of_databases(homes: Mapping[str, database.Database]) -> health.Checks:
    """By service: whether its database takes what is written, and has this release's migrations."""
    checks: dict[str, Callable[[], bool]] = {}
    for service, home in homes.items():
        # A connection of its own: under load the service's own ones are all at work, and that is no illness.
        looking = replace(home, pool_size=1, statement_timeout_seconds=ASK_SECONDS)
        checks[f"database {service}"] = looking.answers
        checks[f"migrations {service}"] = _Migrations(looking, service).are_there
    return checks


def of_workers(workers: Mapping[str, "worker.Worker"], stopping: threading.Event) -> health.Checks:
    """Beside the databases: RabbitMQ, every consumer and publisher, and that nobody has asked us to stop."""
    parts: dict[str, Callable[[], bool]] = {"running": lambda: not stopping.is_set()}
    for one in workers.values():
        parts["rabbitmq"] = rpc_client.BlockingClient(one.amqp_uri).stands
        parts[f"{one.work.service} publisher"] = one.sequenced.is_set
        parts |= {follower.name: follower.connected.is_set for follower in one.consumers}
    return {**parts, **of_databases({service: one.database for service, one in workers.items()})}


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
