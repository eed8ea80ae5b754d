"""A private PostgreSQL for a benchmark, with quota's database on it, gone afterwards."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox import binaries, infrastructure
from sandbox.postgres import PostgresServer
from shared import clock, database, migrate


@dataclass(frozen=True)
class Server:
    postgres: PostgresServer

    def quota(self, name: str = "quota") -> database.Database:
        """quota's database, migrated, with the machine's clock."""
        url = self.postgres.create_database(name)
        migrate.upgrade(url, "quota")
        return database.Database(url, clock.Clock())


@contextlib.contextmanager
def running() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="chatness-benchmark-") as folder:
        directory = Path(folder)
        directory.chmod(0o755)  # root's PostgreSQL runs as another user; what it keeps there is private
        postgres = infrastructure.start_postgres(binaries.ensure(None), directory / "postgres")
        try:
            yield Server(postgres)
        finally:
            postgres.stop()


def plain(url: str) -> str:
    """The URL as PostgreSQL's own library reads it."""
    return url.replace("+psycopg2", "")
