import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import exc, select, text

from shared import context, database, envelope, events, inbox, parking, personal, store, tables
from tests.shared import kernel, kernel_programs
from tests.shared.kernel import Added, Listener, publish

ONE, TWO = "counter-org_1", "counter-org_2"
BEHIND = "an earlier event of its stream is parked"


def failing_at(*versions: int, stream: str = ONE) -> Any:
    def fail(_fact: Added, event: envelope.Envelope) -> None:
        if event.stream == stream and event.version in versions:
            raise RuntimeError("the handler's own fault")

    return fail


def fine(_fact: Added, _event: envelope.Envelope) -> None:
    """Mended."""


def versions_of(listener: Listener, stream: str = ONE) -> list[int]:
    """In the order in which they were applied."""
    return [version for heard, version in listener.heard() if heard == stream]


def positions(listener: Listener) -> list[int]:
    return [position for position, _reason in listener.parked()]


def take_all(home: database.Database, listener: Listener) -> None:
    log = kernel.read_log(home, after=listener.inbox.place().position)
    listener.inbox.take(log)


def beaten() -> database.Beaten:
    return database.Beaten("UPDATE", {}, Exception())


@pytest.fixture
def parked(home: database.Database, listener: Listener) -> Listener:
    """Of one stream the versions 2 to 5 are parked, of the other none."""
    listener.failing = failing_at(2)
    listener.inbox.take(publish(home, ONE, ONE, TWO, ONE, TWO, ONE, ONE))
    assert positions(listener) == [2, 4, 6, 7]
    assert versions_of(listener, TWO) == [1, 2]
    return listener


class TestRedrive:
    def test_applies_in_the_order_of_the_stream_and_once(self, parked):
        parked.failing = fine

        assert parking.redrive(parked.inbox, ONE) == parking.Outcome(4, 0)
        assert parking.redrive(parked.inbox, ONE) == parking.Outcome(0, 0)

        assert versions_of(parked) == [1, 2, 3, 4, 5]
        assert parked.parked() == []

    def test_lets_what_comes_after_it_be_applied_at_once(self, home, parked):
        parked.failing = fine
        parking.redrive(parked.inbox, ONE)

        publish(home, ONE)
        take_all(home, parked)

        assert versions_of(parked) == [1, 2, 3, 4, 5, 6]

    def test_stops_at_the_first_that_still_fails_and_says_why(self, parked):
        parked.failing = failing_at(4)

        assert parking.redrive(parked.inbox, ONE) == parking.Outcome(2, 2, "RuntimeError in counting.Added")

        assert versions_of(parked) == [1, 2, 3]
        assert parked.parked() == [(6, "RuntimeError in counting.Added"), (7, BEHIND)]

    def test_leaves_nothing_of_a_try_that_failed(self, parked):
        def fail_late(session, fact, event):
            parked.on_added(session, fact, event)
            raise RuntimeError("after its effect")

        parked.failing = fine
        box = inbox.Inbox(parked.home, "listening", inbox.Hears(kernel.CATALOGUE, {Added: fail_late}))

        assert parking.redrive(box, ONE).redriven == 0

        assert versions_of(parked) == [1]
        assert positions(parked) == [2, 4, 6, 7]

    def test_says_so_when_it_is_the_database_that_refuses_what_a_handler_left(self, parked):
        def add_what_cannot_be(session, _fact, _event):
            session.add(kernel.Total(stream=ONE, total=None))

        box = inbox.Inbox(parked.home, "listening", inbox.Hears(kernel.CATALOGUE, {Added: add_what_cannot_be}))

        assert parking.redrive(box, ONE).reason == "IntegrityError in counting.Added"
        assert positions(parked) == [2, 4, 6, 7]

    def test_keeps_order_with_what_arrives_meanwhile(self, home, parked):
        """
        The live consumer gets version 6 while version 3 is redriven, and is applied last: parked behind the others
        and redriven as a fifth, or, if the redrive is quicker to the lock each time, by the live consumer itself.
        """
        arrived: list[Any] = []

        def arriving(_fact: Added, event: envelope.Envelope) -> None:
            if event.version == 3 and not arrived:
                publish(home, ONE)
                arrived.append(live.submit(take_all, home, parked))
                kernel.eventually(lambda: waits_for_a_lock(parked.home), "the live consumer waits for its turn")

        parked.failing = arriving
        with ThreadPoolExecutor(1) as live:
            outcomes = [parking.redrive(parked.inbox, ONE)]
            arrived[0].result()
            outcomes.append(parking.redrive(parked.inbox, ONE))

        assert versions_of(parked) == [1, 2, 3, 4, 5, 6]
        assert [outcome.reason for outcome in outcomes] == ["", ""]
        assert sum(outcome.redriven for outcome in outcomes) in (4, 5)
        assert parked.parked() == []

    def test_run_twice_at_once_applies_once(self, home, parked):
        publish(home, *[ONE] * 20)
        take_all(home, parked)
        parked.failing = fine

        with ThreadPoolExecutor(2) as operators:
            outcomes = [*operators.map(lambda _: parking.redrive(parked.inbox, ONE), range(2))]

        assert sum(outcome.redriven for outcome in outcomes) == 24
        assert versions_of(parked) == [*range(1, 26)]

    def test_killed_in_the_middle_has_lost_nothing(self, parked):
        assert kernel_programs.run("redrive", parked.home.url, ONE, "4") == -9

        assert versions_of(parked) == [1, 2, 3]
        assert positions(parked) == [6, 7]
        parked.failing = fine
        assert parking.redrive(parked.inbox, ONE) == parking.Outcome(2, 0)
        assert versions_of(parked) == [1, 2, 3, 4, 5]

    def test_skips_who_was_erased_meanwhile(self, parked):
        with parked.home.begin() as session:
            personal.erase(session, "org_1")
        parked.failing = fine

        assert parking.redrive(parked.inbox, ONE) == parking.Outcome(4, 0)

        assert versions_of(parked) == [1]

    def test_runs_handlers_as_the_live_consumer_does(self, home, parked):
        seen = []
        parked.failing = lambda _fact, event: seen.append((event.id, context.current()))

        parking.redrive(parked.inbox, ONE)

        redriven = [event for event in kernel.read_log(home) if event.stream == ONE and event.version > 1]
        for (event_id, now), event in zip(seen, redriven, strict=True):
            assert event_id == event.id
            assert now.actor == context.Actor(kind="service", id="counting")
            assert (now.causation_id, now.correlation_id) == (event.id, event.correlation_id)

    @pytest.mark.parametrize(
        "error", [exc.OperationalError("SELECT", {}, Exception()), exc.TimeoutError()], ids=["away", "busy"]
    )
    def test_raises_what_says_nothing_against_the_event(self, parked, error):
        def fail(*_arguments):
            raise error

        parked.failing = fail

        with pytest.raises(type(error)):
            parking.redrive(parked.inbox, ONE)

        assert parked.parked()[0] == (2, "RuntimeError in counting.Added")

    @pytest.mark.parametrize("lost", [store.VersionConflict("lost"), beaten()], ids=["conflict", "deadlock"])
    def test_tries_again_where_somebody_was_quicker(self, parked, lost):
        losses = iter([lost] * (parking.CONFLICT_TRIES - 1))

        def fail_at_first(*_arguments):
            for loss in losses:
                raise loss

        parked.failing = fail_at_first

        assert parking.redrive(parked.inbox, ONE) == parking.Outcome(4, 0)


def waits_for_a_lock(home: database.Database) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with home.engine.connect() as connection:
        return connection.execute(text(waiting)).first() is not None


@pytest.fixture
def unread(home: database.Database, listener: Listener) -> Listener:
    park_unreadable(home, listener)
    return listener


def park_unreadable(home: database.Database, listener: Listener) -> None:
    """Version 2 has a schema that the release did not know, and 3 is parked behind it."""
    log = publish(home, ONE, ONE, TWO, ONE)
    old = inbox.Inbox(listener.home, "listening", inbox.Hears(older_catalogue(), {OldAdded: listener.on_added}))
    log[0] = dataclasses.replace(log[0], schema=2)
    log[2] = dataclasses.replace(log[2], schema=2)
    old.take(log)
    assert listener.heard() == [(ONE, 1), (TWO, 1)]
    assert positions(listener) == [2, 4]


def park_unreadable_first_of(home: database.Database, listener: Listener, *streams: str) -> None:
    """One event of each, of a schema that the release did not know."""
    old = inbox.Inbox(listener.home, "listening", inbox.Hears(older_catalogue(), {OldAdded: listener.on_added}))
    old.take(publish(home, *streams))


@dataclasses.dataclass(frozen=True, kw_only=True)
class OldAdded:
    """As a release before this one knew it."""

    name = "counting.Added"
    schema = 2

    by: int
    tags: tuple[str, ...] = ()


def older_catalogue() -> events.Catalogue:
    return events.Catalogue("counting", [OldAdded], public=[OldAdded])


def start(box: inbox.Inbox) -> None:
    parking.redrive_unreadable(box, threading.Event())


class TestRedriveUnreadable:
    def test_applies_what_this_release_can_read_and_the_one_before_could_not(self, unread):
        start(unread.inbox)

        assert versions_of(unread) == [1, 2, 3]
        assert unread.parked() == []

    def test_leaves_what_it_cannot_read_either(self, unread):
        before = unread.parked()

        start(inbox.Inbox(unread.home, "listening", inbox.Hears(older_catalogue(), {OldAdded: unread.on_added})))

        assert unread.parked() == before
        assert before[0] == (2, "counting.Added has schema 3, this release knows 2")
        start(unread.inbox)
        assert versions_of(unread) == [1, 2, 3]

    def test_leaves_what_was_parked_because_a_handler_failed(self, parked):
        parked.failing = fine

        start(parked.inbox)

        assert versions_of(parked) == [1]
        assert positions(parked) == [2, 4, 6, 7]

    def test_is_not_tried_again_after_it_has_killed_the_process(self, unread):
        assert kernel_programs.run("redrive_unreadable", unread.home.url, "2") == -9

        assert kernel_programs.run("redrive_unreadable", unread.home.url, "2") == 0
        assert unread.parked() == [(2, parking.ENDED), (4, BEHIND)]
        assert parking.redrive(unread.inbox, ONE) == parking.Outcome(2, 0)

    def test_leaves_the_streams_behind_it_waiting_when_it_is_killed(self, home, listener):
        park_unreadable_first_of(home, listener, ONE, TWO)

        assert kernel_programs.run("redrive_unreadable", listener.home.url, "1") == -9
        assert listener.parked() == [(1, parking.ENDED), (2, "counting.Added has schema 3, this release knows 2")]

        start(listener.inbox)
        assert listener.heard() == [(TWO, 1)]

    def test_ends_the_stream_at_hand_and_takes_no_other_when_it_is_to_stop(self, home, listener):
        park_unreadable_first_of(home, listener, ONE, TWO)
        stopping = threading.Event()
        listener.failing = lambda _fact, _event: stopping.set()

        parking.redrive_unreadable(listener.inbox, stopping)
        assert listener.heard() == [(ONE, 1)]

        start(listener.inbox)
        assert listener.heard() == [(ONE, 1), (TWO, 1)]

    def test_claims_nothing_once_it_is_to_stop(self, unread):
        before, stopping = unread.parked(), threading.Event()
        stopping.set()

        parking.redrive_unreadable(unread.inbox, stopping)

        assert unread.parked() == before

    def test_waits_for_a_database_that_is_away(self, unread, monkeypatch):
        monkeypatch.setattr(parking, "RETRY_SECONDS", 0.01)
        failures = iter([exc.OperationalError("SELECT", {}, Exception())] * 3)

        def fail_at_first(*_arguments):
            for failure in failures:
                raise failure

        unread.failing = fail_at_first
        start(unread.inbox)

        assert versions_of(unread) == [1, 2, 3]


class TestDiscard:
    def discard(self, listener: Listener, position: int) -> bool:
        return parking.discard(listener.home, "counting", position, reason="a test", actor="ada@laptop")

    def test_passes_over_one_event_so_that_the_rest_can_be_redriven(self, parked):
        assert parking.redrive(parked.inbox, ONE).redriven == 0

        assert self.discard(parked, 2)

        assert parking.redrive(parked.inbox, ONE) == parking.Outcome(3, 0)
        assert versions_of(parked) == [1, 3, 4, 5]

    def test_keeps_a_record_of_what_was_skipped_by_whom_and_why(self, home, parked):
        self.discard(parked, 4)

        with parked.home.begin() as session:
            (skipped,) = session.scalars(select(tables.Discarded))
        assert (skipped.producer, skipped.position, skipped.stream, skipped.version) == ("counting", 4, ONE, 3)
        assert (skipped.event_id, skipped.name) == (kernel.read_log(home)[3].id, "counting.Added")
        assert (skipped.reason, skipped.actor) == ("a test", "ada@laptop")

    def test_leaves_what_follows_parked(self, home, parked):
        self.discard(parked, 2)

        publish(home, ONE)
        take_all(home, parked)

        assert positions(parked) == [4, 6, 7, 8]

    def test_says_so_if_there_is_nothing_of_that_place(self, parked):
        assert self.discard(parked, 2)

        assert not self.discard(parked, 2)
        assert kernel.count(parked.home, tables.Discarded) == 1


class TestStreams:
    def test_are_listed_in_the_order_in_which_they_were_parked(self, home, listener):
        listener.failing = lambda _fact, event: failing_at(1, stream=event.stream)(_fact, event)
        listener.inbox.take(publish(home, TWO, ONE, TWO))

        with listener.home.begin() as session:
            assert parking.streams(session, "counting") == [TWO, ONE]
            assert parking.streams(session, "another") == []
