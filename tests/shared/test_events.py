import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import events
from tests.shared.kernel import CATALOGUE, Added, Noted

pytestmark = pytest.mark.pure

NOON = datetime(2026, 11, 22, 12, 30, 15, 250_000, tzinfo=UTC)


def link(fact: Any = None, *, version: int = 1, previous_hash: bytes = events.GENESIS, **changes: Any) -> Any:
    given = {"id": "evt_1", "stream": "counter-org_1", "meta": b"{}", "at": NOON, **changes}
    return events.record(fact or Added(by=1), version=version, previous_hash=previous_hash, **given)


class TestDecode:
    @pytest.mark.parametrize(
        "schema, data",
        [(1, {"amount": 5}), (2, {"by": 5}), (3, {"by": 5, "tags": []}), (3, {"by": 5})],
    )
    def test_lifts_every_old_schema_step_by_step_to_the_present_one(self, schema, data):
        assert CATALOGUE.decode("counting.Added", schema, data) == Added(by=5, tags=())

    def test_leaves_the_old_data_as_they_were(self):
        data = {"by": 5}

        CATALOGUE.decode("counting.Added", 2, data)

        assert data == {"by": 5}

    def test_turns_arrays_into_tuples_all_the_way_down(self):
        fact = CATALOGUE.decode("counting.Added", 3, {"by": 1, "tags": ["a", ["b", ["c"]]]})

        assert fact.tags == ("a", ("b", ("c",)))

    def test_gives_facts_that_cannot_be_changed(self):
        fact = CATALOGUE.decode("counting.Added", 3, {"by": 1})

        with pytest.raises(dataclasses.FrozenInstanceError):
            fact.by = 2

    @pytest.mark.parametrize(
        "name, schema, data",
        [
            ("counting.Unheard", 1, {}),
            ("counting.Added", 4, {"by": 1, "tags": []}),
            ("counting.Added", 3, {"by": 1, "colour": "red"}),
            ("counting.Added", 3, {"tags": []}),
        ],
        ids=["unknown name", "newer schema", "unknown field", "missing field"],
    )
    def test_says_that_it_cannot_read_what_this_release_does_not_know(self, name, schema, data):
        with pytest.raises(events.Unreadable):
            CATALOGUE.decode(name, schema, data)


class TestRecord:
    def test_gives_back_the_fact_from_its_bytes(self):
        fact = Added(by=3, tags=("a", "ü"))

        assert link(fact).fact(CATALOGUE) == fact

    def test_takes_name_and_schema_from_the_fact(self):
        recorded = link(Noted(note_id="n"))

        assert (recorded.name, recorded.schema, recorded.subject) == ("counting.Noted", 1, "org_1")


class TestFollows:
    def test_is_true_only_behind_the_right_predecessor(self):
        first = link()
        second = link(version=2, previous_hash=first.hash)

        assert first.follows(events.GENESIS)
        assert second.follows(first.hash)
        assert not second.follows(events.GENESIS)

    @pytest.mark.parametrize(
        "change",
        [
            {"stream": "counter-org_2"},
            {"version": 2},
            {"id": "evt_2"},
            {"name": "counting.Noted"},
            {"schema": 2},
            {"data": b'{"by":2,"tags":[]}'},
            {"meta": b"[]"},
            {"recorded_at": NOON.replace(microsecond=250_001)},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_is_false_when_any_part_was_changed(self, change):
        assert not dataclasses.replace(link(), **change).follows(events.GENESIS)

    def test_is_false_when_text_moved_from_one_part_to_the_next(self):
        recorded = link(id="evt_1")

        moved = dataclasses.replace(recorded, id="evt_", name="1" + recorded.name)

        assert not moved.follows(events.GENESIS)

    def test_does_not_depend_on_the_zone_in_which_a_moment_is_written(self):
        recorded = link()

        elsewhere = dataclasses.replace(recorded, recorded_at=NOON.astimezone())

        assert elsewhere.follows(events.GENESIS)


class TestEncode:
    def test_spells_a_value_in_one_way_only(self):
        assert events.encode({"b": (1, 2), "a": "é"}) == '{"a":"é","b":[1,2]}'.encode()

    @given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.booleans(), max_size=5))
    def test_does_not_depend_on_the_order_of_keys(self, value):
        backwards = dict(reversed(value.items()))

        assert events.encode(value) == events.encode(backwards)


class TestSubjectOf:
    @pytest.mark.parametrize("stream", ["ledger-org_1", "ledger-org_1-2026-11"])
    def test_is_the_part_after_the_kind(self, stream):
        assert events.subject_of(stream) == "org_1"
