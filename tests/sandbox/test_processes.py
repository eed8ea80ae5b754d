"""The supervisor in a process of its own, as `chatness up` runs it: it takes the signals of its process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import children

PROGRAM = """
import json, os, pathlib, sys
from sandbox import processes

supervisor = processes.Supervisor(pathlib.Path(sys.argv[1]))
for name, code in json.loads(sys.argv[2]).items():
    supervisor.start(name, [sys.executable, "-u", "-c", code], env=os.environ)
sys.exit(supervisor.run())
"""
WAITS = "import signal; print('ready'); signal.pause()"
REFUSES_TO_STOP = """
import signal
signal.signal(signal.SIGTERM, lambda *_: print('refuses'))
print('ready')
while True:
    signal.pause()
"""
SAYS_GOODBYE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit('goodbye'))
print('ready')
signal.pause()
"""


class Stack:
    """A running supervisor and what it showed."""

    def __init__(self, directory: Path, **programs: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, directory, json.dumps(programs)],
            stderr=(directory / "shown").open("wb"),
            env={**os.environ, "NO_COLOR": "1"},
        )

    @property
    def shown(self) -> str:
        return (self.directory / "shown").read_text()

    def log(self, name: str) -> str:
        path = self.directory / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def child(self, name: str) -> children.Process | None:
        return children.recall(self.directory / f"{name}.pid")

    def await_ready(self, *names: str) -> list[children.Process]:
        await_true(lambda: all("ready" in self.log(name) for name in names))
        return [child for name in names if (child := self.child(name))]


def await_true(condition: Callable[[], bool]) -> None:
    assert children.wait_until(condition, timeout_seconds=20), "not within 20 s"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def start(**programs: str) -> Stack:
        stacks.append(Stack(tmp_path, **programs))
        return stacks[-1]

    yield start
    for stack in stacks:
        stack.process.kill()
        stack.process.wait()


def test_shows_each_line_with_the_name_of_its_process(run):
    stack = run(quota="print('one'); " + WAITS, billing=WAITS)

    stack.await_ready("quota", "billing")

    await_true(lambda: stack.shown.count("ready") == 2)
    assert sorted(stack.shown.splitlines()) == ["billing    ready", "quota      one", "quota      ready"]


def test_restarts_a_process_that_is_killed(run):
    stack = run(quota=WAITS)
    [first] = stack.await_ready("quota")

    os.kill(first.pid, signal.SIGKILL)

    await_true(lambda: stack.log("quota").count("ready") == 2)
    second = stack.child("quota")
    assert second is not None
    assert second != first


def test_waits_longer_after_each_death_in_a_row(run):
    stack = run(quota="print('ready')")

    await_true(lambda: "again in 2 s" in stack.shown)

    assert stack.log("quota").splitlines() == ["ready"] * 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stops_everything_when_told_to(run, number):
    stack = run(quota=WAITS, billing=WAITS)
    family = stack.await_ready("quota", "billing")

    stack.process.send_signal(number)

    assert stack.process.wait(timeout=5) == 0
    assert len(family) == 2
    assert not [child for child in family if child.lives]


def test_stops_the_last_started_first(run):
    stack = run(first=SAYS_GOODBYE, second=SAYS_GOODBYE)
    stack.await_ready("first", "second")

    stack.process.terminate()
    stack.process.wait(timeout=5)

    goodbyes = [line.split()[0] for line in stack.shown.splitlines() if line.endswith("goodbye")]
    assert goodbyes == ["second", "first"]


def test_stops_within_ten_seconds_though_one_refuses_to(run):
    stack = run(quota=WAITS, stubborn=REFUSES_TO_STOP)
    family = stack.await_ready("quota", "stubborn")
    asked_at = time.monotonic()

    stack.process.terminate()
    stack.process.wait(timeout=20)

    assert time.monotonic() - asked_at < 11
    assert not [child for child in family if child.lives]


def test_kills_at_once_when_asked_a_second_time(run):
    stack = run(stubborn=REFUSES_TO_STOP)
    [stubborn] = stack.await_ready("stubborn")

    stack.process.send_signal(signal.SIGINT)
    await_true(lambda: "refuses" in stack.log("stubborn"))
    stack.process.send_signal(signal.SIGINT)

    assert stack.process.wait(timeout=3) == 0
    assert not stubborn.lives


def test_stops_all_with_78_when_one_says_that_its_configuration_is_bad(run):
    stack = run(quota=WAITS, billing="import sys, time; print('STRIPE_API_KEY is not set'); sys.exit(78)")

    assert stack.process.wait(timeout=10) == 78
    assert "billing cannot run: STRIPE_API_KEY is not set" in stack.shown
    assert stack.child("quota") is None


def test_leaves_no_process_behind_when_it_is_killed_itself(run):
    stack = run(quota=WAITS, stubborn=REFUSES_TO_STOP)
    family = stack.await_ready("quota", "stubborn")

    stack.process.kill()

    await_true(lambda: not any(child.lives for child in family))


def test_sleeps_while_nothing_happens(run):
    stack = run(quota="import signal, time; print('ready'); time.sleep(1); print('later'); signal.pause()")
    stack.await_ready("quota")
    before = processor_ticks(stack.process.pid)

    await_true(lambda: "later" in stack.log("quota"))

    assert processor_ticks(stack.process.pid) - before <= 2


def processor_ticks(pid: int) -> int:
    """Hundredths of a second of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
