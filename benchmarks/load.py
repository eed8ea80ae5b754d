"""
An HTTP load generator: keep-alive connections on raw sockets in a process of its own, for 127.0.0.1 only.

It sends the next request as soon as an answer is complete, so that the server is never idle, and it reads no more of
an answer than its status and its length: it must not be the part that is measured.
"""

import itertools
import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

CONNECTIONS = 64
REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Request:
    """:param body: sent as JSON; empty for a request without a body"""

    port: int
    method: str
    path: str
    headers: dict[str, str]
    body: str = ""

    def to_bytes(self) -> bytes:
        headers = {"Host": "127.0.0.1", **self.headers}
        if self.body:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(self.body.encode()))}
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", self.body]).encode()


@dataclass(frozen=True, kw_only=True)
class Load:
    """What came back: how many complete answers, how many by status, how long one took."""

    seconds: float
    answers: int
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        return self.answers / self.seconds

    @property
    def refused(self) -> int:
        return sum(count for status, count in self.statuses.items() if not status.startswith("2"))


def run(requests: Request | Sequence[Request], *, seconds: float, connections: int = CONNECTIONS) -> Load:
    """
    Load a server from another process for this long.

    :param requests: sent in turn, whichever connection is free; all to one port
    :raises subprocess.CalledProcessError: if the server is away or closes a connection
    """
    sent = [requests] if isinstance(requests, Request) else requests
    job = json.dumps({"requests": [asdict(each) for each in sent], "seconds": seconds, "connections": connections})
    command = [sys.executable, "-m", "benchmarks.load"]
    finished = subprocess.run(
        command, input=job, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 30
    )
    return Load(**json.loads(finished.stdout))


class Connection:
    """One keep-alive connection with one request under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.sent_at = 0.0

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> str | None:
        """The status of the answer once it is complete, as `201`."""
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError(f"closed by the server after {self.received!r}")
        self.received += chunk
        head, blank_line, body = self.received.partition(b"\r\n\r\n")
        if not blank_line or len(body) < _content_length(head):
            return None
        self.received = b""
        return head[9:12].decode()


def _content_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0])


def _measure(requests: Sequence[Request], *, seconds: float, connections: int) -> Load:
    selector = selectors.DefaultSelector()
    messages = itertools.cycle([request.to_bytes() for request in requests])
    for _ in range(connections):
        connection = Connection(requests[0].port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(next(messages))

    durations: list[float] = []
    statuses: dict[str, int] = {}
    began_at = time.perf_counter()
    while (now := time.perf_counter()) < began_at + seconds:
        for key, _ in selector.select(timeout=1):
            connection = key.data
            if status := connection.receive():
                statuses[status] = statuses.get(status, 0) + 1
                durations.append(time.perf_counter() - connection.sent_at)
                connection.send(next(messages))
    return _summary(durations, statuses, now - began_at)


def _summary(durations: list[float], statuses: dict[str, int], seconds: float) -> Load:
    percentiles = statistics.quantiles(durations, n=100)
    return Load(
        seconds=seconds,
        answers=len(durations),
        statuses=statuses,
        p50_ms=round(percentiles[49] * 1000, 2),
        p99_ms=round(percentiles[98] * 1000, 2),
    )


def main() -> None:
    job = json.load(sys.stdin)
    requests = [Request(**each) for each in job["requests"]]
    load = _measure(requests, seconds=job["seconds"], connections=job["connections"])
    json.dump(asdict(load), sys.stdout)


if __name__ == "__main__":
    main()
