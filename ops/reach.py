"""How the command line reaches the services' databases and RabbitMQ: by the settings of the processes themselves."""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from ops import exits, processes, stack
from ops import settings as ops_settings
from shared import config, database, inbox, store, worker

LOCK_NOT_AVAILABLE, QUERY_CANCELED = "55P03", "57014"  # SQLSTATE

# Who is given one of these is told what it lacks, and not to start a stack.
PLACES = ("AMQP_URI", *(f"{name.upper()}_DATABASE_URL" for name in processes.SERVICES))


def environment(services: Iterable[str] = processes.SERVICES) -> dict[str, str]:
    """
    This process's own; if it does not say where these services' databases are, then with the settings of the stack
    that runs in the run directory.

    :raises BadConfiguration: if there is none, naming all that is missing where some of it is given
    """
    wanted = set(services)
    return _environment_with([f"{name.upper()}_DATABASE_URL" for name in processes.SERVICES if name in wanted])


def amqp_uri() -> str:
    """Where RabbitMQ is, for which no other setting is needed."""
    uri: str = config.load_one(ops_settings.Settings, "amqp_uri", _environment_with(["AMQP_URI"]))
    return uri


def environment_of_one(setting: str) -> dict[str, str]:
    """As `environment`, for who needs this setting and none of a database."""
    return _environment_with([setting])


def service_settings(name: str) -> Any:
    return config.load(import_module(f"services.{name}.settings").Settings, environment([name]))


def open_database(name: str, *, timeout_seconds: float = 30.0) -> database.Database:
    """A service's database, on the business clock, for one who does one thing after the other."""
    clock = ops_settings.business_clock(config.load(ops_settings.ClockSettings, environment([name])))
    url = config.load_one(processes.settings_of(name), "database_url", environment([name]))
    return database.Database(url, clock, pool_size=1, statement_timeout_seconds=timeout_seconds)


def open_databases(services: Iterable[str], *, timeout_seconds: float = 30.0) -> dict[str, database.Database]:
    """:raises BadConfiguration: naming all that are not set"""
    wanted = list(services)
    environment(wanted)
    return {name: open_database(name, timeout_seconds=timeout_seconds) for name in wanted}


def work_of(name: str, home: database.Database) -> worker.Work:
    """What the service's worker hears and does, for running its handlers here."""
    work: worker.Work = processes.work_of(name, service_settings(name), home)
    return work


def hears_of(name: str) -> Sequence[inbox.Hears]:
    """Whom the service hears."""
    return work_of(name, open_database(name)).hears


@contextmanager
def needing_databases() -> Iterator[None]:
    """:raises Away: where a database does not answer, is too slow, or others are in the way or quicker"""
    try:
        yield
    except (store.VersionConflict, database.Beaten) as error:
        raise exits.Away("others change the same at this moment; try again") from error
    except database.TRANSIENT as error:
        raise exits.Away(_told(getattr(error, "orig", None) or error)) from error


def _told(error: Any) -> str:
    reason = " ".join(str(error).split())
    sqlstate = getattr(error, "pgcode", None)
    if sqlstate == LOCK_NOT_AVAILABLE:
        return f"others hold what this needs; try again: {reason}"
    if sqlstate == QUERY_CANCELED:
        return f"it took too long; try again: {reason}"
    return f"a database does not answer: {reason}"


def _environment_with(needed: Collection[str]) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if value}
    missing = [name for name in needed if not _is_in(given, name)]
    if not missing:
        return given
    directory = stack.run_directory()
    if not stack.has_run(directory) and any(_is_in(given, name) for name in PLACES):
        raise config.BadConfiguration("; ".join(f"{name} is not set" for name in missing))
    return stack.saved_environment(directory) | given


def _is_in(given: Collection[str], name: str) -> bool:
    return name in given or f"{name}_FILE" in given
