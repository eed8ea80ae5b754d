import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import MetaData, text

from shared import database, events, read_models, rebuilding, tables
from tests.databases import everything_in
from tests.shared import kernel
from tests.shared.test_parking import waits_for_a_lock

ONE, TWO = "counter-org_1", "counter-org_2"


def counting_models(version: int = 1) -> read_models.ReadModels:
    """The totals, and not what was heard: that follows from nobody's own events."""
    totals = MetaData()
    kernel.Total.__table__.to_metadata(totals)
    return read_models.ReadModels(
        version=version, tables=totals, catalogue=kernel.CATALOGUE, projects={"counter": kernel.project}
    )


def totals(home: database.Database) -> dict[str, int]:
    with home.begin() as session:
        return {row.stream: row.total for row in session.execute(text("SELECT * FROM totals"))}


def spoil(home: database.Database) -> None:
    """One row is wrong, one is lost, and one is of nothing."""
    with home.begin() as session:
        session.execute(text(f"UPDATE totals SET total = 99 WHERE stream = '{ONE}'"))
        session.execute(text(f"DELETE FROM totals WHERE stream = '{TWO}'"))
        session.execute(text("INSERT INTO totals VALUES ('counter-org_0', 7)"))


@pytest.fixture
def counted(home: database.Database) -> database.Database:
    kernel.add(home, ONE, 1, 2)
    kernel.add(home, TWO, 5)
    kernel.add(home, ONE, 3)
    return home


class TestDiff:
    def test_finds_nothing_where_nothing_is_wrong(self, counted):
        report = rebuilding.diff(counted, counting_models(), limit=10)

        assert (report.agrees, report.events, report.rows) == (True, 4, {"totals": 2})

    def test_names_each_row_that_is_wrong_and_changes_nothing(self, counted):
        spoil(counted)
        before = everything_in(counted)

        report = rebuilding.diff(counted, counting_models(), limit=10)

        assert [(found.key["stream"], found.kind, found.columns) for found in report.differences] == [
            ("counter-org_0", "extra", {}),
            (ONE, "changed", {"total": (99, 6)}),
            (TWO, "missing", {}),
        ]
        assert report.differing == {"totals": 3}
        assert everything_in(counted) == before

    def test_counts_all_and_gives_only_so_many(self, counted):
        spoil(counted)

        report = rebuilding.diff(counted, counting_models(), limit=1)

        assert (report.differing, len(report.differences)) == ({"totals": 3}, 1)


class TestRebuild:
    def test_mends_what_is_wrong_and_nothing_else(self, counted):
        spoil(counted)

        report = rebuilding.rebuild(counted, "counting", counting_models(version=2), limit=10)

        assert report.differing == {"totals": 3}
        assert totals(counted) == {ONE: 6, TWO: 5}
        assert kernel.row_of(counted, tables.ReadModels, "counting").version == 2
        assert rebuilding.diff(counted, counting_models(), limit=1).agrees

    def test_leaves_nothing_behind_in_the_connection(self, counted):
        rebuilding.rebuild(counted, "counting", counting_models(), limit=1)
        spoil(counted)

        rebuilding.rebuild(counted, "counting", counting_models(), limit=1)

        assert totals(counted) == {ONE: 6, TWO: 5}

    def test_says_which_event_it_cannot_read(self, counted):
        older = read_models.ReadModels(
            version=1,
            tables=MetaData(),
            catalogue=events.Catalogue("counting", []),
            projects={"counter": lambda *_: None},
        )

        with pytest.raises(read_models.CannotProject, match=f"{ONE}@1 .*counting.Added is not known"):
            rebuilding.diff(counted, older, limit=1)

    def test_waits_for_a_writer_who_has_locked_a_row_and_is_about_to_write_it(self, counted):
        spoil(counted)
        with ThreadPoolExecutor(1) as crowd:
            with counted.begin() as session:
                session.execute(text(f"SELECT total FROM totals WHERE stream = '{ONE}' FOR UPDATE"))
                mending = crowd.submit(rebuilding.rebuild, counted, "counting", counting_models(), limit=1)
                kernel.eventually(lambda: waits_for_a_lock(counted), "it waits for the writer")
                kernel.add_in(session, ONE, 10)
            mending.result()

        assert totals(counted) == {ONE: 16, TWO: 5}

    def test_loses_nothing_of_what_is_written_meanwhile(self, counted):
        """Four writers add to old streams and new ones, while their rows are spoiled and mended again and again."""
        stopping = threading.Event()

        def write(writer: int) -> int:
            done = 0
            while not stopping.is_set():
                with counted.begin() as session:
                    kernel.add_in(session, f"counter-org_{writer}", 1)
                    kernel.add_in(session, f"counter-new_{writer}_{done % 40}", 1)
                done += 1
            return done

        with ThreadPoolExecutor(4) as crowd:
            writers = [crowd.submit(write, writer) for writer in range(10, 14)]
            try:
                for _round in range(3):
                    with counted.begin() as session:
                        session.execute(text("LOCK TABLE totals; UPDATE totals SET total = total + 1000"))
                    rebuilding.rebuild(counted, "counting", counting_models(), limit=1)
            finally:
                stopping.set()
            written = [writer.result() for writer in writers]

        assert min(written) > 0
        assert rebuilding.diff(counted, counting_models(), limit=1).agrees
        assert sum(totals(counted).values()) == 11 + 2 * sum(written)
