import threading
import time

import pytest

from shared import probes

pytestmark = pytest.mark.pure


def soon() -> float:
    return time.monotonic() + 5


class TestProbe:
    def test_is_asked_again_each_time(self):
        answers = iter(["first", "second"])
        probe = probes.Probe(lambda: next(answers))

        assert [probe.answer(until=soon()) for _ in range(2)] == ["first", "second"]

    def test_keeps_an_answer_that_is_fresh(self):
        answers = iter(["first", "second"])
        probe = probes.Probe(lambda: next(answers), fresh_seconds=60)

        assert [probe.answer(until=soon()) for _ in range(2)] == ["first", "first"]

    def test_keeps_a_failure_too_and_says_what_it_was(self):
        tries = []
        probe = probes.Probe(lambda: tries.append(1) or 1 // 0, fresh_seconds=60)

        for _ in range(2):
            with pytest.raises(probes.NoAnswer, match="ZeroDivisionError"):
                probe.answer(until=soon())
        assert len(tries) == 1

    def test_is_asked_once_however_many_wait_and_answers_all_when_it_comes(self):
        may_end, tries, found = threading.Event(), [], []
        probe = probes.Probe(lambda: tries.append(1) or may_end.wait(5))
        with pytest.raises(probes.NoAnswer, match="in time"):
            probe.answer(until=time.monotonic() + 0.05)
        waiting = [threading.Thread(target=lambda: found.append(probe.answer(until=soon()))) for _ in range(3)]
        for thread in waiting:
            thread.start()

        may_end.set()
        for thread in waiting:
            thread.join()

        assert found == [True] * 3
        assert 1 <= len(tries) <= 3  # who comes after the answer asks anew
