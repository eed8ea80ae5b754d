"""
Ends the process when a piece of work does not end. A thread that hangs cannot be stopped, only its process; whoever
starts it again finds in the database that this was tried, and after three tries goes on without it.

And knows which threads still go on, for /livez: each says so at every turn of its work.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from shared import logs

EX_SOFTWARE = 70  # sysexits.h: an internal software error
LOOK_SECONDS = 0.5
LAST_WORDS_SECONDS = 1.0
STUCK_SECONDS = 300.0  # more than any turn takes: a job may take 110 s, and a database that is away some ten
log = logs.logger(__name__)


@dataclass(frozen=True)
class Work:
    name: str
    until: float  # on the monotonic clock
    seconds: float


# By thread, each of which writes its own entry only.
_at_work: dict[int, Work] = {}
_next_turn: dict[int, float] = {}  # on the monotonic clock


@contextmanager
def limit(seconds: float, name: str) -> Iterator[None]:
    """The block must end in time, where a watch is kept. Blocks of one thread do not nest."""
    go_on()
    thread = threading.get_ident()
    _at_work[thread] = Work(name, time.monotonic() + seconds, seconds)
    try:
        yield
    finally:
        del _at_work[thread]


def go_on(*, rest_seconds: float = 0.0) -> None:
    """The calling thread is at its next turn, or rests before it for so long."""
    _next_turn[threading.get_ident()] = time.monotonic() + rest_seconds


def stuck(among: Iterable[threading.Thread]) -> list[str]:
    """The names of those that have ended, or not gone on for so long that they never will."""
    now = time.monotonic()
    return [
        thread.name
        for thread in among
        if not thread.is_alive() or now - _next_turn.get(thread.ident or 0, now) > STUCK_SECONDS
    ]


def start() -> None:
    """Keep watch over this process from now on."""
    threading.Thread(target=_watch, name="watchdog", daemon=True).start()


def _watch() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        now = time.monotonic()
        for thread, work in list(_at_work.items()):
            if now > work.until:
                _end(thread, work)


def _end(thread: int, work: Work) -> None:
    frame = sys._current_frames().get(thread)
    where = traceback.format_stack(frame) if frame else []
    last_words = threading.Thread(target=_say, args=(work, where), daemon=True)
    last_words.start()
    last_words.join(LAST_WORDS_SECONDS)  # what hangs may be the log itself
    os._exit(EX_SOFTWARE)


def _say(work: Work, where: list[str]) -> None:
    log.critical("work does not end; ending the process", work=work.name, seconds=work.seconds, stack=where)
