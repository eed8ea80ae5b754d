"""Faults that a test asks for: the next calls fail, are slow, or lose their answer after the commit."""

import threading
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["status", "drop_after_commit", "slow"]


@dataclass
class Fault:
    """
    :param kind: `status` answers `status` without doing anything; `drop_after_commit` does the work and closes the
        connection without an answer; `slow` waits `seconds` before the work
    :param path: only calls whose path begins so
    :param method: only calls of this method, or any
    :param retry_after: seconds, for the header of that name beside `status`
    :param should_retry: for the header Stripe-Should-Retry beside `status`, if not what Stripe usually says
    """

    kind: Kind
    count: int = 1
    status: int = 500
    seconds: float = 0.0
    path: str = "/v1/"
    method: str | None = None
    retry_after: int | None = None
    should_retry: bool | None = None

    @property
    def headers(self) -> dict[str, str]:
        found = {"Retry-After": self.retry_after, "Stripe-Should-Retry": self.should_retry}
        return {name: str(value).lower() for name, value in found.items() if value is not None}


@dataclass
class Faults:
    waiting: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, fault: Fault) -> None:
        with self._lock:
            self.waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self.waiting.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault of this call, if one waits for it; it counts as used."""
        with self._lock:
            for fault in self.waiting:
                if path.startswith(fault.path) and fault.method in (None, method):
                    fault.count -= 1
                    if fault.count == 0:
                        self.waiting.remove(fault)
                    return fault
        return None
