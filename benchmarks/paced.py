"""
An open-loop HTTP load: requests at a fixed rate, whatever becomes of those before, in a process of its own.

A request's time runs from the moment at which it was due, not from when a connection was free for it: a server that
stands still for a second makes all requests of that second late, as it does to real clients.
"""

import itertools
import json
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks import load

CONNECTIONS = 128
GRACE_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Answer:
    """:param due_at: when its request was due, in seconds since the epoch"""

    due_at: float
    milliseconds: float
    status: str


def run(
    requests: Sequence[load.Request], *, per_second: float, seconds: float, connections: int = CONNECTIONS
) -> list[Answer]:
    """
    :param requests: sent in turn; all to one port
    :raises subprocess.CalledProcessError: if the server is away, closes a connection or leaves a request unanswered
    """
    pace = {"per_second": per_second, "seconds": seconds, "connections": connections}
    job = json.dumps({"requests": [asdict(each) for each in requests], **pace})
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.paced"],
        input=job,
        cwd=load.REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + 2 * GRACE_SECONDS,
    )
    return [Answer(**each) for each in json.loads(finished.stdout)]


def _measure(
    requests: Sequence[load.Request], *, per_second: float, seconds: float, connections: int
) -> list[Answer]:
    selector = selectors.DefaultSelector()
    free: deque[load.Connection] = deque()
    for _ in range(connections):
        connection = load.Connection(requests[0].port)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        free.append(connection)

    messages = itertools.cycle([request.to_bytes() for request in requests])
    began_at = time.time()
    due = deque(began_at + number / per_second for number in range(int(per_second * seconds)))
    due_of: dict[load.Connection, float] = {}
    answers: list[Answer] = []
    while due or due_of:
        while due and free and due[0] <= time.time():
            connection = free.popleft()
            due_of[connection] = due.popleft()
            connection.send(next(messages))
        if time.time() > began_at + seconds + GRACE_SECONDS:
            raise TimeoutError(f"{len(due_of)} requests are unanswered, {len(due)} are unsent")
        wait = max(0.0, due[0] - time.time()) if due and free else 1.0
        for key, _ in selector.select(timeout=wait):
            connection = key.data
            if status := connection.receive():
                due_at = due_of.pop(connection)
                answers.append(Answer(due_at=due_at, milliseconds=(time.time() - due_at) * 1000, status=status))
                free.append(connection)
    return answers


def main() -> None:
    job = json.load(sys.stdin)
    requests = [load.Request(**each) for each in job["requests"]]
    answers = _measure(requests, per_second=job["per_second"], seconds=job["seconds"], connections=job["connections"])
    json.dump([asdict(answer) for answer in answers], sys.stdout)


if __name__ == "__main__":
    main()
