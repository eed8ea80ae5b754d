"""
People and programs who use a stack while things happen to it, and remember every answer. What was not answered is
asked again with its id, as the API tells them to.
"""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

from ops import client
from tests.stack.stacks import Org, eventually

ANSWER_SECONDS = 2.0
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
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

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
        assert self.faults == []

    def statuses(self, *, since: float = 0.0) -> Counter[int]:
        return Counter(answer.status for answer in self.answers if answer.at >= since)

    def is_served(self, *, seconds: float = 15.0) -> None:
        """Waits until twenty more commands are done. :raises AssertionError: if they are not"""
        before = self.statuses()[201]
        eventually(lambda: self.statuses()[201] > before + 20, "nobody is served", seconds=seconds)

    def slowest(self) -> Answer:
        return max(self.answers, key=lambda answer: answer.seconds)

    def assert_answers_are_sound(self) -> None:
        """No bug was answered, and nobody waited longer than the deadline."""
        assert set(self.statuses()) <= {200, 201, 503}, self.statuses()
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
        message = f"msg_load_{next(self._numbers)}"
        body = {"bot_id": self.org.bot_id, "id": message}
        self._until_answered("message", lambda: program.ask("POST", "/v1/messages", body))
        self.messages.append(message)

    def _rename_bot(self, owner: client.Api, _program: client.Api) -> None:
        name = f"Bot {next(self._numbers)}"
        key = {"Idempotency-Key": name.replace(" ", "-")}
        path = f"/v1/bots/{self.org.bot_id}"
        self._until_answered("rename", lambda: owner.ask("PATCH", path, {"name": name}, headers=key))
        self.names.append(name)

    def _look_at_usage(self, _owner: client.Api, program: client.Api) -> None:
        self._until_answered("usage", lambda: program.ask("GET", "/v1/usage"))

    def _until_answered(self, what: str, ask: Callable[[], requests.Response]) -> Any:
        first_asked_at = time.monotonic()
        while True:
            started = time.monotonic()
            answer = ask()
            ended = time.monotonic()
            self.answers.append(Answer(what, answer.status_code, ended - started, ended))
            if answer.status_code == 409 and answer.json()["code"] == "idempotency_in_progress":
                self.answers.pop()  # the first, whose answer was given up, is still under way: as it should be
            elif answer.status_code != 503:
                assert answer.ok, answer.text
                return answer.json()
            assert ended < first_asked_at + self.resolve_seconds, f"{what}: no answer but {answer.text}"
            time.sleep(REFUSED_PAUSE_SECONDS)
