"""
Server-sent events: whoever listens hears of an org's numbers when they change, once a second at most.

One look a second serves the listeners of all orgs together, and nobody looks while nobody listens. Knows neither HTTP
nor quota: `look` gives by org what is to be told.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import eventlet
from eventlet.event import Event

from shared import errors, logs

log = logs.logger(__name__)

LOOK_SECONDS = 1.0
BEAT_SECONDS = 15.0  # a silent stream says that it lives, and asks whether its listener may still hear it
MOST_OF_AN_ORG = 100
MOST_ORGS = 250  # in one look
RETRY_MILLISECONDS = range(2000, 7000, 50)  # so that those who lost a gateway do not come back in one moment
HEARTBEAT = b": still here\n\n"

Look = Callable[[Sequence[str]], dict[str, bytes]]


class Places:
    """How many answers that go on for long there may be: others need connections too, and so do other orgs."""

    def __init__(self, most: int, *, most_of_an_org: int = MOST_OF_AN_ORG) -> None:
        self._most = most
        self._most_of_an_org = most_of_an_org
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        return self._taken.total()

    def take(self, org_id: str) -> None:
        """
        To be given back.

        :raises LimitReached: `too_many_streams` if the org has as many as one may
        :raises Unavailable: `no_stream_free`
        """
        if self._taken[org_id] >= self._most_of_an_org:
            message = f"An organization has at most {self._most_of_an_org} streams open here. Close one first."
            raise errors.LimitReached("too_many_streams", message, {"retry_after_seconds": 60})
        if self.taken >= self._most:
            raise errors.Unavailable(
                "no_stream_free", "All streams are taken; try again.", {"retry_after_seconds": 10}
            )
        self._taken[org_id] += 1

    def give_back(self, org_id: str) -> None:
        self._taken[org_id] -= 1
        if not self._taken[org_id]:
            del self._taken[org_id]


class Listener:
    """One open stream, which sleeps until there is news, a doubt, or an end."""

    def __init__(self, org_id: str) -> None:
        self.org_id = org_id
        self.ended = False
        self._news: bytes | None = None
        self._doubted = False
        self._bell = Event()

    def tell(self, news: bytes) -> None:
        self._news = news
        self._ring()

    def doubt(self) -> None:
        self._doubted = True
        self._ring()

    def end(self) -> None:
        self.ended = True
        self._ring()

    def hear(self, may_go_on: Callable[[], bool]) -> Iterator[bytes]:
        """
        What to send, until it is ended or may not go on.

        :param may_go_on: asked every 15 seconds, and when there is a doubt
        """
        asked_at = time.monotonic()
        while not self.ended:
            if self._doubted or time.monotonic() >= asked_at + BEAT_SECONDS:
                self._doubted, asked_at = False, time.monotonic()
                if not may_go_on():
                    return
            news, self._news = self._news, None
            if news is not None:
                yield news
            elif not self._rings(BEAT_SECONDS):
                yield HEARTBEAT

    def _ring(self) -> None:
        if not self._bell.ready():
            self._bell.send(True)

    def _rings(self, seconds: float) -> bool:
        """Wait for the bell. False if it did not ring."""
        rang = bool(self._bell.wait(timeout=seconds))
        if rang:
            self._bell = Event()
        return rang


class Streams:
    """:param look: takes up to 250 orgs; gives what is to be told of those that are known, or raises ServiceError"""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._listeners: dict[str, set[Listener]] = {}
        self._latest: dict[str, bytes] = {}
        self._unseen: set[str] = set()
        self._bell = Event()
        self._watches = False
        self._stopped = False
        self._retries = itertools.cycle(RETRY_MILLISECONDS)

    def open(self, org_id: str) -> Listener:
        """:raises Unavailable: `no_stream_free` if the process is about to end"""
        if self._stopped:
            raise errors.Unavailable("no_stream_free", "This gateway is about to stop; try again.")
        listener = Listener(org_id)
        self._listeners.setdefault(org_id, set()).add(listener)
        if org_id in self._latest:
            listener.tell(self._latest[org_id])
        else:
            self._unseen.add(org_id)
            if not self._bell.ready():
                self._bell.send(True)
        if not self._watches:
            self._watches = True
            eventlet.spawn_n(self._watch)
        return listener

    def close(self, listener: Listener) -> None:
        listener.end()
        listeners = self._listeners.get(listener.org_id, set())
        listeners.discard(listener)
        if not listeners:
            self._listeners.pop(listener.org_id, None)
            self._latest.pop(listener.org_id, None)
            self._unseen.discard(listener.org_id)

    def greeting(self) -> bytes:
        """The first that a listener is sent: after how long to come back when the stream has ended."""
        return f"retry: {next(self._retries)}\n\n".encode()

    def doubt(self) -> None:
        """Somebody's token may be good no more: let each listener ask."""
        for listener in self._all():
            listener.doubt()

    def stop(self) -> None:
        """End all streams, and let nobody in."""
        self._stopped = True
        for listener in self._all():
            listener.end()

    def _all(self) -> list[Listener]:
        return [listener for listeners in self._listeners.values() for listener in listeners]

    def _watch(self) -> None:
        """Until nobody listens: look at all once a second, and at who is new at once."""
        all_at = 0.0
        while self._listeners:
            now = time.monotonic()
            wanted = self._unseen
            if now >= all_at:
                wanted, all_at = set(self._listeners), now + LOOK_SECONDS
            self._unseen = set()
            self._see(sorted(wanted))
            if self._bell.wait(timeout=max(0.01, all_at - time.monotonic())):
                self._bell = Event()
        self._watches = False

    def _see(self, org_ids: list[str]) -> None:
        for start in range(0, len(org_ids), MOST_ORGS):
            try:
                found = self._look(org_ids[start : start + MOST_ORGS])
            except errors.ServiceError:
                continue  # it is away; the next look will tell
            except Exception:
                log.exception("usage was not looked at")
                continue
            for org_id, news in found.items():
                self._tell(org_id, news)

    def _tell(self, org_id: str, news: bytes) -> None:
        """Only what differs from the last that was told."""
        if org_id in self._listeners and self._latest.get(org_id) != news:
            self._latest[org_id] = news
            for listener in self._listeners[org_id]:
                listener.tell(news)
