"""Statements that are planned once on a connection: what they say is the same, and no failure is remembered."""

import pytest
from sqlalchemy import event, exc, select, text

from shared import bulk, prepared, tables

PAIR = "SELECT CAST(%(first)s AS int) + CAST(%(second)s AS int) + CAST(%(first)s AS int)"
DIVIDE = "SELECT 1 / CAST(%(by)s AS int)"


@pytest.fixture
def said(home):
    """What goes to the server, in order, as SQLAlchemy's dialect is told to send it."""
    statements = []
    event.listen(home.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    return statements


def ask(home, *statements, **parameters):
    with home.begin() as session:
        prepared.plan_once(session)
        return prepared.execute(session, statements, parameters).scalar()


def kept(home) -> list[str]:
    """The statements that the server keeps a plan of, on the connection that is used next."""
    with home.begin() as session:
        return list(session.scalars(text("SELECT name FROM pg_prepared_statements ORDER BY prepare_time")))


class TestExecute:
    def test_prepares_on_the_first_use_and_not_again(self, home, said):
        assert [ask(home, PAIR, first=1, second=40), ask(home, PAIR, first=2, second=38)] == [42, 42]

        assert said[0].startswith("PREPARE p1 AS ")
        assert said[1] == "EXECUTE p1 (%(first)s, %(second)s)"

    def test_gives_the_rows_of_the_last_of_many(self, home):
        assert ask(home, PAIR, DIVIDE, PAIR, first=1, second=2, by=1) == 4

    def test_prepares_nothing_where_the_transaction_does_not_plan_once(self, home, said):
        with home.begin() as session:
            assert prepared.execute(session, [PAIR], {"first": 1, "second": 2}).scalar() == 4

        assert said == [PAIR]
        assert kept(home) == []

    def test_keeps_what_was_prepared_in_a_transaction_that_was_undone(self, home):
        with home.begin() as session:
            prepared.plan_once(session)
            prepared.execute(session, [PAIR], {"first": 1, "second": 2})
            session.rollback()

        assert ask(home, PAIR, first=1, second=2) == 4
        assert kept(home) == ["p1"]

    def test_gives_another_name_after_a_first_use_that_failed(self, home):
        """The server has prepared it, or it has not: from here nobody can tell."""
        with pytest.raises(exc.DBAPIError):
            ask(home, DIVIDE, by=0)

        assert ask(home, DIVIDE, by=1) == 1
        assert kept(home) == ["p1", "p2"]

    def test_takes_a_later_failure_for_no_reason_to_prepare_again(self, home):
        ask(home, DIVIDE, by=1)
        with pytest.raises(exc.DBAPIError):
            ask(home, DIVIDE, by=0)

        assert ask(home, DIVIDE, by=1) == 1
        assert kept(home) == ["p1"]

    def test_sends_what_is_over_the_most_as_it_is(self, home, monkeypatch):
        monkeypatch.setattr(prepared, "MOST", 1)

        assert [ask(home, PAIR, first=1, second=2), ask(home, DIVIDE, by=1), ask(home, DIVIDE, by=1)] == [4, 1, 1]
        assert kept(home) == ["p1"]

    def test_plans_once_for_all_values(self, home):
        """Not anew for the first five, as PostgreSQL would by itself."""
        for number in range(3):
            ask(home, PAIR, first=number, second=2)

        with home.begin() as session:
            plans = session.execute(text("SELECT generic_plans, custom_plans FROM pg_prepared_statements")).one()
        assert tuple(plans) == (3, 0)


class TestPlanOnce:
    def test_makes_no_plan_that_reads_a_whole_table_however_short(self, home):
        with home.begin() as session:
            session.add(tables.Stream(stream="counter-1", version=1, hash=b"1"))
        with home.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE streams"))
        look = "SELECT version FROM streams WHERE stream = CAST(%(stream)s AS text)"
        ask(home, look, stream="counter-1")

        with home.begin() as session:
            plan = "\n".join(session.scalars(text("EXPLAIN EXECUTE p1 ('counter-1')")))
        assert "Index Scan" in plan

    def test_is_for_its_transaction_alone(self, home):
        ask(home, PAIR, first=1, second=2)

        with home.begin() as session:
            assert session.scalar(text("SHOW enable_seqscan")) == "on"


class TestBulk:
    def test_writes_the_same_prepared(self, home):
        names = ["plain", 'it\'s "quoted" \\ 50 % :rows', "grüße 你好 🙂", ""]
        for name in names:
            with home.begin() as session:
                prepared.plan_once(session)
                rows = [{"stream": name, "version": 2**40, "hash": b"\x00\xff", "erased_at": None}]
                bulk.run(session, bulk.insert(tables.Stream, rows))

        with home.begin() as session:
            found = session.scalars(select(tables.Stream)).all()
        assert {row.stream for row in found} == set(names)
        assert {(row.version, row.hash, row.erased_at) for row in found} == {(2**40, b"\x00\xff", None)}
