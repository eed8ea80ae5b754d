"""
The keys under which secrets are kept, and what is kept: HMAC-SHA256 of a secret's SHA-256.

A copy of the database alone tells nobody whether a string is one of the secrets. The first pepper makes new ones;
the others still verify, so that a pepper is changed without revoking anything.
"""

import hashlib
import hmac
from dataclasses import dataclass

SHORTEST = 32


@dataclass(frozen=True)
class Pepper:
    """:param id: says in a row which pepper made it, without telling the pepper"""

    id: str
    key: bytes


def parse(text: str) -> tuple[Pepper, ...]:
    """
    :param text: peppers between commas, the active one first
    :raises ValueError: if one is shorter than 32 bytes
    """
    keys = [part.strip().encode() for part in text.split(",")]
    if any(len(key) < SHORTEST for key in keys):
        raise ValueError(f"each pepper must have at least {SHORTEST} bytes")
    return tuple(Pepper(hmac.digest(key, b"pepper id", hashlib.sha256)[:4].hex(), key) for key in keys)


def digest(pepper: Pepper, sha256: str) -> bytes:
    """:param sha256: the secret's, in hexadecimal"""
    return hmac.digest(pepper.key, sha256.encode(), hashlib.sha256)
