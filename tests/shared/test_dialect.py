"""How transactions begin and end on a connection that psycopg2 takes for one in autocommit."""

from contextlib import suppress

import pytest
from sqlalchemy import event, exc, text

from shared import database, dialect, tables


@pytest.fixture
def said(home):
    """What goes to the server, in order, as SQLAlchemy's dialect is told to send it."""
    statements = []
    event.listen(home.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    return statements


def in_progress(home) -> int:
    """How many transactions of this database stand open, our own look apart."""
    with home.begin() as session:
        return session.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state LIKE 'idle in%' AND pid <> pg_backend_pid()"
            )
        )


class TestATransaction:
    def test_is_undone_by_an_error(self, home):
        with suppress(ZeroDivisionError), home.begin() as session:
            session.add(tables.Stream(stream="counter-1", version=1, hash=b"1"))
            session.flush()
            raise ZeroDivisionError

        with home.begin() as session:
            assert session.get(tables.Stream, "counter-1") is None

    def test_leaves_nothing_open_whatever_became_of_it(self, home):
        with home.begin():
            pass
        with home.begin() as session:
            session.execute(text("SELECT 1"))
        with pytest.raises(exc.DBAPIError), home.begin() as session:
            session.execute(text("SELECT 1 / 0"))

        assert in_progress(home) == 0

    def test_that_says_nothing_never_begins(self, home):
        with home.begin() as session:
            connection = session.connection().connection.dbapi_connection
            assert not connection.in_transaction()

    def test_is_one_from_its_first_statement_on(self, home):
        with home.begin() as session:
            first = session.scalar(text("SELECT transaction_timestamp()"))
            assert session.scalar(text("SELECT transaction_timestamp()")) == first

    def test_has_its_limits_to_its_end_and_no_longer(self, home):
        limit = text("SELECT current_setting('lock_timeout')")
        with home.begin(patience_seconds=0.25) as session:
            assert session.scalar(limit) == "250ms"
        with home.begin() as session:
            assert session.scalar(limit) == "5s"

    def test_has_savepoints(self, home):
        with home.begin() as session:
            with pytest.raises(exc.DBAPIError), session.begin_nested():
                session.execute(text("SELECT 1 / 0"))
            assert session.scalar(text("SELECT 1")) == 1

    def test_streams_rows_with_a_cursor_of_the_server(self, home):
        with home.begin() as session:
            rows = session.execute(text("SELECT generate_series(1, 1000)"), execution_options={"yield_per": 10})
            assert sum(row[0] for row in rows) == 500_500
        assert in_progress(home) == 0

    def test_begins_before_many_of_a_statement(self, home):
        rows = [{"stream": f"counter-{number}", "version": 1, "hash": b"1"} for number in range(3)]
        with suppress(ZeroDivisionError), home.begin() as session:
            session.connection().exec_driver_sql(
                "INSERT INTO streams (stream, version, hash) VALUES (%(stream)s, %(version)s, %(hash)s)", rows
            )
            raise ZeroDivisionError

        with home.begin() as session:
            assert session.scalar(text("SELECT count(*) FROM streams")) == 0


class TestAutocommit:
    def test_is_each_statement_by_itself(self, home):
        with home.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM streams"))
            connection.execute(text("INSERT INTO streams (stream, version, hash) VALUES ('counter-1', 1, '')"))
            connection.rollback()

        with home.begin() as session:
            assert session.get(tables.Stream, "counter-1") is not None

    def test_is_for_that_connection_alone(self, home):
        with home.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("SELECT 1"))
        with home.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            assert connection.connection.dbapi_connection.in_transaction()

    def test_is_no_other_level(self, home):
        with home.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            assert connection.scalar(text("SHOW transaction_isolation")) == "repeatable read"


class TestAConnectionAtRest:
    def test_costs_no_statement_to_be_found_standing(self, home, said):
        for _ in range(3):
            with home.begin() as session:
                session.execute(text("SELECT 42"))

        assert said == ["SELECT 42"] * 3

    def test_is_replaced_where_the_server_ended_it(self, home):
        with home.begin() as session:
            pid = session.scalar(text("SELECT pg_backend_pid()"))
        other = database.Database(home.url, home.clock)
        with other.begin() as session:
            session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        other.close()

        with home.begin() as session:
            assert session.scalar(text("SELECT pg_backend_pid()")) != pid

    def test_is_kept_where_the_server_only_said_something(self, home):
        with home.engine.connect() as connection:
            connection.connection.dbapi_connection.cursor().execute("LISTEN something")
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with database.Database(home.url, home.clock).begin() as session:
            session.execute(text("NOTIFY something"))

        with home.begin() as session:
            assert session.scalar(text("SELECT pg_backend_pid()")) == pid

    def test_is_ours(self, home):
        assert home.engine.dialect.__class__ is dialect.Dialect
