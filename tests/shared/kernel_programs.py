"""
Programs that end in the middle of something, to be run as processes of their own.

    python -m tests.shared.kernel_programs take DATABASE_URL LOG_FILE POSITION
        applies a log, and is killed while it handles the event at a position
    python -m tests.shared.kernel_programs redrive DATABASE_URL STREAM VERSION
        redrives a parked stream, and is killed while it handles the event of a version
    python -m tests.shared.kernel_programs redrive_unreadable DATABASE_URL VERSION
        the same at a worker's start, with a release that can read everything
    python -m tests.shared.kernel_programs replay DATABASE_URL LOG_URL MODE AT
        replays all of a log, and is killed when so many batches are applied
    python -m tests.shared.kernel_programs add DATABASE_URL STREAM
        appends an event, and is killed when it is committed
    python -m tests.shared.kernel_programs job DATABASE_URL
        takes a job, and is killed while it does it
"""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Never

from shared import clock, database, envelope, failpoints, jobs, parking
from tests.shared import kernel

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> int:
    """The exit code of one of the programs: that of SIGKILL is -9."""
    command = [sys.executable, "-m", "tests.shared.kernel_programs", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, timeout=60, stderr=subprocess.DEVNULL).returncode


def take(home: database.Database, log_file: str, position: str) -> None:
    log = [envelope.from_json(document) for document in json.loads(Path(log_file).read_text())]

    def failing(_fact: kernel.Added, event: envelope.Envelope) -> None:
        if event.position == int(position):
            die()

    kernel.Listener(home, failing).inbox.take(log)


def redrive(home: database.Database, stream: str, version: str) -> None:
    parking.redrive(kernel.Listener(home, _dying_at(version)).inbox, stream)


def redrive_unreadable(home: database.Database, version: str) -> None:
    parking.redrive_unreadable(kernel.Listener(home, _dying_at(version)).inbox, threading.Event())


def replay_all(home: database.Database, log_url: str, mode: str, at: str) -> None:
    failpoints.arm("replay.committed", at=int(at))
    listener = kernel.Listener(home)
    box = listener.totals if mode == "again" else listener.inbox
    kernel.replay_all(box, database.Database(log_url, clock.Clock()), mode)


def _dying_at(version: str) -> Any:
    def failing(_fact: kernel.Added, event: envelope.Envelope) -> None:
        if event.version == int(version):
            die()

    return failing


def add(home: database.Database, stream: str) -> None:
    kernel.add(home, stream, 1)
    die()


def job(home: database.Database) -> None:
    def do(_job_id: str, _payload: dict[str, Any]) -> None:
        die()

    jobs.Runner(home, {"mail": do}).run_due(threading.Event())


def die() -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody survives this")


if __name__ == "__main__":
    program, url, *rest = sys.argv[1:]
    programs = {
        "take": take,
        "redrive": redrive,
        "redrive_unreadable": redrive_unreadable,
        "replay": replay_all,
        "add": add,
        "job": job,
    }
    programs[program](database.Database(url, clock.Clock()), *rest)
