"""
Pictures of people on their way in: who may bring one now, and its being made anew by a process of its own.

A picture is decoded by a library in C that has had holes. So it is done in a process that has no secret and no
connection, and that is ended when it is late; see `picture_decoder`.
"""

import base64
import hashlib
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import eventlet
from eventlet.green import subprocess
from eventlet.semaphore import Semaphore

from services.gateway import picture_decoder, routing
from shared import errors, logs

log = logs.logger(__name__)

MOST_BYTES: Final = picture_decoder.MOST_BYTES
MEDIA_TYPES: Final = ("image/jpeg", "image/png", "image/webp")
MADE: Final = "image/webp"
READ_BYTES: Final = 65_536
MOST_ANSWERED: Final = len(picture_decoder.OK) + picture_decoder.MOST_BYTES_MADE
PLACES = 8  # for pictures that are sent, wait or are made anew: each may take some 10 MiB here
AT_ONCE = 2  # are made anew, each in a process of up to 384 MiB
WAIT_SECONDS = 5.0
LATE_SECONDS = 8.0
COMMAND: Final = (sys.executable, "-I", picture_decoder.__file__)

_WHY: Final = {
    "not_a_picture": "This is no picture in JPEG, PNG or WebP.",
    "broken_picture": "This picture is damaged, or broke off. Save it anew, and send that.",
    "too_many_pixels": "This picture has more than 16 million pixels, or a side above 16,384. Make it smaller.",
    "picture_too_costly": "This picture needs more memory or time than a picture does. Save it anew, and send that.",
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """:param source: the SHA-256 of what it was made of, by which the same picture is known"""

    webp: bytes
    source: str


class Pictures:
    """The places of one process."""

    def __init__(self, *, places: int = PLACES, at_once: int = AT_ONCE, command: Sequence[str] = COMMAND) -> None:
        self._places = places
        self._room = Semaphore(at_once)
        self._command = command
        self._bringing: set[str] = set()

    @contextmanager
    def place(self, account_id: str) -> Iterator[None]:
        """
        For as long as somebody sends a picture, and until it is theirs. Before its body is read: whom there is no
        room for is told so, and nothing of theirs is kept.

        :raises Unavailable: `busy` if all places are taken, or by this person one
        """
        if account_id in self._bringing or len(self._bringing) >= self._places:
            raise _busy()
        self._bringing.add(account_id)
        try:
            yield
        finally:
            self._bringing.remove(account_id)

    def remake(self, sent: bytes) -> Picture:
        """
        :raises Invalid: `not_a_picture`, `broken_picture`, `too_many_pixels`, `picture_too_costly`
        :raises Unavailable: `busy` if its turn does not come, or it is not done in time
        """
        if not self._room.acquire(timeout=WAIT_SECONDS):
            raise _busy()
        try:
            status, answer = _run(self._command, sent)
        finally:
            self._room.release()
        if status == 0 and answer.startswith(picture_decoder.OK):
            webp = answer.removeprefix(picture_decoder.OK)
            return Picture(webp=webp, source=hashlib.sha256(sent).hexdigest())
        raise _refused(status, answer.decode(errors="replace"))


def give(services: Any, sent: bytes, *, command_id: str) -> Any:
    """
    Make whoever asks a picture of what they sent, and have accounts keep it; gives their account. They have a place.

    :param services: has the place's `pictures`, and `accounts`
    :raises ServiceError: as `Pictures.remake` and `accounts.set_picture`
    """
    started = time.time()
    picture = services.pictures.remake(sent)
    routing.give_back_time(started)  # it was not accounts that took it
    webp = base64.b64encode(picture.webp).decode()
    return services.accounts.set_picture(command_id=command_id, webp=webp, source=picture.source)


def _run(command: Sequence[str], sent: bytes) -> tuple[int, bytes]:
    """
    The exit status and the answer. It gets no environment, and no file of ours.

    :raises Unavailable: `busy` if it is late, or the machine has no room for it
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/"
        )
    except OSError as short:
        log.warning("a picture's decoder did not start", reason=short.strerror)
        raise _busy() from short
    try:
        with eventlet.Timeout(LATE_SECONDS):
            return _answered(process, sent)
    except eventlet.Timeout as late:
        raise _busy() from late
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()


def _answered(process: Any, sent: bytes) -> tuple[int, bytes]:
    """It reads all before it writes, so nobody waits for the other."""
    with suppress(BrokenPipeError):  # it has ended; how, its status says
        process.stdin.write(sent)
        process.stdin.close()
    answer = b""
    while piece := process.stdout.read(READ_BYTES):
        answer += piece
        if len(answer) > MOST_ANSWERED:
            process.kill()
            break
    return process.wait(), answer


def _refused(status: int, code: str) -> errors.Invalid:
    if status in (-signal.SIGXCPU, -signal.SIGKILL):  # by its own bound, or by the machine's when memory is short
        code = "picture_too_costly"
    elif code not in _WHY:
        log.warning("a picture's decoder failed", status=status)
        code = "broken_picture"
    return errors.Invalid(code, _WHY[code])


def _busy() -> errors.Unavailable:
    text = (
        "Too many pictures are sent at this moment, or you are sending one already. Nothing was changed; try again."
    )
    return errors.Unavailable("busy", text, {"retry_after_seconds": 2})
