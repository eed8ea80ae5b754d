"""
Tokens of 256 random bits. Who holds one is known by its SHA-256; only that is stored. A picture's key is kept as it
is: its address is told to everybody who sees the person.
"""

import hashlib
import secrets

SESSION_PREFIX = "cht_"


def session_token() -> str:
    return SESSION_PREFIX + secrets.token_urlsafe(32)


def mailed_token() -> str:
    """For a link in a mail."""
    return secrets.token_urlsafe(32)


def picture_key() -> str:
    return secrets.token_urlsafe(32)


def fingerprint(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
