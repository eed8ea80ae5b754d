import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import envelope, events
from tests.shared.kernel import CATALOGUE, Added

pytestmark = pytest.mark.pure

EVENT_HASH = bytes(range(32))


def sample(**changes: Any) -> envelope.Envelope:
    fields = {
        "producer": "counting",
        "epoch": "e1",
        "position": 1,
        "hash": events.log_hash(events.GENESIS, 1, EVENT_HASH).hex(),
        "event_hash": EVENT_HASH.hex(),
        "stream": "counter-org_1-2026",
        "version": 7,
        "id": "evt_1",
        "name": "counting.Added",
        "schema": 3,
        "time": datetime(2026, 11, 22, 12, tzinfo=UTC),
        "data": {"by": 2, "tags": ["ü"]},
        "correlation_id": "req_1",
        "causation_id": "evt_0",
    }
    return envelope.Envelope(**(fields | changes))


# The other attributes are there for other readers.
READ = sorted(set(sample().to_json()) - {"specversion", "subject", "datacontenttype"})


class TestEncode:
    def test_is_undone_by_decode(self):
        assert envelope.decode(sample().encode()) == sample()

    def test_writes_a_cloudevents_document_with_attribute_names_that_cloudevents_allows(self):
        document = sample().to_json()

        assert document["specversion"] == "1.0"
        assert document["source"] == "/chatness/counting"
        assert document["subject"] == "org_1"
        assert document["time"] == "2026-11-22T12:00:00Z"
        assert all(name.isalnum() and name.islower() for name in document)


class TestDecode:
    @pytest.mark.parametrize(
        "body",
        [b"", b"{", b"\xff\xfe", b"null", b"[]", b'"text"', b"{}", b"[" * 100_000],
        ids=["empty", "cut off", "no UTF-8", "null", "list", "text", "no attributes", "too deep"],
    )
    def test_refuses_what_is_no_envelope(self, body):
        with pytest.raises(ValueError, match=r"^not"):
            envelope.decode(body)

    @pytest.mark.parametrize("attribute", READ)
    @pytest.mark.parametrize("value", [None, [], 1.5, True, "\x00"], ids=repr)
    def test_refuses_an_attribute_of_another_type(self, attribute, value):
        with pytest.raises(ValueError, match=r"^not an event envelope$"):
            envelope.from_json(sample().to_json() | {attribute: value})

    @pytest.mark.parametrize(
        "change",
        [
            {"position": 0},
            {"position": 2**63},
            {"streamversion": -1},
            {"loghash": "00"},
            {"eventhash": "g" * 64},
            {"stream": "nodash"},
            {"time": "2026-11-22T12:00:00"},
            {"time": "0001-01-01T00:00:00+23:00"},
            {"data": "text"},
        ],
        ids=str,
    )
    def test_refuses_values_that_could_not_be_stored_or_compared(self, change):
        with pytest.raises(ValueError, match=r"^not an event envelope$"):
            envelope.from_json(sample().to_json() | change)

    @given(st.sampled_from(sorted(sample().to_json())), st.text(min_size=3))
    def test_never_quotes_the_content_in_its_refusal(self, attribute, content):
        document = {key: content for key in sample().to_json() if key != attribute}

        with pytest.raises(ValueError, match=r"^not an event envelope$") as refusal:
            envelope.decode(json.dumps(document))

        assert refusal.value.__cause__ is None


class TestFollows:
    def test_is_true_only_behind_the_right_hash(self):
        assert sample().follows(events.GENESIS)
        assert not sample().follows(EVENT_HASH)
        assert not sample(position=2).follows(events.GENESIS)


class TestFact:
    def test_reads_the_data_through_the_catalogue(self):
        assert sample().fact(CATALOGUE) == Added(by=2, tags=("ü",))

    def test_lifts_an_old_schema(self):
        assert sample(schema=1, data={"amount": 4}).fact(CATALOGUE) == Added(by=4)
