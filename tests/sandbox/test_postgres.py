from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sandbox import binaries, children, home, infrastructure
from sandbox.postgres import PostgresServer


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def server(backend: binaries.Backend, tmp_path: Path) -> Iterator[PostgresServer]:
    server = infrastructure.start_postgres(backend, tmp_path / "postgres")
    yield server
    server.stop()
    home.discard(tmp_path / "postgres")


class TestServer:
    def test_keeps_data_port_and_url_over_a_stop_and_a_start(self, server: PostgresServer):
        url = server.create_database("notes")
        query(url, "CREATE TABLE note AS SELECT 'kept' AS text")

        server.stop()
        server.start()

        assert server.create_database("notes") == url
        assert query(url, "SELECT text FROM note") == [("kept",)]

    def test_keeps_what_was_committed_when_it_is_killed(self, server: PostgresServer):
        url = server.create_database("notes")
        query(url, "CREATE TABLE note AS SELECT 'kept' AS text")

        server.kill()
        server.start()

        assert query(url, "SELECT text FROM note") == [("kept",)]

    def test_runs_beside_another_one(self, server: PostgresServer, postgres: PostgresServer):
        assert server.port != postgres.port
        assert query(server.admin_url, "SHOW data_directory") != query(postgres.admin_url, "SHOW data_directory")

    def test_refuses_a_directory_that_is_in_use(
        self, server: PostgresServer, backend: binaries.Backend, tmp_path: Path
    ):
        with pytest.raises(home.Unusable, match="in use"):
            infrastructure.start_postgres(backend, tmp_path / "postgres")

    def test_leaves_no_process_behind(self, server: PostgresServer):
        family = [children.find(server.pid or 0), *children.descendants(server.pid or 0)]

        server.stop()

        assert len(family) > 3
        assert not [process for process in family if process and process.lives]

    def test_writes_to_disk_before_it_says_that_it_has(self, server: PostgresServer):
        assert query(server.admin_url, "SHOW fsync") == [("on",)]


class TestCreateDatabase:
    def test_gives_the_same_url_for_the_same_name(self, postgres: PostgresServer):
        assert postgres.create_database("same") == postgres.create_database("same")

    def test_makes_a_role_that_reaches_no_other_database(self, postgres: PostgresServer):
        url = postgres.create_database("one")
        postgres.create_database("two")

        for other in ("two", "postgres", "template1"):
            with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
                query(url.removesuffix("/one") + f"/{other}", "SELECT 1")

    def test_makes_a_role_that_may_do_what_it_likes_in_its_own(self, postgres: PostgresServer):
        url = postgres.create_database("own")

        query(url, "CREATE SCHEMA shadow; CREATE TABLE shadow.thing (id int)")

        assert query(url, "SELECT * FROM shadow.thing") == []

    def test_copies_a_template_for_the_same_role(self, postgres: PostgresServer):
        template = postgres.create_database("pattern")
        query(template, "CREATE TABLE thing AS SELECT 1 AS id")

        url = postgres.create_database("copied", template="pattern")
        query(url, "INSERT INTO thing VALUES (2)")

        assert query(url, "SELECT id FROM thing") == [(1,), (2,)]
        assert query(template, "SELECT id FROM thing") == [(1,)]
