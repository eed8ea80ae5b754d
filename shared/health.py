"""
/livez, /readyz and /metrics on a port of their own, answered by real threads: also while a green process is held up.

Live: it can still make progress; if not, only an end helps. Ready: every part says so, or with `?part=` those asked
for. Each answer comes within a few seconds, whatever is away, and no client can hold up another.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import parse_qs

from shared import config, metrics, probes, threads

CLIENTS_AT_ONCE = 8
CLIENT_SECONDS = 2.0  # for a client to ask, and again to take the answer
PATIENCE_SECONDS = 2.0  # for everything that is looked up for one answer
HEAD_BYTES = 8192

Checks = Mapping[str, Callable[[], bool]]


class Source(Protocol):
    """Figures that are looked up at a scrape."""

    def start(self) -> None:
        """Begin to look."""

    def show(self, *, until: float) -> None:
        """Set the gauges, or remove them if there is no answer by then. Never raises."""


@dataclass(frozen=True)
class Answer:
    status: str
    content: bytes
    content_type: str = "application/json"


def serve(
    port: int,
    checks: Checks,
    *,
    host: str = "127.0.0.1",
    stuck: Callable[[], Sequence[str]] = tuple,
    sources: Sequence[Source] = (),
    spawn: probes.Spawn = threads.spawn,
) -> None:
    """
    Answer in the background; with port 0 not at all.

    :param checks: the parts of /readyz; each may fail or hang
    :param stuck: names what can no longer make progress; must answer at once
    :param sources: what /metrics shows beside what was counted
    :param spawn: lets a check run where it may, see `probes`
    :raises BadConfiguration: if the port is taken, or the address not ours
    """
    if port == 0:
        return
    page = _Page(checks, stuck, sources, spawn)
    socket = threads.real("socket")
    try:
        listener = socket.create_server((host, port), backlog=64)
    except OSError as error:
        raise config.BadConfiguration(
            f"CHATNESS_HEALTH_HOST, CHATNESS_HEALTH_PORT: no listening on {host}:{port}: {error.strerror}"
        ) from None
    threads.spawn(partial(_listen, listener, page), name="health")


class _Page:
    def __init__(
        self, checks: Checks, stuck: Callable[[], Sequence[str]], sources: Sequence[Source], spawn: probes.Spawn
    ) -> None:
        self._checks = {name: probes.Probe(check, spawn=spawn) for name, check in checks.items()}
        self._stuck = stuck
        self._sources = sources
        self._one_scrape = threads.real("threading").Lock()

    def get(self, path: str, query: str) -> Answer:
        if path == "/livez":
            return self._live()
        if path == "/readyz":
            return self._readyz(parse_qs(query, keep_blank_values=True).get("part", [*self._checks]))
        if path == "/metrics":
            return self._metrics()
        return Answer("404 Not Found", b"{}")

    def _live(self) -> Answer:
        stuck = self._stuck()
        return _json({"live": False, "stuck": list(stuck)} if stuck else {"live": True}, ok=not stuck)

    def _readyz(self, parts: Collection[str]) -> Answer:
        if not self._checks.keys() >= set(parts):
            return Answer("404 Not Found", b"{}")
        found = self._ready(parts, time.monotonic() + PATIENCE_SECONDS)
        return _json(found, ok=all(found.values()))

    def _ready(self, parts: Iterable[str], until: float) -> dict[str, bool]:
        asked = {name: self._checks[name] for name in parts}
        for probe in asked.values():
            probe.start()
        return {name: _passes(probe, until) for name, probe in asked.items()}

    def _metrics(self) -> Answer:
        """Looks up what it shows; if another scrape is still looking, the page as that one left it so far."""
        if self._one_scrape.acquire(timeout=PATIENCE_SECONDS):
            try:
                self._look_up(time.monotonic() + PATIENCE_SECONDS)
            finally:
                self._one_scrape.release()
        return Answer("200 OK", metrics.page(), metrics.CONTENT_TYPE)

    def _look_up(self, until: float) -> None:
        for source in self._sources:
            source.start()
        for part, ready in self._ready(self._checks, until).items():
            metrics.READY.labels(part).set(ready)
        for source in self._sources:
            source.show(until=until)


def _listen(listener: Any, page: _Page) -> None:
    threading = threads.real("threading")
    room, moment = threading.Semaphore(CLIENTS_AT_ONCE), threading.Event()

    def answer(client: Any) -> None:
        try:
            with client, suppress(OSError):
                _answer(client, page)
        finally:
            room.release()

    while True:
        try:
            client, _address = listener.accept()
        except OSError:
            moment.wait(0.1)  # such as no file left to open
            continue
        room.acquire()
        threads.spawn(partial(answer, client), name="health client")


def _answer(client: Any, page: _Page) -> None:
    """One request, one answer, and the connection's end."""
    method, _, rest = _head(client).partition(b" ")
    target, _, version = rest.split(b"\r\n", 1)[0].partition(b" ")
    if not version.startswith(b"HTTP/1."):
        answer = Answer("400 Bad Request", b"{}")
    elif method != b"GET":
        answer = Answer("405 Method Not Allowed", b"{}")
    else:
        path, _, query = target.decode("latin-1").partition("?")
        answer = page.get(path, query)
    head = (
        f"HTTP/1.1 {answer.status}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.content)}\r\n"
        "Cache-Control: no-store\r\n"
        f"{'Allow: GET' if answer.status.startswith('405') else 'X-Content-Type-Options: nosniff'}\r\n"
        "Connection: close\r\n\r\n"
    )
    client.settimeout(CLIENT_SECONDS)
    client.sendall(head.encode() + answer.content)


def _head(client: Any) -> bytes:
    """:raises TimeoutError: if it does not come to its end in time, however the bytes drip in"""
    until = time.monotonic() + CLIENT_SECONDS
    head = b""
    while b"\r\n\r\n" not in head and len(head) < HEAD_BYTES:
        client.settimeout(max(0.001, until - time.monotonic()))
        if time.monotonic() >= until or not (received := client.recv(4096)):
            raise TimeoutError
        head += received
    return head


def _passes(probe: probes.Probe[bool], until: float) -> bool:
    try:
        return bool(probe.answer(until=until))
    except probes.NoAnswer:
        return False


def _json(document: dict[str, Any], *, ok: bool) -> Answer:
    return Answer("200 OK" if ok else "503 Service Unavailable", json.dumps(document).encode())
