import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import exc, text
from structlog.testing import capture_logs

from shared import context, envelope, errors, events, inbox, outbox, personal, store, tables
from tests.shared import kernel, kernel_programs
from tests.shared.kernel import Added, Listener, places, publish

ONE, TWO = "counter-org_1", "counter-org_2"


def failing_at(*positions: int, error: Exception | None = None) -> Any:
    def fail(_fact: Added, event: envelope.Envelope) -> None:
        if event.position in positions:
            raise error or RuntimeError("the handler's own fault")

    return fail


def renamed(
    log: list[envelope.Envelope], position: int, *, name: str | None = None, schema: int | None = None
) -> list[envelope.Envelope]:
    """The log as a newer release of the producer would have written it: the hash does not cover name and schema."""
    event = log[position - 1]
    other = dataclasses.replace(event, name=name or event.name, schema=schema or event.schema)
    return [*log[: position - 1], other, *log[position:]]


def with_epoch(log: list[envelope.Envelope], epoch: str) -> list[envelope.Envelope]:
    return [dataclasses.replace(event, epoch=epoch) for event in log]


class TestTake:
    def test_applies_a_log_in_order_and_once(self, home, listener):
        log = publish(home, ONE, TWO, ONE, TWO)

        assert listener.inbox.take(log) == 4

        assert listener.heard() == places(log)
        assert listener.inbox.place() == inbox.Place(log[-1].epoch, 4, log[-1].hash)

    def test_does_nothing_with_what_it_has_applied_before(self, home, listener):
        log = publish(home, ONE, ONE)

        for _ in range(3):
            listener.inbox.take(log)
        for event in log:
            assert listener.inbox.take([event]) == 0

        assert listener.heard() == places(log)

    def test_applies_an_event_once_that_comes_many_times_in_one_batch(self, home, listener):
        log = publish(home, ONE, ONE, TWO)

        assert listener.inbox.take([log[0], log[0], log[1], log[0], log[2], log[1]]) == 3

        assert listener.heard() == places(log)

    def test_puts_a_shuffled_batch_in_order(self, home, listener):
        log = publish(home, ONE, TWO, ONE)

        assert listener.inbox.take([log[2], log[0], log[1]]) == 3

        assert listener.heard() == places(log)

    def test_applies_once_what_two_consumers_get_at_once(self, home, listener):
        log = publish(home, *[ONE, TWO] * 10)

        with ThreadPoolExecutor(2) as consumers:
            applied = [consumers.submit(listener.inbox.take, log) for _ in range(2)]

        assert sum(consumer.result() for consumer in applied) == 20
        assert listener.heard() == places(log)

    def test_applies_once_what_two_replicas_get_a_thousand_times(self, home, listener):
        (event,) = publish(home, ONE)

        def replica(_number: int) -> int:
            box = listener.inbox
            return sum(box.take([event]) for _ in range(500))

        with ThreadPoolExecutor(2) as replicas:
            assert sum(replicas.map(replica, range(2))) == 1

        assert listener.heard() == places([event])

    def test_parks_data_that_have_another_shape_and_says_nothing_of_them(self, home, listener):
        log = publish(home, ONE, TWO)
        log[0] = dataclasses.replace(log[0], data={"name": "Ada Lovelace"})

        with capture_logs() as lines:
            assert listener.inbox.take(log) == 2

        assert listener.heard() == [(TWO, 1)]
        assert [position for position, _reason in listener.parked()] == [1]
        assert "Lovelace" not in json.dumps([lines, listener.parked()], default=repr)

    def test_applies_up_to_a_hole_and_says_so(self, home, listener):
        log = publish(home, ONE, ONE, ONE, ONE)

        with pytest.raises(inbox.Hole):
            listener.inbox.take([log[0], log[2], log[3]])

        assert listener.heard() == places(log[:1])
        assert listener.inbox.take(log) == 3

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_ends_as_the_log_does_however_it_is_shuffled_repeated_and_cut(self, home, new_listener, data):
        log = kernel.read_log(home) or publish(home, *[ONE, TWO, ONE, ONE] * 3)
        listener = new_listener()
        deliveries = data.draw(st.lists(st.lists(st.sampled_from(log), max_size=8), max_size=6))

        for batch in deliveries:
            place = listener.inbox.place()
            try:
                listener.inbox.take(batch)
            except inbox.Hole:
                place = listener.inbox.place()
                listener.inbox.take(log[place.position : place.position + 5], pulled=True)
            assert listener.inbox.place().position >= place.position
            assert listener.heard() == places(log[: listener.inbox.place().position])
        listener.inbox.take(log, pulled=True)

        assert listener.heard() == places(log)

    def test_stops_at_a_hash_that_does_not_follow(self, home, listener):
        log = publish(home, ONE, ONE, ONE)
        log[1] = dataclasses.replace(log[1], hash="00" * 32)

        for _ in range(5):
            with pytest.raises(inbox.Diverged):
                listener.inbox.take(log)

        assert listener.heard() == places(log[:1])
        assert listener.parked() == []

    def test_accepts_a_new_epoch_only_when_the_producer_has_confirmed_our_hash(self, home, listener):
        log = publish(home, ONE, ONE, ONE)
        listener.inbox.take(log[:1])
        restored = with_epoch(log, "another life")

        for _ in range(5):
            with pytest.raises(inbox.Hole):
                listener.inbox.take(restored)
        assert listener.heard() == places(log[:1])

        listener.inbox.take(restored, pulled=True)
        assert listener.heard() == places(log)
        assert listener.inbox.place().epoch == "another life"

    def test_does_not_take_an_old_epoch_for_a_new_one(self, home, listener):
        log = publish(home, ONE, ONE)
        listener.inbox.take(with_epoch(log, "another life")[:1])

        with pytest.raises(inbox.Hole):
            listener.inbox.take(log)

    def test_applies_a_stream_version_once_even_under_another_position(self, home, listener):
        """As after a restore, when the same event is sequenced anew."""
        log = publish(home, ONE, TWO)
        listener.inbox.take(log)
        again = dataclasses.replace(log[0], position=3, hash=next_hash(log[1], log[0]))

        assert listener.inbox.take([again]) == 1

        assert listener.heard() == places(log)

    def test_advances_over_names_that_it_does_not_know(self, home, listener):
        log = renamed(publish(home, ONE, ONE), 1, name="counting.Invented")

        assert listener.inbox.take(log) == 2

        assert listener.heard() == [(ONE, 2)]
        assert listener.parked() == []

    def test_advances_over_what_it_does_not_handle_whatever_its_schema(self, home, listener):
        log = renamed(publish(home, ONE, ONE), 1, name="counting.Cleared", schema=99)

        assert listener.inbox.take(log) == 2

        assert listener.heard() == [(ONE, 2)]

    def test_parks_a_newer_schema_as_it_came(self, home, listener):
        log = renamed(publish(home, ONE, TWO, ONE), 1, schema=99)

        assert listener.inbox.take(log) == 3

        assert listener.heard() == [(TWO, 1)]
        assert [position for position, _reason in listener.parked()] == [1, 3]
        with listener.home.begin() as session:
            raw = session.get_one(tables.Parked, ("counting", 1)).envelope
        assert envelope.decode(raw) == log[0]

    def test_ignores_what_concerns_an_erased_subject(self, home, listener):
        log = renamed(publish(home, ONE, TWO, ONE), 3, schema=99)
        with listener.home.begin() as session:
            personal.erase(session, "org_1")

        assert listener.inbox.take(log) == 3

        assert listener.heard() == [(TWO, 1)]
        assert listener.parked() == []

    def test_applies_nothing_more_of_a_subject_that_was_erased_in_the_same_batch(self, home, listener):
        heard = []

        def on_added(session, _fact, event):
            heard.append(event.position)
            if event.position == 1:
                personal.erase(session, event.subject)

        box = inbox.Inbox(listener.home, "listening", inbox.Hears(kernel.CATALOGUE, {Added: on_added}))

        assert box.take(publish(home, ONE, TWO, ONE)) == 3
        assert heard == [1, 2]

    def test_lets_the_handler_act_for_the_producer_because_of_the_event(self, home, listener):
        seen = []
        with context.use(correlation_id="req_1"):
            log = publish(home, ONE)
        listener.failing = lambda *_: seen.append(context.current())

        listener.inbox.take(log)

        assert (seen[0].actor.kind, seen[0].actor.id) == ("service", "counting")
        assert (seen[0].correlation_id, seen[0].causation_id) == ("req_1", log[0].id)


def next_hash(before: envelope.Envelope, event: envelope.Envelope) -> str:
    return events.log_hash(bytes.fromhex(before.hash), before.position + 1, bytes.fromhex(event.event_hash)).hex()


@pytest.fixture
def new_listener(listener):
    """Call it for a listener who has heard nothing, on a database that is emptied."""

    def make() -> Listener:
        with listener.home.begin() as session:
            for table in (kernel.Heard, tables.Inbox, tables.InboxStream, tables.Parked):
                session.execute(text(f"DELETE FROM {table.__tablename__}"))
        return listener

    return make


class TestFailingHandler:
    def test_is_tried_three_times_and_then_its_event_and_the_rest_of_its_stream_are_parked(self, home, listener):
        log = publish(home, ONE, TWO, ONE, TWO, ONE)
        listener.failing = failing_at(3)

        assert listener.inbox.take([log[0]]) == 1
        assert sum(listener.inbox.take([event]) for event in log[1:]) == 4

        assert listener.heard() == [(ONE, 1), (TWO, 1), (TWO, 2)]
        assert listener.tries.count(3) == inbox.MAX_ATTEMPTS
        assert 5 not in listener.tries
        assert listener.parked() == [
            (3, "RuntimeError in counting.Added"),
            (5, "an earlier event of its stream is parked"),
        ]

    def test_keeps_its_neighbours_in_a_batch_from_nothing(self, home, listener):
        log = publish(home, *[ONE, TWO] * 5)
        listener.failing = failing_at(4)

        assert listener.inbox.take(log) == 10

        assert listener.heard() == places([event for event in log if event.stream == ONE or event.position < 4])
        assert listener.row().position == 10

    def test_leaves_nothing_of_a_try_that_failed(self, home, listener):
        def fail_late(session, fact, event):
            listener.on_added(session, fact, event)
            raise RuntimeError("after its effect")

        box = inbox.Inbox(listener.home, "listening", inbox.Hears(kernel.CATALOGUE, {Added: fail_late}))
        box.take(publish(home, ONE))

        assert listener.heard() == []
        assert [position for position, _reason in listener.parked()] == [1]

    def test_may_succeed_the_second_time(self, home, listener):
        failures = iter([RuntimeError("once")])

        def fail_once(*_arguments):
            for failure in failures:
                raise failure

        listener.failing = fail_once

        assert listener.inbox.take(publish(home, ONE)) == 1

        assert listener.heard() == [(ONE, 1)]
        assert listener.parked() == []

    def test_is_counted_even_if_it_kills_its_process_and_parked_in_the_end(self, home, listener, tmp_path):
        log = publish(home, ONE, TWO, ONE)
        log_file = tmp_path / "log.json"
        log_file.write_text(json.dumps([event.to_json() for event in log]))
        arguments = ("take", listener.home.url, str(log_file), "2")

        deaths = 0
        while kernel_programs.run(*arguments) == -9:
            deaths += 1
            assert deaths < 10

        assert deaths == 1 + inbox.MAX_ATTEMPTS  # once in the batch, and then alone
        assert listener.heard() == [(ONE, 1), (ONE, 2)]
        assert listener.parked() == [(2, "the process ended while it handled counting.Added")]

    def test_may_be_a_refusal_which_is_parked_like_any_other_failure(self, home, listener):
        listener.failing = failing_at(1, error=errors.Conflict("no"))

        listener.inbox.take(publish(home, ONE))

        assert listener.parked() == [(1, "Conflict in counting.Added")]


class TestTransientFailure:
    @pytest.mark.parametrize(
        "error",
        [exc.OperationalError("SELECT", {}, Exception()), exc.TimeoutError(), store.VersionConflict()],
        ids=["database away", "no connection free", "somebody was quicker"],
    )
    @pytest.mark.parametrize("batch", [1, 2], ids=["alone", "in a batch"])
    def test_is_raised_and_counts_nothing(self, home, listener, error, batch):
        log = publish(home, ONE, ONE)
        box = listener.inbox
        listener.failing = failing_at(1, error=error)
        for _ in range(5):
            with pytest.raises(type(error)):
                box.take(log[:batch])
        assert listener.parked() == []

        listener.failing = failing_at(1)
        listener.tries.clear()
        box.take(log[:1])

        assert listener.tries.count(1) == inbox.MAX_ATTEMPTS

    def test_counts_nothing_though_the_process_is_started_again_after_each(self, home, listener):
        log = publish(home, ONE)
        listener.failing = failing_at(1, error=exc.OperationalError("SELECT", {}, Exception()))
        for _ in range(inbox.MAX_ATTEMPTS + 2):
            with pytest.raises(exc.OperationalError):
                listener.inbox.take(log)  # each time one that knows nothing of the one before

        listener.failing = lambda *_: None
        listener.inbox.take(log)

        assert (listener.parked(), listener.heard()) == ([], [(ONE, 1)])

    def test_of_the_database_itself_parks_nothing(self, home, listener):
        """Each try ends with its connection, so that not even a mark could be taken back."""
        log = publish(home, ONE)
        box = listener.inbox

        def cut(*_arguments):
            with listener.home.engine.connect() as other:
                others = "pid <> pg_backend_pid() AND datname = current_database()"
                other.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))

        listener.failing = cut
        for _ in range(5):
            with pytest.raises(exc.OperationalError):
                box.take(log)

        listener.failing = lambda *_: None
        box.take(log)
        assert listener.heard() == [(ONE, 1)]


class TestProcess:
    def test_that_is_killed_after_a_commit_has_lost_nothing(self, home, listener):
        publish(home, ONE)

        assert kernel_programs.run("add", home.url, ONE) == -9

        outbox.sequence(home)
        listener.inbox.take(kernel.read_log(home))
        assert listener.heard() == [(ONE, 1), (ONE, 2)]
