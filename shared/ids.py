"""Opaque, prefixed ids: `org_`, `bot_`, … and 26 characters that sort roughly by the time they were made."""

import hashlib
import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def new(prefix: str) -> str:
    """A fresh id: 48 bits of milliseconds, so that indexes stay dense, and 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    characters = [_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(characters)}"


def derived(prefix: str, *parts: str) -> str:
    """An id that is the same for the same parts; nothing of them can be read from it."""
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    number = int.from_bytes(digest[:17]) >> 6
    characters = [_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(characters)}"
