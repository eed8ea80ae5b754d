"""That the checker finds what it looks for."""

import pytest
from sqlalchemy import text

from shared import database, outbox, relay, tables
from tests.faults.fleet import Fleet
from tests.faults.history import History
from tests.shared import kernel
from tests.shared.kernel import Listener

ONE, TWO = "counter-org_1", "counter-org_2"


@pytest.fixture
def history(fleet: Fleet) -> History:
    """Three events that went all the way."""
    log = kernel.publish(fleet.counting, ONE, ONE, TWO)
    publisher = relay.Relay(fleet.counting, "counting", fleet.amqp_uri)
    publisher.run()
    publisher.close()
    Listener(fleet.listening).inbox.take(log)
    return fleet.history()


def change(home: database.Database, statement: str) -> None:
    with home.begin() as session:
        session.execute(text(statement))


class TestFirstDifference:
    def test_is_none_if_all_went_well(self, history):
        assert history.first_difference() is None

    def test_is_an_event_that_was_never_sequenced(self, history, fleet):
        kernel.add(fleet.counting, ONE, 7)

        assert history.first_difference() == f"counting.Added {ONE}@3: written, never sequenced"

    def test_is_an_event_that_was_never_published(self, history, fleet):
        kernel.add(fleet.counting, ONE, 7)
        outbox.sequence(fleet.counting)

        assert history.first_difference() == (
            f"counting.Added {ONE}@3: sequenced at 4, never published (the checkpoint is 3)"
        )

    def test_is_an_event_that_the_broker_never_delivered(self, history):
        counted = History(**{**vars(history), "delivered": lambda: {1: 1, 3: 2}})

        assert counted.first_difference() == f"counting.Added {ONE}@2: published at 2, never delivered"

    def test_is_an_event_that_the_consumer_has_not_reached(self, history, fleet):
        change(fleet.listening, "UPDATE inbox SET position = 2")

        assert history.first_difference() == (
            f"counting.Added {TWO}@1: at 3 in the log, listening has applied up to 2"
        )

    @pytest.mark.parametrize(
        "statement, difference",
        [
            ("DELETE FROM heard WHERE version = 2", f"counting.Added {ONE}@2: never applied by listening"),
            (
                "INSERT INTO heard (stream, version, by) SELECT stream, version, by FROM heard WHERE version = 2",
                f"counting.Added {ONE}@2: applied 2 times by listening",
            ),
            (
                "INSERT INTO heard (stream, version, by) VALUES ('counter-org_9', 1, 1)",
                "counter-org_9@1: applied by listening, never written",
            ),
            (
                "WITH first AS (DELETE FROM heard WHERE version = 1 RETURNING *)"
                " INSERT INTO heard (stream, version, by) SELECT stream, version, by FROM first ORDER BY stream",
                f"{ONE}@1: applied by listening after version 2",
            ),
        ],
        ids=["missing", "twice", "invented", "out of order"],
    )
    def test_is_an_effect_that_is(self, history, fleet, statement, difference):
        change(fleet.listening, statement)

        assert history.first_difference() == difference

    def test_is_a_parked_event(self, history, fleet):
        with fleet.listening.begin() as session:
            row = tables.Parked(
                **{"producer": "counting", "position": 2, "stream": ONE, "version": 2, "name": "counting.Added"},
                **{"envelope": b"", "reason": "a bug", "parked_at": database.now(session), "unreadable": False},
            )
            session.add(row)

        assert history.first_difference() == f"counting.Added {ONE}@2: parked by listening: a bug"
