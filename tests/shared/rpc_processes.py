"""Processes of `rpc_example.py`, each with its output in a file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from sandbox import ports
from shared.rpc_client import BlockingClient

ROOT = Path(__file__).parents[2]


class Process:
    def __init__(self, log: Path, amqp_uri: str, *services: str) -> None:
        self._log = log
        self.health_port = ports.free()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.shared.rpc_example", amqp_uri, str(self.health_port), *services],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def health(self, path: str) -> int:
        return requests.get(f"http://127.0.0.1:{self.health_port}{path}", timeout=5).status_code

    def becomes_ready(self, times: int = 1) -> None:
        eventually(lambda: self.log.splitlines().count("ready") >= times, self._log)

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def end(self, timeout_seconds: float = 20) -> int:
        """The exit code, once it has ended by itself."""
        return self._process.wait(timeout_seconds)

    def stop(self) -> int:
        self.terminate()
        return self.end()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


Start = Callable[..., Process]


@contextmanager
def processes(directory: Path) -> Iterator[Start]:
    """A function that starts a process for services; what still runs at the end is killed."""
    started: list[Process] = []

    def start(amqp_uri: str, *services: str) -> Process:
        process = Process(directory / f"{len(started)}-{'-'.join(services)}.log", amqp_uri, *services)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


def eventually(holds: Callable[[], bool], what: object = "", timeout_seconds: float = 20) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not holds():
        assert time.monotonic() < deadline, f"it did not happen: {what}"
        os.sched_yield()
        time.sleep(0.02)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with processes(tmp_path_factory.mktemp("rpc")) as start:
        yield start


def calls_of(client: BlockingClient) -> list[str]:
    calls: list[str] = client.call("example", "list_calls", timeout=5)
    return calls
