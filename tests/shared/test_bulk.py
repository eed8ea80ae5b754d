"""Every kind of column there is, written as one document and read back."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import event, select

from shared import bulk, tables

AT = datetime(2026, 11, 24, 12, 30, 15, 123456, tzinfo=UTC)


def stream(name: str, **changes: object) -> dict[str, object]:
    return {"stream": name, "version": 2**40, "hash": b"\x00\xff", "erased_at": None, "archived_at": None, **changes}


class TestInsert:
    def test_writes_what_it_is_given_and_nothing_else(self, home):
        names = ["plain", 'it\'s "quoted" \\ 50 % :rows', "grüße 你好 🙂", ""]
        with home.begin() as session:
            bulk.run(session, bulk.insert(tables.Stream, [stream(name) for name in names]))

        with home.begin() as session:
            found = session.scalars(select(tables.Stream)).all()
        assert {row.stream for row in found} == set(names)
        assert {(row.version, row.hash, row.erased_at) for row in found} == {(2**40, b"\x00\xff", None)}

    def test_keeps_moments_to_the_microsecond(self, home):
        with home.begin() as session:
            bulk.run(session, bulk.insert(tables.Stream, [stream("counter-1", erased_at=AT)]))

        with home.begin() as session:
            assert session.scalars(select(tables.Stream.erased_at)).one() == AT

    def test_keeps_lists_and_objects(self, home):
        away = ["RabbitMQ", "it's away"]
        process = {"id": "p", "role": "serve", "host": "h", "pid": 1, "release": "r", "away": away}
        with home.begin() as session:
            rows = [{**process, "started_at": AT, "beat_at": AT, "machine_at": AT}]
            bulk.run(session, bulk.insert(tables.Process, rows))

        with home.begin() as session:
            assert session.scalars(select(tables.Process.away)).one() == away

    def test_writes_nothing_where_there_is_nothing(self, home):
        with home.begin() as session:
            bulk.run(session, bulk.insert(tables.Stream, []))

            assert session.scalars(select(tables.Stream)).all() == []

    def test_refuses_what_no_column_holds(self, home):
        with home.begin() as session, pytest.raises(TypeError, match="no column holds a set"):
            bulk.run(session, bulk.insert(tables.Stream, [stream("counter-1", version={1})]))


class TestUpsert:
    def test_replaces_what_is_named_and_leaves_the_rest(self, home):
        with home.begin() as session:
            bulk.run(session, bulk.insert(tables.Stream, [stream("old", erased_at=AT)]))
            heads = [{"stream": name, "version": 7, "hash": b"7"} for name in ("old", "new")]
            bulk.run(session, bulk.upsert(tables.Stream, heads))

        with home.begin() as session:
            rows = session.scalars(select(tables.Stream)).all()
        found = {row.stream: (row.version, row.hash, row.erased_at) for row in rows}
        assert found == {"old": (7, b"7", AT), "new": (7, b"7", None)}


class TestUpdate:
    def test_touches_the_rows_of_those_keys_alone(self, home):
        with home.begin() as session:
            bulk.run(session, bulk.insert(tables.Stream, [stream("one"), stream("other")]))
            bulk.run(session, bulk.update(tables.Stream, [{"stream": "one", "version": 7, "hash": b"7"}]))

        with home.begin() as session:
            found = {row.stream: (row.version, row.hash) for row in session.scalars(select(tables.Stream))}
        assert found == {"one": (7, b"7"), "other": (2**40, b"\x00\xff")}


class TestDelete:
    def test_takes_away_the_rows_of_those_keys_alone(self, home):
        with home.begin() as session:
            bulk.run(session, bulk.insert(tables.Stream, [stream("one"), stream("other"), stream("third")]))
            bulk.run(
                session, bulk.delete(tables.Stream, [{"stream": "one"}, {"stream": "nobody's"}, {"stream": "third"}])
            )

            assert session.scalars(select(tables.Stream.stream)).all() == ["other"]


class TestSelect:
    def test_gives_the_rows_of_those_keys_as_they_stand(self, home):
        rows = {name: stream(name, erased_at=AT) for name in ("one", 'it\'s "quoted"', "other")}
        wanted = [{"stream": name} for name in ('it\'s "quoted"', "one", "nobody's")]
        with home.begin() as session:
            bulk.run(session, bulk.insert(tables.Stream, list(rows.values())))
            found = bulk.select(session, tables.Stream, wanted)

        assert sorted(row["stream"] for row in found) == ['it\'s "quoted"', "one"]
        assert all(row["erased_at"] == AT and bytes(row["hash"]) == b"\x00\xff" for row in found)

    def test_asks_nothing_where_nothing_is_wanted(self, home):
        with home.begin() as session:
            assert bulk.select(session, tables.Stream, []) == []


class TestRun:
    def test_does_several_in_their_order_in_one_go(self, home):
        with home.begin() as session:
            asked = []
            event.listen(session.connection(), "before_cursor_execute", lambda *call: asked.append(call[2]))
            bulk.run(
                session,
                bulk.insert(tables.Stream, [stream("one")]),
                bulk.insert(tables.Stream, []),
                bulk.update(tables.Stream, [{"stream": "one", "version": 7}]),
            )

        assert len(asked) == 1
        with home.begin() as session:
            assert session.scalars(select(tables.Stream.version)).one() == 7
