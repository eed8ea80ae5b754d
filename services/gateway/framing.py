"""
The head of a request, read strictly (RFC 9112): what another server in front of us could read differently is refused.
"""

import re
from email.message import Message
from typing import Any

REQUEST_LINE = re.compile(rb"[A-Z]{1,20} (?P<target>[!-~]+) HTTP/(?P<version>[0-9]\.[0-9])\r\n")
VERSIONS = {b"1.0", b"1.1"}
EMPTY_LINE = b"\r\n"
# Python's parser takes a first line `From …` for no header and drops it.
FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:")
ABSOLUTE = re.compile(r"https?://[^/?]*/?", re.IGNORECASE)
LENGTH = re.compile(r"[0-9]{1,15}")
HOST = re.compile(r"[A-Za-z0-9._:\[\]-]*")
# Of these one is read; a server in front of us might have read another.
SINGLE = {"host", "content-length", "content-type", "transfer-encoding", "authorization", "idempotency-key"}


class Head:
    """The lines of a request's head. Python's parser would read on over what other servers see as an end."""

    class Fault(ValueError):
        """In a sentence for the client."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readline(self, size: int = -1) -> bytes:
        """:raises Fault: at a line that two servers could read in two ways"""
        line: bytes = self._file.readline(size)
        if not line.endswith(b"\n"):
            raise self.Fault("The head broke off.")
        if not line.endswith(b"\r\n"):
            raise self.Fault("A line of the head does not end with CR LF.")
        if line[0] in b" \t" or b"\0" in line or b"\r" in line[:-2]:
            raise self.Fault("A header goes on in another line, or contains a control character.")
        if line != EMPTY_LINE and not FIELD.match(line):
            raise self.Fault("A line among the headers is no header.")
        return line.rstrip(b" \t\r\n") + b"\r\n"  # space around a value is none of it


def fault(headers: Message, version: str) -> str | None:
    """Why this request is not certain to be read by others as by us: a sentence for the client, or None."""
    return _framing_fault(headers, version) or _host_fault(headers, version)


def path(target: bytes) -> str:
    """What a request is for. Whose address it is makes no difference to us."""
    text = target.decode("ascii")
    return text if text.startswith("/") else ABSOLUTE.sub("/", text, count=1)


def _framing_fault(headers: Message, version: str) -> str | None:
    """Why it is not certain where this request's body ends: the ways in which one request is smuggled in another."""
    seen = set()
    for given, value in headers.items():
        name = given.lower()
        if name in SINGLE and name in seen:
            return f"{given} must stand there once."
        seen.add(name)
        if name == "content-length" and not LENGTH.fullmatch(value):
            return "Content-Length must be a number."
        if name == "transfer-encoding" and value.lower() != "chunked":
            return "Only the transfer encoding `chunked` is understood."
    if version == "HTTP/1.0" and "transfer-encoding" in seen:
        return "This version of HTTP knows no Transfer-Encoding."
    if seen >= {"content-length", "transfer-encoding"}:
        return "A body has a Content-Length or comes in chunks, not both."
    return None


def _host_fault(headers: Message, version: str) -> str | None:
    host = headers["Host"]
    if host is None:
        return None if version == "HTTP/1.0" else "A request names its Host."
    return None if HOST.fullmatch(host) else "This is no Host."
