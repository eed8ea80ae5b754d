import os
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, select, text

from shared import clock, database, presence, tables
from tests.shared import kernel


def rows(home: database.Database) -> list[tables.Process]:
    with home.begin() as session:
        return list(session.scalars(select(tables.Process)))


@pytest.fixture
def away() -> list[str]:
    return []


@pytest.fixture
def at_work(home: database.Database, away: list[str]) -> presence.Presence:
    return presence.Presence("worker counting", {"counting": home}, lambda _service: list(away))


class TestPresence:
    def test_says_who_it_is_and_what_it_misses(self, home, at_work, away):
        away.append("RabbitMQ")

        at_work.beat("counting")

        (row,) = rows(home)
        assert (row.role, row.pid, row.away) == ("worker counting", os.getpid(), ["RabbitMQ"])
        assert abs(row.machine_at - row.beat_at) < timedelta(seconds=2)

    def test_keeps_one_row_that_it_renews(self, home, at_work, away):
        at_work.beat("counting")
        (first,) = rows(home)

        at_work.beat("counting")

        (second,) = rows(home)
        assert second.id == first.id
        assert second.beat_at > first.beat_at

    def test_uses_the_machines_time_whatever_the_test_clock_says(self, home, at_work):
        home.clock.set(offset_seconds=1_000_000)

        at_work.beat("counting")

        assert abs(rows(home)[0].machine_at - clock.machine_time()) < timedelta(minutes=1)

    def test_beats_by_itself_and_takes_its_row_with_it(self, home, at_work):
        at_work.start()
        kernel.eventually(lambda: len(rows(home)) == 1, "it beats")

        at_work.stop()

        assert rows(home) == []

    def test_forgets_who_has_been_silent_for_long(self, home, at_work):
        at_work.beat("counting")
        with home.begin() as session:
            session.execute(text("UPDATE processes SET beat_at = beat_at - interval '2 hours', id = 'prc_old'"))

        at_work.beat("counting")

        assert [row.id for row in rows(home)] == [at_work.id]

    def test_goes_on_where_a_database_is_away_or_not_migrated(self, home, database_url, postgres):
        gone = database.Database(database_url, clock.Clock())
        create_engine(database_url).dispose()
        at_work = presence.Presence("serve a b", {"a": gone, "b": home}, lambda _service: [])

        at_work.beat("a")  # there is no such table
        with kernel.away(postgres, gone):
            at_work.beat("a")
        at_work.beat("b")

        assert len(rows(home)) == 1

    def test_is_heard_elsewhere_while_one_database_hangs(self, new_home, monkeypatch):
        monkeypatch.setattr(presence, "BEAT_SECONDS", 0.05)
        hangs, answers = new_home(), new_home()
        at_work = presence.Presence("worker a b", {"a": hangs, "b": answers}, lambda _service: [])
        with hangs.begin() as session:
            session.execute(text("LOCK TABLE processes"))
            at_work.start()
            kernel.eventually(lambda: len(rows(answers)) == 1, "it is heard", timeout_seconds=2)
            first = rows(answers)[0].beat_at
            kernel.eventually(lambda: rows(answers)[0].beat_at > first, "and again", timeout_seconds=2)
        at_work.stop()

        assert rows(hangs) + rows(answers) == []

    def test_beats_again_soon_while_it_is_not_connected_yet(self, home, at_work, away, monkeypatch):
        monkeypatch.setattr(presence, "EAGER_SECONDS", 0.05, raising=False)
        away.append("RabbitMQ")
        at_work.start()
        kernel.eventually(lambda: bool(rows(home)), "it beats")

        away.clear()

        kernel.eventually(lambda: rows(home)[0].away == [], "it says that it is connected", timeout_seconds=2)
        at_work.stop()
