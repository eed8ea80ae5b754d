"""
The hub of a green process, as a real thread sees it: whether it still turns, and how to have something done there.

One green thread beats its heart, another takes what real threads hand over. A hub that a piece of work holds on to
does neither, and that shows outside.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import eventlet
from eventlet.hubs import trampoline

from shared import metrics, threads

BEAT_SECONDS = 0.5
STUCK_SECONDS = 10.0  # no piece of work may hold the hub for a tenth of that

Run = Callable[[], None]


class Hub:
    """Made and started in the thread whose hub it is."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._waiting: deque[Run] = deque()
        self._ear, self._bell = threads.real("socket").socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)

    def start(self) -> None:
        eventlet.spawn_n(self._beat)
        eventlet.spawn_n(self._listen)

    def stuck(self) -> list[str]:
        """Empty while it turns: see `health`."""
        return ["hub"] if time.monotonic() - self._beat_at > STUCK_SECONDS else []

    def spawn(self, run: Run) -> None:
        """From a real thread: let it run there, in a green thread of its own. It must not raise."""
        self._waiting.append(run)
        with suppress(BlockingIOError):  # it has not heard us for long, and will come by itself when it does
            self._bell.send(b".")

    def _beat(self) -> None:
        while True:
            eventlet.sleep(BEAT_SECONDS)
            now = time.monotonic()
            metrics.HUB_LATE.observe(max(0.0, now - self._beat_at - BEAT_SECONDS))
            self._beat_at = now

    def _listen(self) -> None:
        while True:
            trampoline(self._ear, read=True)
            with suppress(BlockingIOError):
                self._ear.recv(4096)
            while self._waiting:
                eventlet.spawn_n(self._waiting.popleft())
