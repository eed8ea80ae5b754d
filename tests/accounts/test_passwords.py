import json
import subprocess
import sys
import threading
import time

import argon2
import pytest

from services.accounts import passwords
from shared import context, errors

pytestmark = pytest.mark.pure


class TestVerify:
    def test_takes_the_password_however_the_keyboard_composed_it(self):
        kept = passwords.hash("Zoe\u0308 likes \ufb01sh")

        assert passwords.verify(kept, "Zo\u00eb likes fish")
        assert not passwords.verify(kept, "zo\u00eb likes fish")

    def test_finds_that_no_password_is_nobodys(self):
        assert not passwords.verify(passwords.NOBODYS, "")


class TestIsOutdated:
    def test_wants_a_weaker_hash_made_again(self):
        weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("seven grey herons fly")

        assert passwords.is_outdated(weak)
        assert not passwords.is_outdated(passwords.NOBODYS)


class TestGate:
    def test_turns_away_whom_it_has_no_place_for(self):
        gate = passwords.Gate(at_once=2, waiting=0)

        with gate.enter(), gate.enter(), pytest.raises(errors.Unavailable, match="busy"), gate.enter():
            pass

    def test_lets_others_wait_until_somebody_leaves(self):
        gate = passwords.Gate(at_once=1, waiting=1)
        order: list[str] = []

        def enter_second():
            with gate.enter():
                order.append("second is in")

        with gate.enter():
            second = threading.Thread(target=enter_second)
            second.start()
            order.append("first leaves")
        second.join(5)

        assert order == ["first leaves", "second is in"]

    def test_keeps_nobody_waiting_who_no_longer_waits(self):
        gate = passwords.Gate(at_once=1, waiting=1)

        with gate.enter(), context.use(deadline=time.time()), pytest.raises(errors.Unavailable, match="busy"):
            gate.enter().__enter__()
        with gate.enter():
            pass

    def test_lets_nobody_in_who_would_be_done_too_late(self):
        gate = passwords.Gate(at_once=1, waiting=0)
        with gate.enter():
            time.sleep(0.2)

        with context.use(deadline=time.time() + 0.1), pytest.raises(errors.Unavailable, match="busy"):
            gate.enter().__enter__()
        with context.use(deadline=time.time() + 5), gate.enter():
            pass

    def test_lets_somebody_in_again_after_one_was_very_slow(self, monkeypatch):
        monkeypatch.setattr(passwords, "LONGEST_EXPECTED_SECONDS", 0.1)
        gate = passwords.Gate(at_once=1, waiting=0)
        with gate.enter():
            time.sleep(0.3)

        with context.use(deadline=time.time() + 0.2), gate.enter():
            pass

    def test_is_open_again_after_a_failure_inside(self):
        gate = passwords.Gate(at_once=1, waiting=0)

        with pytest.raises(ValueError, match="inside"), gate.enter():
            raise ValueError("inside")

        with gate.enter():
            pass


class TestGreenThreads:
    def test_go_on_while_passwords_are_checked_and_those_beyond_the_gate_are_told_to_come_again(self):
        finished = subprocess.run(
            [sys.executable, "-m", "tests.accounts.green_passwords"], capture_output=True, text=True, check=True
        )

        seen = json.loads(finished.stdout)
        places = passwords.AT_ONCE + passwords.WAITING
        assert sorted(seen["outcomes"]) == ["busy"] * (30 - places) + ["let in"] * places
        assert seen["turns"] > 2 * places
        assert (seen["main_nice"], max(seen["nice"])) == (0, passwords.NICE)
