import re

import pytest
import time_machine

from shared import ids

pytestmark = pytest.mark.pure


class TestNew:
    def test_is_the_prefix_and_26_characters_that_nobody_confuses(self):
        assert re.fullmatch(r"bot_[0-9a-hjkmnp-tv-z]{26}", ids.new("bot"))

    def test_never_comes_twice(self):
        assert len({ids.new("x") for _ in range(10_000)}) == 10_000

    def test_sorts_by_the_time_at_which_it_was_made(self):
        with time_machine.travel("2026-11-22T12:00:00Z", tick=False) as traveller:
            made = []
            for _ in range(50):
                made.append(ids.new("x"))
                traveller.shift(0.001)

        assert made == sorted(made)
