"""Opaque, prefixed ids: `org_`, `bot_`, … and 26 characters that sort roughly by the time they were made."""

import hashlib
import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


def new(prefix: str) -> str:
    """A fresh id: 48 bits of milliseconds, so that indexes stay dense, and 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    return f"{prefix}_{_spelled(number)}"


def derived(prefix: str, *parts: str) -> str:
    """An id that is the same for the same parts; nothing of them can be read from it."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    number = int.from_bytes(digest[:17]) >> 6
    return f"{prefix}_{_spelled(number)}"


def _spelled(number: int) -> str:
    """The lowest 130 bits as 26 characters."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
