"""
Which API secrets are in use: noted at each request, and told to their owner in batches, each secret once an hour.

What was noted a few seconds before a crash is lost; the next request with the same secret makes up for it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import eventlet

from shared import context, errors, logs

log = logs.logger(__name__)

GATHER_SECONDS = 5.0
MOST_AT_ONCE = 500
MOST_KNOWN = 100_000  # beyond that some are told more often
GATEWAY = context.Actor(kind="service", id="gateway")

Tell = Callable[[Sequence[str]], Any]


class Uses:
    """
    :param tell: takes ids of secrets; raises ServiceError if that did not arrive
    :param now: the business clock
    """

    def __init__(self, tell: Tell, *, now: Callable[[], datetime]) -> None:
        self._tell = tell
        self._now = now
        self._hour: datetime | None = None
        self._known: set[str] = set()  # within this hour
        self._untold: list[str] = []
        self._is_gathering = False

    def note(self, secret_id: str) -> None:
        """It waits for nothing: it stands in the way of every request."""
        now = self._now()
        if self._hour is None or not 0 <= (now - self._hour).total_seconds() < 3600:
            self._hour, self._known = now.replace(minute=0, second=0, microsecond=0), set(self._untold)
        if secret_id not in self._known:
            self._known.add(secret_id)
            self._untold.append(secret_id)
            self._gather()

    def tell(self) -> None:
        """All that is untold; what does not arrive is told later."""
        while self._untold:
            batch, self._untold = self._untold[:MOST_AT_ONCE], self._untold[MOST_AT_ONCE:]
            try:
                self._tell(batch)
            except Exception as error:
                self._untold = batch + self._untold
                if not isinstance(error, errors.ServiceError):
                    log.exception("uses of secrets were not told")
                return
        if len(self._known) > MOST_KNOWN:
            self._known.clear()

    def _gather(self) -> None:
        if not self._is_gathering:
            self._is_gathering = True
            eventlet.spawn_after(GATHER_SECONDS, self._tell_gathered)

    def _tell_gathered(self) -> None:
        self.tell()
        self._is_gathering = False
        if self._untold:
            self._gather()


def teller(secrets: Any) -> Tell:
    """:param secrets: the RPC client"""

    def tell(secret_ids: Sequence[str]) -> None:
        with context.use(actor=GATEWAY, deadline=None):
            secrets.note_uses(secret_ids=secret_ids)

    return tell
