"""Questions whose answers may be long in coming: each is asked once at a time, and waited for a moment only."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from shared import threads

Found = TypeVar("Found")
Spawn = Callable[[Callable[[], None]], None]


class NoAnswer(Exception):
    """It is not known now: the asking failed, or takes too long."""


class Probe(Generic[Found]):
    """
    :param ask: may fail or hang; however many want to know, it runs once at a time
    :param fresh_seconds: how long an answer is kept; a failure is kept as long
    :param spawn: lets it run beside; by default in a thread of the operating system
    """

    def __init__(
        self,
        ask: Callable[[], Found],
        *,
        fresh_seconds: float = 0.0,
        spawn: Spawn = threads.spawn,
    ) -> None:
        self._ask = ask
        self._fresh_seconds = fresh_seconds
        self._spawn = spawn
        self._turn = threads.real("threading").Lock()
        self._answered = threads.real("threading").Event()
        self._asking = False
        self._asked_at = float("-inf")
        self._found: Found | NoAnswer = NoAnswer("never asked")

    def start(self) -> None:
        """Begin to ask, unless somebody does already or the last answer is fresh."""
        with self._turn:
            if self._asking or time.monotonic() - self._asked_at < self._fresh_seconds:
                return
            self._asking = True
            self._answered.clear()
        self._spawn(self._run)

    def answer(self, *, until: float) -> Found:
        """
        :param until: on the monotonic clock
        :raises NoAnswer: if it failed, or has not come by then
        """
        self.start()
        if not self._answered.wait(max(0.0, until - time.monotonic())):
            raise NoAnswer("no answer in time")
        found = self._found
        if isinstance(found, NoAnswer):
            raise found
        return found

    def _run(self) -> None:
        try:
            self._end(self._ask())
        except Exception as error:  # noqa: BLE001  # whatever it is, there is no answer
            self._end(NoAnswer(type(error).__name__))

    def _end(self, found: Found | NoAnswer) -> None:
        with self._turn:
            self._found, self._asked_at, self._asking = found, time.monotonic(), False
        self._answered.set()
