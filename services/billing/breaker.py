"""
A circuit breaker: after some failures in a row, calls are refused at once instead of waiting for one more failure.
Now and then one is let through to see; an answer to it lets all through again.

It also bounds how many calls are under way, so that a part that hangs does not take every thread of its callers.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

FAILURES = 5
OPEN_SECONDS = 5.0  # doubled at each probe that fails
LONGEST_OPEN_SECONDS = 30.0
AT_ONCE = 24  # fewer than a `serve` has threads for a service: what needs no answer from there goes on


class Refused(Exception):
    """
    Nothing was asked.

    :param seconds: after which asking may be worth it
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("too many calls failed or are under way")
        self.seconds = seconds


@dataclass
class Breaker:
    """
    Every `admit` that does not raise is followed by one of `succeeded`, `failed` and `abandoned`.

    :param now: seconds that never go back
    """

    now: Callable[[], float] = time.monotonic
    at_once: int = AT_ONCE
    _failures: int = 0
    _under_way: int = 0
    _open_until: float | None = None
    _open_seconds: float = OPEN_SECONDS
    _probing: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def is_open(self) -> bool:
        """Whether calls are refused because others failed. Without the lock: figures are read by foreign threads."""
        until = self._open_until
        return until is not None and (self._probing or self.now() < until)

    def admit(self) -> None:
        """:raises Refused: if the call must not be made now"""
        with self._lock:
            if self._under_way >= self.at_once:
                raise Refused(1.0)
            if self._open_until is not None:
                left = self._open_until - self.now()
                if left > 0 or self._probing:
                    raise Refused(max(left, 1.0))
                self._probing = True
            self._under_way += 1

    def succeeded(self) -> None:
        """There was an answer, whatever it says."""
        with self._lock:
            self._under_way -= 1
            self._failures, self._open_until, self._probing = 0, None, False
            self._open_seconds = OPEN_SECONDS

    def failed(self) -> None:
        with self._lock:
            self._under_way -= 1
            self._failures += 1
            if self._open_until is None:
                if self._failures >= FAILURES:
                    self._open_until = self.now() + self._open_seconds
            elif self._probing:
                self._probing = False
                self._open_seconds = min(2 * self._open_seconds, LONGEST_OPEN_SECONDS)
                self._open_until = self.now() + self._open_seconds

    def abandoned(self) -> None:
        """The call ended without telling anything, as when its thread is stopped."""
        with self._lock:
            self._under_way -= 1
            self._probing = False
