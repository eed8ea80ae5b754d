import threading
import time

import pytest

from ops import looks
from ops.looks import Away

pytestmark = pytest.mark.pure


class TestAtOnce:
    def test_gives_what_each_saw(self):
        assert looks.at_once({"a": lambda: 1, "b": lambda: 2}, seconds=5) == {"a": 1, "b": 2}

    def test_does_not_wait_for_those_that_hang(self):
        for_ever = threading.Event()
        began = time.monotonic()

        seen = looks.at_once({"a": lambda: 1, "b": for_ever.wait, "c": for_ever.wait}, seconds=0.2)

        assert seen == {"a": 1, "b": Away("no answer within 0 s"), "c": Away("no answer within 0 s")}
        assert time.monotonic() - began < 2
        for_ever.set()

    def test_says_of_those_that_fail_only_what_kind_of_failure_it_was(self):
        def fail():
            raise ValueError("canary")

        assert looks.at_once({"a": fail, "b": lambda: 2}, seconds=5) == {"a": Away("ValueError"), "b": 2}
