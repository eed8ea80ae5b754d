from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, exc, inspect, text

from shared import migrate, tables

NEWEST = "kernel_0002"


@pytest.fixture
def engine(database_url):
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


class TestUpgrade:
    def test_makes_exactly_the_tables_that_the_models_describe(self, database_url, engine):
        migrate.upgrade(database_url, None)

        with engine.connect() as connection:
            settings = {
                "compare_type": True,
                "include_object": lambda _object, name, kind, *_: (
                    kind not in {"index", "unique_constraint"} and name != "alembic_version"
                ),
            }
            found = compare_metadata(MigrationContext.configure(connection, opts=settings), tables.Kernel.metadata)
        assert found == []

    def test_does_nothing_the_second_time(self, database_url):
        assert migrate.upgrade(database_url, None) == [NEWEST]
        assert migrate.upgrade(database_url, None) == []

    def test_waits_for_another_that_is_under_way(self, database_url):
        with ThreadPoolExecutor(2) as operators:
            ran = sorted(operators.map(lambda _: migrate.upgrade(database_url, None), range(2)))

        assert ran == [[], [NEWEST]]

    def test_leaves_the_database_as_it_was_when_it_fails(self, database_url, engine):
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE jobs (in_the_way integer)"))

        with pytest.raises(exc.ProgrammingError):
            migrate.upgrade(database_url, None)

        assert inspect(engine).get_table_names() == ["jobs"]


class TestMissing:
    def test_names_what_the_database_lacks(self, database_url, engine):
        with engine.connect() as connection:
            assert migrate.missing(connection, None) == ["kernel_0001", NEWEST]

        migrate.upgrade(database_url, None)

        with engine.connect() as connection:
            assert migrate.missing(connection, None) == []

    @pytest.mark.parametrize("service", ["accounts", "billing", "secrets", "quota"])
    def test_knows_that_a_services_revision_stands_for_those_it_depends_on(self, service, open_database):
        with open_database(service).engine.connect() as connection:
            assert migrate.missing(connection, service) == []
            connection.execute(text("DELETE FROM alembic_version WHERE version_num = :newest"), {"newest": NEWEST})
            assert migrate.missing(connection, service) == [NEWEST]


class TestUnknown:
    def test_names_what_a_newer_release_has_done(self, database_url, engine):
        migrate.upgrade(database_url, None)
        with engine.begin() as connection:
            assert migrate.unknown(connection, None) == []
            connection.execute(text("UPDATE alembic_version SET version_num = 'kernel_9999'"))

            assert migrate.unknown(connection, None) == ["kernel_9999"]
            assert migrate.missing(connection, None) == ["kernel_0001", NEWEST]
