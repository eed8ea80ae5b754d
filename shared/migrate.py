"""Bring a service's database to this release: the kernel's tables, then the service's own."""

from importlib import resources
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
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
    heads = ScriptDirectory.from_config(_settings(service, connection)).get_heads()
    return sorted(set(heads) - set(_current(connection)))


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
