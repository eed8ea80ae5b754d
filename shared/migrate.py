"""Bring a service's database to this release: the kernel's tables, then the service's own."""

from collections.abc import Iterable
from importlib import resources
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util import to_tuple
from sqlalchemy import Connection, create_engine, text

LOCK = 7243001  # any number, the same for all: two migrations at once wait for each other


def upgrade(url: str, service: str | None) -> list[str]:
    """
    Run what is missing, all in one transaction; gives the heads it came to.

    :param service: None for the kernel's tables alone
    """
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            settings = _settings(service, connection)
            before = set(_current(connection))
            command.upgrade(settings, "heads")
            ran = set(_current(connection)) - before
            return sorted(ran)
    finally:
        engine.dispose()


def missing(connection: Connection, service: str | None) -> list[str]:
    """The revisions that this release has and the database has not; empty when it is up to date."""
    known = _known(service, connection)
    return sorted(set(known) - _with_ancestors(known, _current(connection)))


def unknown(connection: Connection, service: str | None) -> list[str]:
    """The revisions that the database has and this release has not: it was migrated by a newer one."""
    return sorted(set(_current(connection)) - set(_known(service, connection)))


def _known(service: str | None, connection: Connection) -> dict[str, Script]:
    scripts = ScriptDirectory.from_config(_settings(service, connection))
    return {script.revision: script for script in scripts.walk_revisions()}


def _with_ancestors(known: dict[str, Script], revisions: Iterable[str]) -> set[str]:
    """A database names only the last revision of each line, and none that another of its revisions depends on."""
    found: set[str] = set()
    waiting = [revision for revision in revisions if revision in known]
    while waiting:
        script = known[waiting.pop()]
        found.add(script.revision)
        waiting += [*to_tuple(script.down_revision, ()), *to_tuple(script.dependencies, ())]
    return found


def _current(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _settings(service: str | None, connection: Connection) -> Config:
    settings = Config()
    home = resources.files("shared") / "migrations"
    locations: list[Any] = [home / "versions"]
    if service is not None:
        locations.append(resources.files(f"services.{service}") / "migrations")
    settings.set_main_option("script_location", str(home))
    settings.set_main_option("path_separator", "newline")
    settings.set_main_option("version_locations", "\n".join(str(place) for place in locations if place.is_dir()))
    settings.attributes["connection"] = connection
    return settings
