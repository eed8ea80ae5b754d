"""How long signing in takes tells nothing: measured in the processor's time, which a busy machine does not change."""

import statistics
import time
from dataclasses import replace

import argon2
import pytest

from services.accounts import passwords, throttling
from shared import errors

WRONG = "seven grey herons sit"
WHO = {
    "known": "ada@example.com",
    "unconfirmed": "eve@example.com",
    "unknown": "nobody@example.com",
    "none": "nobody",
}
ROUNDS = 24  # so that the middle of one does not by chance lie outside all of another


@pytest.fixture
def whole_hashes(accounts, monkeypatch):
    """The library's defaults, and nobody's hash with them."""
    monkeypatch.setattr(passwords, "_hasher", argon2.PasswordHasher())


def seconds(accounts, email):
    began = time.process_time()
    with pytest.raises(errors.Invalid, match="wrong_credentials"):
        accounts.sign_in(email, WRONG)
    return time.process_time() - began


class TestSignIn:
    def test_takes_as_long_for_an_unknown_address_as_for_a_known_one(self, accounts, whole_hashes, monkeypatch):
        """Of each two the middle of one lies among the times of the other; by turns, so that both meet the same."""
        monkeypatch.setattr(throttling, "SIGN_IN", replace(throttling.SIGN_IN, per_subject=1000))
        accounts.sign_up()
        accounts.register("eve@example.com")

        rounds = [{who: seconds(accounts, email) for who, email in WHO.items()} for _ in range(ROUNDS)]

        times = {who: [one[who] for one in rounds] for who in WHO}
        apart = [
            (one, other)
            for one in WHO
            for other in WHO
            if not min(times[other]) <= statistics.median(times[one]) <= max(times[other])
        ]
        assert apart == []
