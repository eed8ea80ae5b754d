"""Many looks at once, each with a time limit: what does not answer in time is away, and nobody waits for it."""

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pika.exceptions

from ops import rabbitmq
from shared import database

Key = TypeVar("Key", bound=Hashable)
Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Away:
    """What could not be looked at, and why, in a few words without content."""

    reason: str


def at_once(looks: Mapping[Key, Callable[[], Seen]], *, seconds: float) -> dict[Key, Seen | Away]:
    """
    What each look saw.

    The threads are daemons: one that hangs in a connection ends with the process.
    """
    seen: dict[Key, Seen | Away] = {}

    def look(key: Key) -> None:
        try:
            seen[key] = looks[key]()
        except Exception as error:  # noqa: BLE001  # whatever it is, the other looks are shown
            seen[key] = Away(_reason_of(error))

    threads = [threading.Thread(target=look, args=(key,), daemon=True) for key in looks]
    until = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    late = Away(f"no answer within {seconds:.0f} s")
    return {key: seen.get(key, late) for key in looks}


def _reason_of(error: Exception) -> str:
    if isinstance(error, pika.exceptions.AMQPError):
        return rabbitmq.reason_of(error)
    if isinstance(error, database.TRANSIENT):
        said = str(getattr(error, "orig", "")).split("\n")[0].strip()
        return said.rpartition("failed: ")[2] or type(error).__name__
    return type(error).__name__
