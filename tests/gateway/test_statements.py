"""The statement as a file: all parts of it, or no proper end."""

import csv
import io

import pytest

from services.gateway import statements
from shared import errors

pytestmark = pytest.mark.pure


def entry(number, **changes):
    blank = dict.fromkeys(statements.COLUMNS)
    return {**blank, "entry": number, "kind": "message", "change": 1, "used": number, "why": "It was.", **changes}


class Quota:
    """A statement of so many entries; `asked` are the places at which parts began."""

    def __init__(self, entries, *, fails_after=None):
        self.entries = [entry(number) for number in range(1, entries + 1)]
        self.fails_after = fails_after
        self.asked = []

    def fetch(self, *, period, limit, after=0, used=0):
        self.asked.append((after, used))
        if after == self.fails_after:
            raise errors.Unavailable("service_unavailable", "No answer.")
        return {"period": period, "items": self.entries[after : after + limit]}

    def parts(self):
        return statements._parts(self.fetch, self.fetch(period="2026-11", limit=statements.AT_ONCE))


def rows(text):
    return list(csv.reader(io.StringIO(text.decode())))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(statements, "AT_ONCE", 3)


class TestParts:
    @pytest.mark.parametrize("entries", [0, 1, 3, 7])
    def test_are_all_there_is_under_one_head(self, entries):
        found = rows(b"".join(Quota(entries).parts()))

        assert found[0] == list(statements.COLUMNS)
        assert [int(row[0]) for row in found[1:]] == list(range(1, entries + 1))

    def test_go_on_from_the_last_entry_and_its_count(self):
        quota = Quota(7)

        list(quota.parts())

        assert quota.asked == [(0, 0), (3, 3), (6, 6)]

    def test_break_off_when_quota_goes_away(self):
        with pytest.raises(errors.Unavailable):
            list(Quota(7, fails_after=3).parts())
