"""The way to PostgreSQL and what can go wrong on it, on a real server."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import exc, text

from sandbox.postgres import PostgresServer
from shared import clock, database, errors, outbox, tables
from tests.shared import kernel, kernel_programs

STREAM = "counter-org_1"

TRANSIENT = {
    "08006": "connection failure",
    "25006": "read only",
    "25P03": "idle in its transaction too long",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "53400": "over a configured limit",
    "55006": "object in use",
    "55P03": "lock not available in time",
    "57014": "statement cancelled, as by its time limit",
    "57P01": "ended by an administrator",
    "57P02": "the server crashed",
    "57P03": "the server starts up",
    "58030": "input or output failed",
}
NOT_TRANSIENT = {
    "22001": "text too long",
    "22P05": "character that cannot be stored",
    "23505": "not unique",
    "25P02": "an earlier statement of the transaction failed",
    "42501": "not permitted",
    "42P01": "no such table",
    "54000": "too long for an index",
    "54001": "too complex",
    "55000": "not in the state for it",
    "P0001": "raised by a trigger",
    "XX001": "data are corrupted",
}


@pytest.mark.pure
class TestKindOf:
    @pytest.mark.parametrize("sqlstate", TRANSIENT, ids=TRANSIENT.get)
    def test_is_transient_where_the_server_is_at_fault(self, sqlstate):
        assert issubclass(database.kind_of(sqlstate), database.TRANSIENT)

    @pytest.mark.parametrize("sqlstate", NOT_TRANSIENT, ids=NOT_TRANSIENT.get)
    def test_is_not_where_what_was_asked_is_at_fault(self, sqlstate):
        assert not issubclass(database.kind_of(sqlstate), database.TRANSIENT)

    @pytest.mark.parametrize("sqlstate", TRANSIENT, ids=TRANSIENT.get)
    def test_says_what_may_be_done_again_at_once(self, sqlstate):
        assert issubclass(database.kind_of(sqlstate), database.Beaten) == (sqlstate in ("40001", "40P01"))


def remember_as_erased(home: database.Database, id: str) -> None:
    with home.begin() as session:
        session.add(tables.Erased(id=id, erased_at=database.now(session)))


class TestErrors:
    @pytest.mark.parametrize("sqlstate", [*TRANSIENT, *NOT_TRANSIENT])
    def test_have_the_class_that_their_state_deserves(self, home, sqlstate):
        with home.begin() as session, pytest.raises(exc.DBAPIError) as error:
            kernel.fail_with(session, sqlstate)

        assert error.value.orig.pgcode == sqlstate
        assert isinstance(error.value, database.kind_of(sqlstate))
        assert isinstance(error.value, database.TRANSIENT) == (sqlstate in TRANSIENT)

    def test_of_a_value_too_long_for_an_index_are_no_reason_to_wait_for_the_database(self, home):
        """psycopg2 counts it to the same errors as a lost connection; a consumer would try it again for ever."""
        key = "Lovelace" + "".join(chr(0x4E00 + number) for number in range(5000))

        with pytest.raises(exc.DatabaseError) as error:
            remember_as_erased(home, key)

        assert error.value.orig.pgcode == "54000"
        assert not isinstance(error.value, database.TRANSIENT)
        assert "Lovelace" not in str(error.value)


class TestBegin:
    @pytest.fixture
    def locked(self, home: database.Database) -> Iterator[None]:
        """Somebody else holds the row of the stream for the length of the test."""
        kernel.add(home, STREAM, 1)
        with home.engine.connect() as other:
            other.execute(text("SELECT 1 FROM streams FOR UPDATE"))
            yield
            other.rollback()

    @pytest.mark.usefixtures("locked")
    def test_waits_for_a_lock_no_longer_than_anybody_waits_for_the_answer(self, home):
        started = time.monotonic()

        with pytest.raises(exc.OperationalError), home.begin(deadline=time.time() + 0.2) as session:
            session.execute(text("SELECT 1 FROM streams FOR UPDATE"))

        assert 0.1 < time.monotonic() - started < 1

    def test_works_no_longer_than_anybody_waits_for_the_answer(self, home):
        started = time.monotonic()

        with pytest.raises(exc.OperationalError), home.begin(deadline=time.time() + 0.2) as session:
            session.execute(text("SELECT pg_sleep(20)"))

        assert time.monotonic() - started < 1

    def test_does_nothing_for_somebody_who_no_longer_waits(self, home):
        with pytest.raises(errors.Unavailable) as refusal, home.begin(deadline=time.time() - 0.1):
            raise AssertionError("it has begun")

        assert refusal.value.code == "deadline_passed"

    def test_keeps_the_limit_to_its_own_transaction(self, home):
        with home.begin(deadline=time.time() + 1) as session:
            session.execute(text("SELECT 1"))

        with home.begin() as session:
            assert session.scalars(text("SHOW statement_timeout")).one() == "5s"

    def test_takes_the_locks_from_one_who_stands_still(self, home, postgres):
        """As a process that is stopped in the middle of a transaction, which keeps its connection."""
        kernel.add(home, STREAM, 1)
        still = database.Database(home.url, home.clock, idle_timeout_seconds=0.3)
        with still.engine.connect() as connection:
            connection.execute(text("SELECT 1 FROM streams FOR UPDATE"))
            with home.begin() as other:
                other.execute(text("SELECT 1 FROM streams FOR UPDATE"))
            with pytest.raises(database.TRANSIENT):
                connection.execute(text("SELECT 1"))
        still.close()


class TestReadOnlyDatabase:
    def test_is_not_ready_and_works_again_without_a_restart(self, home, postgres):
        assert home.answers()

        with kernel.read_only(postgres, home):
            assert not home.answers()
            with pytest.raises(database.TRANSIENT):
                kernel.add(home, STREAM, 1)

        assert home.answers()
        kernel.add(home, STREAM, 1)
        assert [event.version for event in kernel.read(home, STREAM)] == [1]

    def test_says_nothing_against_the_event_that_was_being_handled(self, home, listener, postgres):
        log = kernel.publish(home, STREAM)
        with kernel.read_only(postgres, listener.home):
            for _ in range(5):
                with pytest.raises(database.TRANSIENT):
                    listener.inbox.take(log)

        assert listener.parked() == []
        listener.inbox.take(log)
        assert listener.heard() == kernel.places(log)


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """The directory is a file system of 32 MB of its own, until the end of the block."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(directory)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest.fixture
def on_a_small_disk(home: database.Database, postgres: PostgresServer, server_directory: Path) -> Iterator[None]:
    """The database lies on a disk that is soon full."""
    if os.geteuid() != 0 or postgres.pid is None:
        pytest.skip("only root can make a small disk, and only for a server on this machine")
    directory, name = server_directory / "small_disk", home.engine.url.database
    directory.mkdir()
    with small_disk(directory):
        account = postgres.home.account
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        home.close()
        with postgres.administer() as cursor:
            cursor.execute(f"CREATE TABLESPACE small_disk LOCATION '{directory}'")
            cursor.execute(f'ALTER DATABASE "{name}" SET TABLESPACE small_disk')
        yield
        home.close()
        with postgres.administer() as cursor:
            cursor.execute(f'ALTER DATABASE "{name}" SET TABLESPACE pg_default')
            cursor.execute("DROP TABLESPACE small_disk")


def fill_the_disk(home: database.Database) -> None:
    run(home, "CREATE TABLE ballast (content text)")
    rows = "SELECT repeat(md5(random()::text), 60) FROM generate_series(1, 500)"
    until_full(lambda: run(home, f"INSERT INTO ballast {rows}"))


def until_full(write: Callable[[], object]) -> int:
    """How often it could be done until the disk was full."""
    for times in range(1000):
        try:
            write()
        except exc.OperationalError as error:
            if error.orig.pgcode == "53100":
                return times
            raise
    raise AssertionError("the disk is not small")


def run(home: database.Database, statement: str) -> None:
    with home.begin() as session:
        session.execute(text(statement))


@pytest.mark.usefixtures("on_a_small_disk")
class TestFullDisk:
    def test_refuses_what_has_no_room_keeps_the_rest_whole_and_works_again_when_there_is_room(self, home):
        fill_the_disk(home)
        # There may be room left in pages that were begun.
        written = 100 * until_full(lambda: kernel.add(home, STREAM, *[1] * 100))
        assert len(kernel.read(home, STREAM)) == written

        run(home, "DROP TABLE ballast")

        assert kernel.add(home, STREAM, 1) == written + 1
        outbox.sequence(home)
        assert [event.version for event in kernel.read_log(home)] == list(range(1, written + 2))


class TestAGreenThreadThatIsKilledInItsQuery:
    def test_takes_its_connection_with_it_and_leaves_the_pool_sound(self, database_url):
        program = [sys.executable, "-m", "tests.shared.green_database", database_url]

        ended = subprocess.run(
            program, cwd=kernel_programs.ROOT, capture_output=True, text=True, timeout=60, check=True
        )

        assert json.loads(ended.stdout) == {"answers": list(range(20)), "checked_out": 0, "tables": []}


class TestPool:
    def test_that_is_used_up_is_said_in_bounded_time_and_serves_again_when_one_is_free(self, home):
        small = database.Database(home.url, clock.Clock(), pool_size=1)
        holding, release = threading.Barrier(3), threading.Event()

        def hold(_number: int) -> None:
            with small.begin() as session:
                session.execute(text("SELECT 1"))
                holding.wait(10)
                release.wait(10)

        with ThreadPoolExecutor(2) as holders:
            held = holders.map(hold, range(2))
            holding.wait(10)
            started = time.monotonic()
            with pytest.raises(errors.Unavailable), database.unavailable_when_away(), small.begin() as session:
                session.execute(text("SELECT 1"))
            waited = time.monotonic() - started
            release.set()
            list(held)

        assert waited < 2.5
        assert small.answers()
        small.close()

    def test_that_gives_a_connection_too_late_begins_nothing(self, home):
        small = database.Database(home.url, clock.Clock(), pool_size=1)
        releases = [
            threading.Timer(0.5, connection.close) for connection in (small.engine.connect(), small.engine.connect())
        ]
        for release in releases:
            release.start()

        with pytest.raises(errors.Unavailable) as refusal, small.begin(deadline=time.time() + 0.2):
            raise AssertionError("it has begun")

        assert refusal.value.code == "deadline_passed"
        small.close()
