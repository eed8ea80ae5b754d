import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, exc, inspect, text

from shared import migrate, outbox, tables, verification
from tests.shared import kernel

KERNEL = ["kernel_0001", "kernel_0002", "kernel_0003", "kernel_0004", "kernel_0005"]
NEWEST = KERNEL[-1]


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
            assert migrate.missing(connection, None) == KERNEL

        migrate.upgrade(database_url, None)

        with engine.connect() as connection:
            assert migrate.missing(connection, None) == []

    @pytest.mark.parametrize("service", ["accounts", "billing", "secrets", "quota"])
    def test_knows_that_a_services_revision_stands_for_those_it_depends_on(self, service, open_database):
        with open_database(service).engine.connect() as connection:
            assert migrate.missing(connection, service) == []
            connection.execute(text("DELETE FROM alembic_version WHERE version_num = :newest"), {"newest": NEWEST})
            assert migrate.missing(connection, service) == KERNEL[1:]


class TestUnknown:
    def test_names_what_a_newer_release_has_done(self, database_url, engine):
        migrate.upgrade(database_url, None)
        with engine.begin() as connection:
            assert migrate.unknown(connection, None) == []
            connection.execute(text("UPDATE alembic_version SET version_num = 'kernel_9999'"))

            assert migrate.unknown(connection, None) == ["kernel_9999"]
            assert migrate.missing(connection, None) == KERNEL


ROOT = Path(__file__).parents[2]
TAKES_AWAY = re.compile(
    r"DROP\s+(?:TABLE|COLUMN|INDEX|FUNCTION|TRIGGER)|RENAME\s|SET\s+NOT\s+NULL|ALTER\s+COLUMN\s+\w+\s+(?:SET\s+DATA\s+)?TYPE"
    r"|TRUNCATE\s+|DELETE\s+FROM|op\.(?:drop|alter|rename)_",
    re.IGNORECASE,
)
BODY = re.compile(r"\$\$.*?\$\$", re.DOTALL)  # what a function does, it does when it is called


@pytest.mark.pure
class TestLaterMigrations:
    """Code of the release before runs while they do and for a while after, so they may not take anything from it."""

    def test_only_add(self):
        migrations = [
            path.read_text()
            for folder in ("shared", "services")
            for path in (ROOT / folder).rglob("migrations/**/*.py")
        ]
        later = [source for source in migrations if re.search(r"^down_revision = [^N]", source, re.MULTILINE)]

        assert len(migrations) > 5
        assert [found for source in later for found in TAKES_AWAY.findall(BODY.sub("", source))] == []

    @pytest.mark.parametrize(
        "statement",
        [
            "ALTER TABLE jobs DROP COLUMN payload",
            "ALTER TABLE jobs RENAME COLUMN payload TO body",
            "ALTER TABLE jobs ALTER COLUMN attempts TYPE integer",
            "alter table jobs alter column payload set not null",
            "op.drop_table('jobs')",
        ],
    )
    def test_would_be_noticed(self, statement):
        assert TAKES_AWAY.search(statement)


class TestCodeOfTheReleaseBefore:
    def test_goes_on_while_and_after_a_migration_adds_to_every_table(self, home, listener):
        """On connections that were open before: they write, sequence and follow by the tables as they knew them."""
        stopping, log = threading.Event(), []

        def live(number: int) -> int:
            written = 0
            while not stopping.is_set() or written < 5:
                kernel.add(home, f"counter-org_{number}", 1)
                outbox.sequence(home)
                written += 1
            return written

        with ThreadPoolExecutor(2) as lives:
            writers = [lives.submit(live, number) for number in range(2)]
            kernel.eventually(lambda: kernel.count(home, tables.Log) > 5, "they write")
            for table in tables.Kernel.metadata.tables:
                for database in (home, listener.home):
                    with database.begin() as session:
                        session.execute(text(f"ALTER TABLE {table} ADD COLUMN added_later text DEFAULT 'new'"))
            stopping.set()
            written = sum(writer.result() for writer in writers)
        try:
            outbox.sequence(home)
            log = kernel.read_log(home)
            listener.inbox.take(log)
            assert len(log) == written
            assert listener.heard() == kernel.places(log)
            assert verification.verify(home, kernel.CATALOGUE).faults == {}
        finally:
            for table in tables.Kernel.metadata.tables:
                for database in (home, listener.home):
                    with database.begin() as session:
                        session.execute(text(f"ALTER TABLE {table} DROP COLUMN added_later"))
