"""Which orgs are suspended, as every service keeps it."""

from datetime import UTC, datetime

import pytest

from shared import errors, personal, suspensions, tables
from tests.shared import kernel

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def suspended(home):
    """`org_1` is, and `org_2` is beside it."""
    with home.begin() as session:
        suspensions.begin(session, "org_1", cause="abuse", at=NOON)
        suspensions.begin(session, "org_2", cause="legal", at=NOON)


def is_refused(home, org_id):
    with home.begin() as session:
        try:
            suspensions.check(session, org_id)
        except errors.Forbidden as refusal:
            return refusal.code == "org_suspended"
    return False


class TestCheck:
    def test_refuses_the_org_and_no_other(self, home, suspended):
        assert [is_refused(home, org_id) for org_id in ("org_1", "org_3", "org_", "")] == [True, False, False, False]


class TestBegin:
    def test_takes_over_the_last_cause(self, home, suspended):
        with home.begin() as session:
            suspensions.begin(session, "org_1", cause="fraud", at=NOON)
            assert session.get_one(tables.Suspended, "org_1").cause == "fraud"

        assert kernel.count(home, tables.Suspended) == 2

    def test_leaves_no_row_of_an_org_that_is_erased(self, home, suspended):
        with home.begin() as session:
            personal.erase(session, "org_1")
        assert kernel.count(home, tables.Suspended) == 1

        with home.begin() as session:
            suspensions.begin(session, "org_1", cause="abuse", at=NOON)

        assert kernel.count(home, tables.Suspended) == 1


class TestEnd:
    def test_lets_the_org_go_on_and_may_be_said_twice(self, home, suspended):
        for _ in range(2):
            with home.begin() as session:
                suspensions.end(session, "org_1")

        assert (is_refused(home, "org_1"), is_refused(home, "org_2")) == (False, True)
