"""
Idempotency keys as Stripe keeps them: the first answer to a key is the answer for 24 hours.

The answer is stored in the transaction of the work itself, so that a kill cannot separate them. Calls that were
refused before any work began (wrong parameters, a throttled call) store nothing.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sandbox.stripe import errors
from sandbox.stripe.state import Store

LIFETIME_SECONDS = 24 * 3600
LONGEST_KEY = 255
KEPT_FAILURE = 500  # the work began and broke; 429 and the others of 5xx come before any work


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    request_id: str


@dataclass
class InFlight:
    """The keys whose calls are under way in this process."""

    _keys: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def hold(self, key: str | None) -> Iterator[None]:
        """:raises StripeError: 409 if the key is held already"""
        if key is None:
            yield
            return
        with self._lock:
            if key in self._keys:
                raise errors.key_in_use(key)
            self._keys.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._keys.discard(key)


def fingerprint(path: str, form: str) -> str:
    return hashlib.sha256(f"{path}\n{form}".encode()).hexdigest()


def recall(store: Store, key: str, print_: str) -> Answer | None:
    """
    The stored answer of a key.

    :raises StripeError: 400 if the key was used for something else
    """
    row = store.connection.execute(
        "SELECT fingerprint, status, body, request_id FROM answers WHERE key = ? AND answered_at > ?",
        (key, store.present - LIFETIME_SECONDS),
    ).fetchone()
    if row is None:
        return None
    if row[0] != print_:
        raise errors.key_reused(key)
    return Answer(*row[1:])


def remember(store: Store, key: str, print_: str, answer: Answer) -> None:
    store.connection.execute(
        "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
        (key, print_, answer.status, answer.body, answer.request_id, store.present),
    )
