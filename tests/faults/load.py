"""
People and programs who use a stack while things happen to it, and remember every answer. What was not answered is
asked again with its id, as the API tells them to.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from ops import client
from shared import ids
from tests.stack.stacks import Org, eventually

ANSWER_SECONDS = 2.0
NOBODY = 0  # the status of an answer that never came, because the connection ended
PAUSE_SECONDS = 0.01
REFUSED_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    what: str
    status: int
    seconds: float
    at: float  # when it was there, on the monotonic clock


@dataclass
class Load:
    """
    :param messages: the ids of those that were counted, as `names` are those that the bot was given
    :param resolve_seconds: how long something is asked again before it counts as never answered
    """

    org: Org
    answers: list[Answer] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    resolve_seconds: float = 60.0
    _stopping: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def going_on(self, *, programs: int = 3) -> Iterator["Load"]:
        """Until the end of the block, and until everything that was asked has its answer."""
        workers = [self._send_messages] * programs + [self._rename_bot, self._look_at_usage]
        threads = [threading.Thread(target=self._work, args=[work]) for work in workers]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(self.resolve_seconds + 10)
            self.faults += [f"{thread.name} never ended" for thread in threads if thread.is_alive()]
        assert self.faults == []

    def statuses(self, *, since: float = 0.0) -> Counter[int]:
        return Counter(answer.status for answer in self.answers if answer.at >= since)

    def is_served(self, *, seconds: float = 15.0) -> None:
        """Waits until twenty more commands are done. :raises AssertionError: if they are not"""
        before = self.statuses()[201]
        eventually(lambda: self.statuses()[201] > before + 20, "nobody is served", seconds=seconds)

    def slowest(self) -> Answer:
        return max(self.answers, key=lambda answer: answer.seconds)

    def assert_answers_are_sound(self, *, cut: bool = False) -> None:
        """
        No bug was answered, and nobody waited longer than the deadline.

        :param cut: whether connections to the gateway may have been cut
        """
        assert set(self.statuses()) <= {200, 201, 409, 503, *([NOBODY] if cut else [])}, self.statuses()
        slowest = self.slowest()
        assert slowest.seconds < ANSWER_SECONDS, slowest

    def assert_nothing_lost_and_nothing_done_twice(self) -> None:
        """Each message that was asked for is counted once, and each name was given once."""
        counted = Counter(self._facts("quota.MessageRecorded", "message_id"))
        ours = {message: counted[message] for message in self.messages}
        assert set(ours.values()) <= {1}, {message: times for message, times in ours.items() if times != 1}
        renamed = self.org.stack.rows(
            "quota", "SELECT data->>'name' AS name FROM personal WHERE id = :id", id=self.org.bot_id
        )
        given = Counter(row.name for row in renamed)
        assert all(given[name] == 1 for name in self.names), given

    def _facts(self, name: str, member: str) -> list[str]:
        found = f"SELECT convert_from(data, 'UTF8')::json->>'{member}' AS it FROM events WHERE name = :name"
        of_org = f"{found} AND stream LIKE :stream"
        return [row.it for row in self.org.stack.rows("quota", of_org, name=name, stream=f"%{self.org.id}%")]

    def _work(self, ask_next: Callable[[client.Api, client.Api], None]) -> None:
        owner = client.Api(self.org.stack.url, self.org.owner.token)
        program = client.Api(self.org.stack.url, self.org.program.token)
        try:
            while not self._stopping.is_set():
                ask_next(owner, program)
                time.sleep(PAUSE_SECONDS)
        except Exception as fault:  # noqa: BLE001  # a thread's own death would go unnoticed
            self.faults.append(f"{ask_next.__name__}: {fault!r}")

    def _send_messages(self, _owner: client.Api, program: client.Api) -> None:
        message = ids.new("msg")
        body = {"bot_id": self.org.bot_id, "id": message}
        self._until_answered("message", lambda: program.ask("POST", "/v1/messages", body))
        self.messages.append(message)

    def _rename_bot(self, owner: client.Api, _program: client.Api) -> None:
        name = ids.new("bot")
        key = {"Idempotency-Key": name}
        path = f"/v1/bots/{self.org.bot_id}"
        self._until_answered("rename", lambda: owner.ask("PATCH", path, {"name": name}, headers=key))
        self.names.append(name)

    def _look_at_usage(self, _owner: client.Api, program: client.Api) -> None:
        self._until_answered("usage", lambda: program.ask("GET", "/v1/usage"))

    def _until_answered(self, what: str, ask: Callable[[], requests.Response]) -> None:
        first_asked_at = time.monotonic()
        while True:
            started = time.monotonic()
            answer = _ask(ask)
            ended = time.monotonic()
            self.answers.append(Answer(what, answer.status, ended - started, ended))
            if 200 <= answer.status < 300:
                return
            # NOBODY: the gateway itself is away. In progress: the first, whose answer was given up, is under way.
            asked_again = answer.status in (NOBODY, 503) or answer.code == "idempotency_in_progress"
            assert asked_again, f"{what}: {answer}"
            assert ended < first_asked_at + self.resolve_seconds, f"{what}: nothing but {answer}"
            time.sleep(REFUSED_PAUSE_SECONDS)


@dataclass(frozen=True)
class _Heard:
    status: int
    code: str


def _ask(ask: Callable[[], requests.Response]) -> _Heard:
    try:
        answer = ask()
    except requests.ConnectionError:
        return _Heard(NOBODY, "")
    return _Heard(answer.status_code, "" if answer.ok else answer.json()["code"])
