"""
Named places at which a test ends this process, to see what a crash right there leaves behind. Off unless armed.
"""

import os
import signal
from typing import Final

PLACES: Final = {
    "command.committed": "a command is done, and nobody has been answered",
    "admission.committed": "messages are counted, and nobody has been answered",
    "visit.committed": "some orgs whose time had come are opened, and the rest are not",
    "outbox.sequenced": "events stand in the log, and none of them was published",
    "relay.published": "the broker has taken an event, and its confirm has not been heeded",
    "relay.confirmed": "a batch is confirmed, and the checkpoint stands before it",
    "inbox.applied": "events are applied, in a transaction that is not committed",
    "inbox.committed": "events are applied for good, and the broker has not been told",
    "replay.committed": "some of a replay's events are applied for good, and the rest are not",
    "archive.written": "a stream stands in a file, and in the table too",
    "erasure.begun": "a person is gone for good, and no other service has been told",
    "erasure.step": "some of what an org had is erased, and the rest is not",
    "job.claimed": "a job is ours, and has had no effect yet",
    "job.effected": "a job has had its effect, and is not marked as done",
}

_left: dict[str, int] = {}


def arm(place: str, *, at: int = 1) -> None:
    """
    End the process as SIGKILL does when it gets to this place for the `at`-th time from now.

    :raises ValueError: if there is no such place
    """
    if place not in PLACES:
        raise ValueError(f"{place!r} is not one of {', '.join(PLACES)}")
    _left[place] = at


def reach(place: str) -> None:
    """Say that this is the place. Costs a look at an empty dictionary where nothing is armed."""
    if not _left or place not in _left:
        return
    _left[place] -= 1
    if _left[place] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)


def parse(text: str) -> tuple[str, int]:
    """`PLACE` or `PLACE:COUNT`, as the setting has it."""
    place, _, count = text.partition(":")
    if place not in PLACES:
        raise ValueError(f"{place!r} is not one of {', '.join(PLACES)}")
    at = int(count or 1)
    if at < 1:
        raise ValueError(f"{at} is less than 1")
    return place, at
