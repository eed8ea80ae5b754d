"""Requests that are nearly right, cut and changed at random: each is answered as it should be, and none does harm."""

import os
import random
import re
import socket
import time
from contextlib import suppress

import pytest

from tests.gateway import examples
from tests.gateway.sockets import Site, authorised, site

__all__ = ["site"]

SEED = 20261124
STATUSES = {b"200", b"201", b"204", b"304", *(b"4%02d" % number for number in range(100)), b"505"}
BYTES = [b"\r", b"\n", b"\0", b"\xff", b" ", b"\t", b":", b"%00", b'"', b"{", b"[", b"\\ud800", b"1e999", b"HTTP/1.1"]
HEADERS = [
    b"Content-Length: 19",
    b"Content-Length: 1000000000000",
    b"Content-Length: -1",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Expect: 100-continue",
    b"Connection: keep-alive, close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Accept: ;;;q=x",
    b"Accept: */*;q=1e999",
    b"Range: bytes=0-",
    b"If-None-Match: \xff",
    b'If-Match: "',
    b"Idempotency-Key: \x7f",
    b"Request-Id: " + b"x" * 5000,
    b"Cookie: " + b"a=b; " * 500,
    b"Content-Type: application/json; charset=\xff",
    b"Content-Type: multipart/form-data; boundary=x",
    b"Content-Encoding: br",
    b"X: " + b"y" * 10_000,
]
TARGETS = [
    b"/v1/things",
    b"/v1/things/thing_1",
    b"/v1/things?limit=5&cursor=%00",
    b"/v1/things?" + b"a=b&" * 2000,
    b"/v1/noop",
    b"/openapi.json",
    b"/docs",
    b"/docs/../v1/things",
    b"/v1/things/%e0%80%80",
    b"*",
    b"http://a:b@c/v1/things",
    b"/" + b"a/" * 4000,
]
METHODS = [b"GET", b"POST", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"X" * 30]
BODIES = [
    b'{"bot_id": "bot_1"}',
    b'{"bot_id": 1e400}',
    b'{"bot_id": "\\ud800"}',
    b'{"bot_id": ' + b"9" * 5000 + b"}",
    b"[" * 5000,
    b"5\r\nhello\r\n0\r\n\r\n",
    b"\x1f\x8b\x08\x00",
    b"",
]


def request(chance: random.Random) -> bytes:
    """One that is right but for what chance puts into it."""
    body = chance.choice(BODIES)
    lines = [
        b"%s %s HTTP/1.1" % (chance.choice(METHODS), chance.choice(TARGETS)),
        b"Host: 127.0.0.1",
        b"Authorization: Bearer " + examples.OWNER.encode(),
        b"Content-Type: application/json",
        *chance.sample(HEADERS, chance.randrange(3)),
    ]
    if chance.random() < 0.7:
        lines.append(b"Content-Length: %d" % len(body))
    made = bytearray(b"\r\n".join([*lines, b"", b""]) + body)
    for _ in range(chance.choice([0, 0, 0, 1, 2, 5])):
        place = chance.randrange(len(made))
        made[place : place + chance.randrange(3)] = chance.choice(BYTES)
    return bytes(made[: chance.choice([len(made), len(made), len(made), chance.randrange(len(made))])])


def statuses_of(site: Site, sent: bytes) -> list[bytes]:
    """The statuses of all answers to these bytes, after which the client says no more."""
    answered = bytearray()
    with site.connect() as connection:
        with suppress(OSError):  # it may be refused before we have said all
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        try:
            while piece := connection.recv(65_536):
                answered += piece
        except ConnectionResetError:
            pass
    assert b"HTTP/1.0" not in answered, sent  # eventlet's own refusals, without a problem document
    return re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answered)  # no anchor: a body does not end with a line


def fuzz(site: Site, seed: int, *, requests: int) -> None:
    chance = random.Random(seed)
    for number in range(requests):
        sent = b"".join(request(chance) for _ in range(chance.choice([1, 1, 2])))
        began_at = time.monotonic()
        statuses = statuses_of(site, sent)
        assert statuses or not sent.strip(b"\r\n"), (number, sent)
        assert set(statuses) - {b"100"} <= STATUSES, (number, sent)
        assert time.monotonic() - began_at < 10, (number, sent)


def resident_bytes(site: Site) -> int:
    with open(f"/proc/{site.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def assert_unharmed(site: Site) -> None:
    assert statuses_of(site, authorised("Connection: close")) == [b"201"]
    log = site.log.read_text()
    assert "Traceback" not in log
    assert "exception" not in log
    assert examples.OWNER not in log


@pytest.mark.pure
def test_whatever_is_sent_gets_an_answer_that_is_no_500(site: Site) -> None:
    fuzz(site, SEED, requests=600)

    assert_unharmed(site)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_whatever_is_sent_for_long_leaves_the_process_as_large_as_it_was(site: Site) -> None:
    fuzz(site, SEED, requests=5_000)
    before = resident_bytes(site)

    fuzz(site, SEED + 1, requests=50_000)

    assert_unharmed(site)
    assert resident_bytes(site) < before * 1.3
