"""
The form of an API secret: `chs_live_` or `chs_test_`, 32 random base62 characters, and 6 of checksum.

The checksum lets a scanner, and the gateway, tell a secret from a string that only looks like one without asking
anybody. It protects nothing: who holds a secret is known by its SHA-256, and only that is stored and travels.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import Literal

PREFIX = "chs_"
PATTERN = "chs_(?:live|test)_[0-9A-Za-z]{38}"
"""Published, in SECURITY.md too, for those who look for secrets where none should stand."""

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM = re.compile(PATTERN)
_LIKE_ONE = re.compile(r"chs_(?:live|test)_[0-9A-Za-z]+")
_CHECKSUM_LENGTH = 6


def generate(mode: Literal["live", "test"] = "live") -> str:
    """A fresh secret, from 190 random bits."""
    randomness = "".join(secrets.choice(_ALPHABET) for _ in range(32))
    unchecked = f"{PREFIX}{mode}_{randomness}"
    return unchecked + checksum(unchecked)


def checksum(unchecked: str) -> str:
    """CRC-32 of the characters before it, in base62, zero-padded to 6 characters."""
    number = zlib.crc32(unchecked.encode("ascii"))
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def is_well_formed(token: str) -> bool:
    return bool(_FORM.fullmatch(token)) and checksum(token[:-_CHECKSUM_LENGTH]) == token[-_CHECKSUM_LENGTH:]


def blotted(text: str) -> str:
    """A text without the secrets that stand in it: nothing of a secret is kept, wherever it was found."""
    return _LIKE_ONE.sub("chs_…", text)


def fingerprint(token: str) -> str:
    """The SHA-256 of a token in hexadecimal: what is stored and what travels in its stead."""
    return hashlib.sha256(token.encode()).hexdigest()
