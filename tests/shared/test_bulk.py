"""Every kind of column there is, written as one document and read back."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from shared import bulk, tables

AT = datetime(2026, 11, 24, 12, 30, 15, 123456, tzinfo=UTC)


def stream(name: str, **changes: object) -> dict[str, object]:
    return {"stream": name, "version": 2**40, "hash": b"\x00\xff", "erased_at": None, "archived_at": None, **changes}


class TestInsert:
    def test_writes_what_it_is_given_and_nothing_else(self, home):
        names = ["plain", 'it\'s "quoted" \\ 50 % :rows', "grüße 你好 🙂", ""]
        with home.begin() as session:
            bulk.insert(session, tables.Stream, [stream(name) for name in names])

        with home.begin() as session:
            found = session.scalars(select(tables.Stream)).all()
        assert {row.stream for row in found} == set(names)
        assert {(row.version, row.hash, row.erased_at) for row in found} == {(2**40, b"\x00\xff", None)}

    def test_keeps_moments_to_the_microsecond(self, home):
        with home.begin() as session:
            bulk.insert(session, tables.Stream, [stream("counter-1", erased_at=AT)])

        with home.begin() as session:
            assert session.scalars(select(tables.Stream.erased_at)).one() == AT

    def test_keeps_lists_and_objects(self, home):
        away = ["RabbitMQ", "it's away"]
        process = {"id": "p", "role": "serve", "host": "h", "pid": 1, "release": "r", "away": away}
        with home.begin() as session:
            bulk.insert(session, tables.Process, [{**process, "started_at": AT, "beat_at": AT, "machine_at": AT}])

        with home.begin() as session:
            assert session.scalars(select(tables.Process.away)).one() == away

    def test_writes_nothing_where_there_is_nothing(self, home):
        with home.begin() as session:
            bulk.insert(session, tables.Stream, [])

            assert session.scalars(select(tables.Stream)).all() == []

    def test_refuses_what_no_column_holds(self, home):
        with home.begin() as session, pytest.raises(TypeError, match="no column holds a set"):
            bulk.insert(session, tables.Stream, [stream("counter-1", version={1})])
