"""`chatness quota statement`: the same from the table, from an archive, and as the org gets it."""

import csv
import io
from pathlib import Path

import pytest

from ops import exits
from services.gateway import statements
from services.quota import statement
from tests.ops.months import Months, asked, documents, granted


@pytest.fixture
def old(months: Months) -> Months:
    """November with a credit, a refund and a reset; and a look in March."""
    credit_id = granted("3")
    months.send(*(f"msg_{number}" for number in range(11)))
    months.refund("msg_10")
    months.quota.subscribe(version=2, action="upgraded", plan="starter", message_limit=100)
    months.turn_to(2027, 3, 1)
    months.quota.ask("get_usage")
    assert credit_id
    return months


class TestStatement:
    def test_is_what_the_org_gets(self, old):
        theirs = old.quota.ask("list_statement", period="2026-11")["items"]

        as_json = asked("statement", "org_1", "--period", "2026-11", "--json")
        as_csv = asked("statement", "org_1", "--period", "2026-11")

        assert (as_json.exit_code, documents(as_json)) == (exits.OK, theirs)
        assert statement.COLUMNS == statements.COLUMNS
        head, *rows = csv.reader(io.StringIO(as_csv.stdout))
        assert tuple(head) == statement.COLUMNS
        texts = [["" if entry[name] is None else str(entry[name]) for name in head] for entry in theirs]
        assert rows == texts

    def test_is_of_the_open_month_without_a_period(self, old):
        assert [entry["kind"] for entry in documents(asked("statement", "org_1", "--json"))] == [
            "period_opened",
            "credit_carried",
            "credit_expired",
        ]

    def test_is_not_lost_with_the_events_of_an_archived_month(self, old, tmp_path: Path):
        before = asked("statement", "org_1", "--period", "2026-11").stdout
        asked("archive", "--before", "2027-01", "--to", str(tmp_path), "--execute")

        without = asked("statement", "org_1", "--period", "2026-11")
        after = asked("statement", "org_1", "--period", "2026-11", "--archive", str(tmp_path))

        assert (without.exit_code, "name its folder with --archive" in without.stderr) == (exits.CONFLICT, True)
        assert (after.exit_code, after.stdout) == (exits.OK, before)

    def test_ends_with_an_error_where_the_file_was_changed(self, old, tmp_path: Path):
        asked("archive", "--before", "2027-01", "--to", str(tmp_path), "--execute")
        (packed,) = tmp_path.glob("org_1-2026-11*")
        packed.write_bytes(packed.read_bytes()[:-20])

        cut = asked("statement", "org_1", "--period", "2026-11", "--archive", str(tmp_path))

        assert (cut.exit_code, packed.name in cut.stderr) == (exits.CONFLICT, True)

    def test_says_what_is_not_there(self, old):
        for words in (("org_9",), ("org_1", "--period", "2026-10")):
            assert asked("statement", *words).exit_code == exits.NOT_FOUND
