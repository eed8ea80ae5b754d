"""How the command line reaches the services' databases and RabbitMQ: by the settings of the processes themselves."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ops import exits, processes, stack
from ops import settings as ops_settings
from shared import config, database, inbox, store, worker


def environment(services: Iterable[str] = processes.SERVICES) -> dict[str, str]:
    """
    This process's own; if it does not say where these services' databases are, then with the settings of the stack
    that runs in the run directory.
    """
    given = {name: value for name, value in os.environ.items() if value}
    needed = [f"{name.upper()}_DATABASE_URL" for name in services]
    if all(name in given or f"{name}_FILE" in given for name in needed):
        return given
    return stack.saved_environment(stack.run_directory()) | given


def common() -> ops_settings.Settings:
    return ops_settings.load(environment())


def service_settings(name: str) -> Any:
    return config.load(import_module(f"services.{name}.settings").Settings, environment([name]))


def open_database(name: str, *, timeout_seconds: float = 30.0) -> database.Database:
    """A service's database, on the business clock, for one who does one thing after the other."""
    clock = ops_settings.business_clock(config.load(ops_settings.ClockSettings, environment([name])))
    url = config.load_one(processes.settings_of(name), "database_url", environment([name]))
    return database.Database(url, clock, pool_size=1, statement_timeout_seconds=timeout_seconds)


def open_databases(services: Iterable[str]) -> dict[str, database.Database]:
    return {name: open_database(name) for name in services}


def work_of(name: str, home: database.Database) -> worker.Work:
    """What the service's worker hears and does, for running its handlers here."""
    work: worker.Work = processes.work_of(name, service_settings(name), home)
    return work


def hears_of(name: str) -> Sequence[inbox.Hears]:
    """Whom the service hears."""
    return work_of(name, open_database(name)).hears


@contextmanager
def needing_databases() -> Iterator[None]:
    """:raises Away: where a database does not answer, or others are quicker again and again"""
    try:
        yield
    except (store.VersionConflict, database.Beaten) as error:
        raise exits.Away("others change the same at this moment; try again") from error
    except database.TRANSIENT as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise exits.Away(f"a database does not answer: {reason}") from error
