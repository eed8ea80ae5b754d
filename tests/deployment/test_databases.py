"""deploy/databases.sql, on a real PostgreSQL: what Compose runs, and what an operator runs by hand."""

import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations

import psycopg2
import pytest

from ops import processes
from sandbox.postgres import PostgresServer
from tests.deployment import files

SCRIPT = files.ROOT / "deploy" / "databases.sql"


@pytest.fixture(scope="module")
def server(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """On which the script has run twice."""
    run(postgres, "former")
    run(postgres, "present")
    yield postgres
    with postgres.administer() as cursor:
        for name in processes.SERVICES:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
            cursor.execute(f"DROP ROLE {name}")


def run(server: PostgresServer, age: str) -> None:
    done = psql(server, {f"{name.upper()}_DATABASE_PASSWORD": f"{age} '{name}'" for name in processes.SERVICES})
    assert (done.returncode, done.stderr) == (0, "")


def psql(server: PostgresServer, passwords: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = ["psql", "--no-psqlrc", "--quiet", "-f", SCRIPT, server.admin_url.replace("+psycopg2", "")]
    environment = {"PATH": os.environ["PATH"], **passwords}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def address(server: PostgresServer, role: str, name: str, *, age: str = "present") -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "port": server.port,
        "user": role,
        "password": f"{age} '{role}'",
        "dbname": name,
    }


def test_each_role_may_migrate_its_own_and_that_needs_no_other_setting(server: PostgresServer):
    urls = {
        f"{name.upper()}_DATABASE_URL": f"postgresql+psycopg2://{name}:present%20'{name}'@127.0.0.1:{server.port}/{name}"
        for name in processes.SERVICES
    }

    migrated = subprocess.run(
        [sys.executable, "-m", "ops.cli", "migrate"], env=urls, capture_output=True, text=True, check=False
    )

    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert migrated.stdout.count("kernel_") == len(processes.SERVICES)


@pytest.mark.parametrize("role, name", [*permutations(processes.SERVICES, 2), ("quota", "postgres")])
def test_no_role_gets_into_another(server: PostgresServer, role: str, name: str):
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(**address(server, role, name))


def test_a_former_password_is_no_way_in(server: PostgresServer):
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(**address(server, "quota", "quota", age="former"))


def test_without_passwords_it_stops_and_changes_nothing(server: PostgresServer):
    assert psql(server, {}).returncode == 3

    psycopg2.connect(**address(server, "quota", "quota")).close()
