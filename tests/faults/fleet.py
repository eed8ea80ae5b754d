"""The processes of the counters and of their listener: started, killed, stopped in mid-work; and commands to them."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sandbox import children
from shared import context, database, errors, ids, rpc_client, store
from tests.faults import counting, history
from tests.shared import kernel

ROOT = Path(__file__).parents[2]
ASK_SECONDS = 1.8
TEST_CLIENT = context.Actor(kind="service", id="tests")


@dataclass
class Member:
    """One process. Its log outlives it."""

    name: str
    settings: dict[str, object]
    log: Path
    child: "subprocess.Popen[bytes] | None" = None

    @property
    def lives(self) -> bool:
        return self.child is not None and self.child.poll() is None

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    def start(self, *, fail_at: str = "") -> None:
        assert not self.lives
        command = [sys.executable, "-m", counting.PREFIX, json.dumps({**self.settings, "fail_at": fail_at})]
        with children.log(self.log) as output:
            self.child = children.spawn(command, env=os.environ, directory=ROOT, output=output)

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()

    def restart(self, *, fail_at: str = "") -> None:
        self.kill()
        self.start(fail_at=fail_at)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It stands still, with all its connections and locks, until the end of the block."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


@dataclass
class Fleet:
    """
    :param counting: the counters' database, `listening` the listener's; both as the tests reach them
    :param urls: the databases' URLs and `amqp_uri` as the processes reach them, by role: through a proxy perhaps
    :param amqp_uri: the broker as the tests reach it
    """

    directory: Path
    counting: database.Database
    listening: database.Database
    urls: dict[str, dict[str, str]]
    amqp_uri: str
    members: dict[str, Member] = field(default_factory=dict)
    acknowledged: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    slowest_seconds: float = 0.0
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def add(self, name: str, role: str, **settings: object) -> Member:
        given = {
            "role": role,
            "clock": str(self.directory / "clock.json"),
            "effects": str(self.effects),
            "mended": str(self.mended),
            **self.urls[role],
            **settings,
        }
        member = self.members[name] = Member(name, given, self.directory / f"{name}.log")
        return member

    @property
    def vhost(self) -> str:
        return urlsplit(self.amqp_uri).path[1:]

    @property
    def effects(self) -> Path:
        return self.directory / "effects"

    @property
    def mended(self) -> Path:
        return self.directory / "mended"

    def start(self) -> None:
        for member in self.members.values():
            member.start()

    def stop(self) -> None:
        for member in self.members.values():
            member.kill()

    def add_up(self, stream: str, *amounts: int, with_job: bool = False) -> None:
        """
        One command, asked again with its id until somebody answers; each amount stands for one event.

        By default the amounts are the next number that none has had before, so that each event can be told apart.
        """
        chosen = amounts or (next(self._numbers),)
        command_id = ids.new("cmd")
        deadline = time.monotonic() + 60
        while not self._ask(command_id, stream, chosen, with_job=with_job):
            assert time.monotonic() < deadline, f"no answer to {command_id}"
            time.sleep(0.05)
        self.acknowledged.append((stream, chosen))

    def write(self, stream: str) -> None:
        """One event, appended here and not by a process of the fleet."""
        number = next(self._numbers)
        while True:
            try:
                kernel.add(self.counting, stream, number)
                break
            except store.VersionConflict:
                continue
        self.acknowledged.append((stream, (number,)))

    def _ask(self, command_id: str, stream: str, amounts: Sequence[int], *, with_job: bool) -> bool:
        started = time.monotonic()
        try:
            with rpc_client.BlockingClient(self.amqp_uri) as client, context.use(actor=TEST_CLIENT):
                answer = client.call(
                    *("counting", "add"),
                    timeout=ASK_SECONDS,
                    command_id=command_id,
                    stream=stream,
                    amounts=list(amounts),
                    with_job=with_job,
                )
        except errors.Unavailable:
            return False
        except errors.Conflict as refusal:
            if refusal.code != "idempotency_in_progress":
                raise
            return False
        finally:
            self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - started)
        if with_job:
            self.jobs.add(answer["job_id"])
        return True

    def history(self, tap: "history.Tap | None" = None) -> history.History:
        listener = kernel.Listener(self.listening)
        consumer = history.Consumer(
            service="listening", home=self.listening, handled=frozenset({kernel.Added.name}), effects=listener.heard
        )
        return history.History(
            producer="counting",
            home=self.counting,
            catalogue=kernel.CATALOGUE,
            consumers=[consumer],
            delivered=(lambda: tap.counts) if tap else None,
        )

    def assert_acknowledged_once(self) -> None:
        """Every command that was answered is in its stream, once, and nothing else is."""
        streams = {stream for stream, _ in self.acknowledged}
        for stream in streams:
            asked = sorted(amount for one, amounts in self.acknowledged if one == stream for amount in amounts)
            facts = [event.fact(kernel.CATALOGUE) for event in kernel.read(self.counting, stream)]
            written = sorted(fact.by for fact in facts if isinstance(fact, kernel.Added))
            assert written == asked, f"{stream}: asked for {asked}, written {written}"

    def settle_jobs(self, *, most_repeats: int, seconds: float = 30.0) -> None:
        """Each job that was promised has its effect; again only where a process died between effect and mark."""
        kernel.eventually(lambda: self.jobs <= set(self.done()), "all jobs are done", timeout_seconds=seconds)
        repeats = len(self.done()) - len(set(self.done()))
        assert repeats <= most_repeats, f"{repeats} effects came again, {most_repeats} at most were interrupted"

    def done(self) -> list[str]:
        """The job of each effect."""
        return self.effects.read_text().split() if self.effects.exists() else []
