import functools
import time

import eventlet
import pytest
from eventlet.event import Event

from services.gateway.coalescer import Coalescer as Plain
from shared import errors

pytestmark = pytest.mark.pure


def unavailable(item):
    return errors.Unavailable("service_unavailable", "Nobody knows.", {"id": item["id"]})


Coalescer = functools.partial(Plain, unavailable=unavailable)


class Quota:
    """Answers batches, one at a time, when told to; `batches` are the ids that came together."""

    def __init__(self):
        self.batches = []
        self.seconds = []
        self.gates = []
        self.lost = 0

    def send(self, items, seconds):
        self.batches.append([item["id"] for item in items])
        self.seconds.append(seconds)
        gate = Event()
        self.gates.append(gate)
        gate.wait()
        if self.lost:
            self.lost -= 1
            raise errors.Unavailable("service_unavailable", "No answer.")
        return [self.result(item) for item in items]

    def result(self, item):
        if item.get("paused"):
            return errors.Conflict("bot_paused", "It is paused.")
        return {"id": item["id"], "used": 1}

    def answer(self, number):
        self.gates[number].send()
        settle()


def settle():
    """Let all green threads run until they wait."""
    for _ in range(10):
        eventlet.sleep(0)


def soon():
    return time.time() + 30


@pytest.fixture
def quota():
    return Quota()


def ask(coalescer, *ids, deadline=None, **more):
    threads = [
        eventlet.spawn(coalescer.admit, {"id": message_id, **more}, deadline=deadline or soon()) for message_id in ids
    ]
    settle()
    return threads


class TestAdmit:
    def test_lets_those_who_come_meanwhile_travel_together(self, quota):
        coalescer = Coalescer(quota.send)
        threads = ask(coalescer, "1") + ask(coalescer, "2")
        threads += ask(coalescer, *"345")

        quota.answer(0)
        quota.answer(1)
        quota.answer(2)

        assert quota.batches == [["1"], ["2"], ["3", "4", "5"]]
        assert [thread.wait()["id"] for thread in threads] == list("12345")

    def test_has_two_batches_under_way_at_most(self, quota):
        coalescer = Coalescer(quota.send, max_batch=2)
        for message_id in "1234567":
            ask(coalescer, message_id)

        assert quota.batches == [["1"], ["2"]]
        quota.answer(1)
        assert quota.batches == [["1"], ["2"], ["3", "4"]]

    def test_puts_no_more_into_a_batch_than_it_may(self, quota):
        coalescer = Coalescer(quota.send, max_batch=2, max_in_flight=1)
        threads = ask(coalescer, *"12345")

        for number in range(3):
            quota.answer(number)

        assert quota.batches == [["1", "2"], ["3", "4"], ["5"]]
        assert [thread.wait()["id"] for thread in threads] == list("12345")

    def test_rests_between_two_batches_if_it_is_to(self, quota):
        coalescer = Coalescer(quota.send, max_in_flight=1, period_seconds=1.0)
        threads = ask(coalescer, "1") + ask(coalescer, "2")

        quota.answer(0)
        sent_at_once = list(quota.batches)
        eventlet.sleep(1.1)
        quota.answer(1)

        assert (sent_at_once, quota.batches) == ([["1"]], [["1"], ["2"]])
        assert [thread.wait()["id"] for thread in threads] == ["1", "2"]

    def test_gives_everyone_their_own_result(self, quota):
        coalescer = Coalescer(quota.send, max_in_flight=1)
        (first,) = ask(coalescer, "1")
        (paused,) = ask(coalescer, "2", paused=True)
        (admitted,) = ask(coalescer, "3")

        quota.answer(0)
        quota.answer(1)

        assert first.wait() == {"id": "1", "used": 1}
        assert admitted.wait() == {"id": "3", "used": 1}
        with pytest.raises(errors.Conflict):
            paused.wait()

    def test_asks_again_once_with_the_same_ids_if_the_answer_is_lost(self, quota):
        quota.lost = 1
        threads = ask(Coalescer(quota.send), "1", "2")

        quota.answer(0)
        quota.answer(1)

        assert quota.batches == [["1", "2"], ["1", "2"]]
        assert [thread.wait()["id"] for thread in threads] == ["1", "2"]

    def test_leaves_half_of_the_time_for_asking_again(self, quota):
        quota.lost = 2
        ask(Coalescer(quota.send), "1", deadline=time.time() + 30)

        quota.answer(0)

        assert quota.seconds == [pytest.approx(15, abs=1), pytest.approx(30, abs=1)]

    def test_names_the_id_to_ask_again_with_if_it_is_lost_twice(self, quota):
        quota.lost = 2
        threads = ask(Coalescer(quota.send), "1", "2")

        quota.answer(0)
        quota.answer(1)

        for thread, message_id in zip(threads, "12", strict=True):
            with pytest.raises(errors.Unavailable) as refusal:
                thread.wait()
            assert refusal.value.details == {"id": message_id}
        assert len(quota.batches) == 2

    def test_does_not_wait_beyond_the_deadline_and_is_not_sent_after_it(self, quota):
        coalescer = Coalescer(quota.send, max_in_flight=1)
        (patient,) = ask(coalescer, "1")
        (hasty,) = ask(coalescer, "2", deadline=time.time() + 0.01)
        (late,) = ask(coalescer, "3")

        with pytest.raises(errors.Unavailable) as refusal:
            hasty.wait()
        quota.answer(0)
        quota.answer(1)

        assert refusal.value.details == {"id": "2"}
        assert quota.batches == [["1"], ["3"]]
        assert (patient.wait()["id"], late.wait()["id"]) == ("1", "3")

    def test_does_not_wait_for_an_answer_beyond_the_deadline(self, quota):
        (hasty,) = ask(Coalescer(quota.send), "1", deadline=time.time() + 0.01)

        with pytest.raises(errors.Unavailable):
            hasty.wait()
        assert quota.batches == [["1"]]

    def test_refuses_at_once_when_too_many_wait(self, quota):
        coalescer = Coalescer(quota.send, max_in_flight=1, max_waiting=2)
        ask(coalescer, "1")
        ask(coalescer, "2", "3")

        with pytest.raises(errors.Unavailable) as refusal:
            coalescer.admit({"id": "4"}, deadline=soon())
        assert refusal.value.details == {"id": "4"}

    def test_raises_what_is_a_bug_for_all_of_the_batch_and_carries_on(self, quota):
        coalescer = Coalescer(quota.send, max_in_flight=1)
        quota.result = lambda item: {"id": item["id"]} if item["id"] == "3" else 1 / 0
        broken = ask(coalescer, "1", "2")
        (fine,) = ask(coalescer, "3")

        quota.answer(0)
        quota.answer(1)

        for thread in broken:
            with pytest.raises(ZeroDivisionError):
                thread.wait()
        assert fine.wait() == {"id": "3"}

    def test_trusts_no_answer_of_another_length(self):
        coalescer = Coalescer(lambda items, _seconds: [{"id": items[0]["id"]}])

        for thread in ask(coalescer, "1", "2"):
            with pytest.raises(ValueError, match="1 results for 2 items"):
                thread.wait()


class TestClose:
    def test_answers_those_who_wait_and_takes_no_more(self, quota):
        coalescer = Coalescer(quota.send, max_in_flight=1)
        threads = ask(coalescer, "1") + ask(coalescer, "2")
        closing = eventlet.spawn(coalescer.close)
        settle()

        with pytest.raises(errors.Unavailable):
            coalescer.admit({"id": "3"}, deadline=soon())
        quota.answer(0)
        assert not closing.dead
        quota.answer(1)
        closing.wait()

        assert [thread.wait()["id"] for thread in threads] == ["1", "2"]
