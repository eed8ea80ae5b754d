"""Rows of the kernel's own totals, folded by a rule that also takes rows away."""

from typing import Any

import pytest
from sqlalchemy import event

from shared import clock, database, events, read_models
from tests.shared import kernel

AT = clock.parse("2026-11-24T12:00:00Z")


def recorded(*facts: tuple[str, Any]) -> read_models.Added:
    return [
        (
            events.record(
                fact, id="evt_1", stream=stream, version=1, meta=b"{}", at=AT, previous_hash=events.GENESIS
            ),
            fact,
        )
        for stream, fact in facts
    ]


def evolve(row: read_models.Row | None, recorded: events.Recorded, fact: Any) -> read_models.Row | None:
    match fact:
        case kernel.Added():
            return {"stream": recorded.stream, "total": (row["total"] if row else 0) + fact.by}
        case kernel.Cleared():
            return None
        case _:
            return row


def fold(session: Any, *facts: tuple[str, Any]) -> None:
    added = recorded(*facts)
    read_models.fold(session, kernel.Total, added, key=lambda recorded, _fact: (recorded.stream,), evolve=evolve)


def totals(session: Any) -> dict[str, int]:
    session.expire_all()
    return {row.stream: row.total for row in session.query(kernel.Total)}


class TestFold:
    def test_begins_changes_and_takes_away_rows_in_the_order_of_their_facts(self, home):
        add, clear = kernel.Added(by=2), kernel.Cleared()
        with home.begin() as session:
            fold(session, ("a", add), ("b", add), ("c", add))
            fold(session, ("a", add), ("b", clear), ("c", clear), ("c", add), ("d", add), ("d", clear))

            assert totals(session) == {"a": 4, "c": 2}

    def test_writes_nothing_that_stays_as_it_is(self, home):
        with home.begin() as session:
            fold(session, ("a", kernel.Added(by=2)))
            sent: list[str] = []
            event.listen(session.connection(), "before_cursor_execute", lambda *call: sent.append(call[2]))
            fold(session, ("a", kernel.Noted(note_id="n")), ("b", kernel.Noted(note_id="n")))

        assert [statement.split()[0] for statement in sent] == ["SELECT"]


class TestProjecting:
    def test_names_the_event_and_the_kind_of_failure_and_no_content(self):
        told = r"^a@7 \(counting.Added\) or another of 3: ValueError$"
        with (
            pytest.raises(read_models.CannotProject, match=told),
            read_models.Projecting("a", 7, "counting.Added", of=3),
        ):
            raise ValueError("somebody's name")

    def test_leaves_what_the_database_does_to_us_as_it_is(self, home):
        with (
            pytest.raises(database.TRANSIENT),
            home.begin() as session,
            read_models.Projecting("a", 7, "counting.Added"),
        ):
            kernel.fail_with(session, "57014")
