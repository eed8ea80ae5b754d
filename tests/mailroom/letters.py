"""Mails as programs write them, genuine and forged; the keys are the tests' own, and nobody else's."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dkim

KEYS = Path(__file__).parent / "keys"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SUPPORT = "support@chat.example"
STAFF = "staff@help.example"
ADA = "ada@example.com"

HEAD = {
    "From": "Ada Lovelace <ada@example.com>",
    "To": SUPPORT,
    "Subject": "account exclusion",
    "Date": "Sun, 22 Nov 2026 11:59:00 +0000",
    "Message-ID": "<one@example.com>",
}
SIGNED = ("from", "to", "subject", "date", "message-id")


def mail(body: str = "Please delete it.\r\n", before: str = "", **changes: str | None) -> bytes:
    """
    Unsigned. Changes name fields with underscores; None leaves one out.

    :param before: lines at the top
    """
    head = {**HEAD, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{name}: {value}\r\n" for name, value in head.items() if value is not None]
    return f"{before}{''.join(lines)}\r\n{body}".encode()


def signed(unsigned: bytes | None = None, *, by: str = "example.com", **options: Any) -> bytes:
    """:param by: example.com or evil.example, whose keys there are"""
    unsigned = mail() if unsigned is None else unsigned
    key = (KEYS / f"{'example' if by == 'example.com' else 'evil'}.pem").read_bytes()
    chosen: dict[str, Any] = {"include_headers": SIGNED, **options}
    return bytes(dkim.sign(unsigned, b"test", by.encode(), key, **chosen)) + unsigned


def with_result(result: str, unsigned: bytes | None = None) -> bytes:
    """Below the word of a server."""
    return f"Authentication-Results: {result}\r\n".encode() + (signed() if unsigned is None else unsigned)
