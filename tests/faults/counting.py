"""
The counters and their listener as real processes, for the fault programmes.

    python -m tests.faults.counting SETTINGS

SETTINGS is a JSON object: `role` (`serve`: the counters' doors; `counting`, `listening`: a worker), `database_url`,
`amqp_uri`, `clock`, `effects` (a file to which each job's effect adds a line), `fail_at` (`PLACE:COUNT`, or empty),
`mended` (a file without which the listener misbehaves where an amount asks for it), and where
they differ from the kernel's own `handler_seconds` and `answer_seconds`.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from shared import serve

RAISES, KILLS, HANGS = -1, -2, -3  # amounts at which the listener's handler misbehaves
PREFIX = "tests.faults.counting"


def main(given: dict[str, Any]) -> int:
    if given["role"] == "serve":
        serve.green()
    from shared import failpoints, logs

    logs.configure(given["role"])
    if given.get("fail_at"):
        place, at = failpoints.parse(given["fail_at"])
        failpoints.arm(place, at=at)
    return _serve(given) if given["role"] == "serve" else _work(given)


def _serve(given: dict[str, Any]) -> int:
    from services import access
    from shared import doors, jobs, store
    from tests.shared import kernel

    class Counting(doors.Service):
        name = "counting"

        @doors.command("profiles:read", answer=lambda _session, **ids: ids)
        def add(self, session: Any, stream: str, amounts: list[int], with_job: bool) -> dict[str, Any]:
            facts = [kernel.Added(by=amount) for amount in amounts]
            total = store.execute(session, stream, kernel.COUNTER, lambda _total: facts)
            job_id = jobs.add(session, "note", {}, subject="org_1") if with_job else ""
            return {"total": total, "job_id": job_id}

    house = doors.House(database=_database(given), authorise=access.check, fingerprint_key=b"k" * 32, settings=None)
    return serve.serve([Counting], amqp_uri=given["amqp_uri"], config={"houses": {"counting": house}})


def _work(given: dict[str, Any]) -> int:
    from shared import consumer, inbox, watchdog, worker
    from tests.shared import kernel

    inbox.HANDLER_SECONDS = given.get("handler_seconds", inbox.HANDLER_SECONDS)
    consumer.ANSWER_SECONDS = given.get("answer_seconds", consumer.ANSWER_SECONDS)
    home = _database(given)
    if given["role"] == "counting":
        work = worker.Work(service="counting", jobs={"note": lambda job_id, _payload: _effect(given, job_id)})
    else:
        listener = kernel.Listener(home, lambda fact, _event: _misbehave(fact.by, Path(given["mended"])))
        work = worker.Work(service="listening", hears=[listener.hears])
    running = worker.Worker(work, home, given["amqp_uri"])
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    watchdog.start()
    running.start()
    stopping.wait()
    running.stop()
    return 0


def _database(given: dict[str, Any]) -> Any:
    from ops import processes
    from shared import clock, database

    limits = processes.WORKER_LIMITS if given["role"] != "serve" else {}
    return database.Database(given["database_url"], clock.Clock(Path(given["clock"])), **limits)


def _effect(given: dict[str, Any], job_id: str) -> None:
    with Path(given["effects"]).open("a") as effects:
        effects.write(f"{job_id}\n")


def _misbehave(amount: int, mended: Path) -> None:
    if amount >= 0 or mended.exists():
        return
    if amount == RAISES:
        raise RuntimeError("a bug")
    if amount == KILLS:
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
