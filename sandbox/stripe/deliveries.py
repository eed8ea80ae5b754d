"""The thread that posts waiting webhooks, signed as Stripe signs them, and notes what the receiver answered."""

import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from sandbox.stripe import webhooks
from sandbox.stripe.state import Object, State, Store

TIMEOUT_SECONDS = 10.0
STOPPED_LOOK_SECONDS = 60.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    id: int
    event: str
    endpoint: str
    attempts: int
    give_up_at: int


@dataclass(frozen=True)
class Posting:
    """One attempt: what to send where."""

    delivery: Delivery
    url: str
    payload: bytes
    signature: str


@dataclass
class Deliverer:
    """:param clock: the test clock, in unix seconds; it bounds how long a delivery is tried"""

    state: State
    clock: Callable[[], int]
    _awake: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _work: bool = True
    _running: bool = True

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of this machine has no business between two local processes

    def start(self) -> None:
        threading.Thread(target=self._run, name="deliveries", daemon=True).start()

    def wake(self) -> None:
        """There may be something to send."""
        with self._awake:
            self._work = True
            self._awake.notify()

    def stop(self) -> None:
        self._running = False
        self.wake()

    def _run(self) -> None:
        while self._running:
            try:
                wait_seconds = self._send_next()
            except Exception:
                log.exception("the deliveries stumbled; they go on in a second")
                wait_seconds = 1.0
            self._sleep(wait_seconds)

    def _sleep(self, seconds: float) -> None:
        with self._awake:
            if not self._work:
                self._awake.wait(seconds)
            self._work = False

    def _send_next(self) -> float:
        """Send what is due, one by one; the seconds until there is more to do."""
        while self._running:
            with self.state.transaction(self.clock()) as store:
                posting = _take(store)
                if posting is None:
                    return _until_next(store)
            answer = _post(self._session, posting)
            with self.state.transaction(self.clock()) as store:
                _note(store, posting.delivery, answer)
        return 0.0


def describe(store: Store) -> list[Object]:
    """All deliveries, the oldest first."""
    rows = store.connection.execute(
        "SELECT deliveries.id, event, endpoint, status, attempts, answer, body FROM deliveries"
        " LEFT JOIN objects ON objects.id = event ORDER BY deliveries.id"
    )
    names = ("id", "event", "endpoint", "status", "attempts", "answer")
    return [
        {**dict(zip(names, row[:-1], strict=True)), "type": json.loads(row[-1])["type"]} for row in rows if row[-1]
    ]


def signature(payload: bytes, secret: str, timestamp: int) -> str:
    """The Stripe-Signature header of a body."""
    signed = f"{timestamp}.".encode() + payload
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def _take(store: Store) -> Posting | None:
    """The next due delivery, ready to post; what is lost or has lost its endpoint is passed over."""
    knobs = webhooks.settings(store)
    if knobs["stopped"]:
        return None
    while (delivery := _next_due(store, newest_first=knobs["reorder"])) is not None:
        endpoint = store.lookup(delivery.endpoint)
        if endpoint is None:
            _close(store, delivery, "given_up", "its endpoint is gone")
        elif knobs["drop_next"] > 0:
            knobs = _spend(store, knobs, "drop_next")
            _close(store, delivery, "dropped", "dropped by a knob")
        else:
            return _posting(store, knobs, delivery, endpoint)
    return None


def _next_due(store: Store, *, newest_first: bool) -> Delivery | None:
    row = store.connection.execute(
        "SELECT id, event, endpoint, attempts, give_up_at FROM deliveries"
        " WHERE status = 'pending' AND next_at <= ?"
        f" ORDER BY id {'DESC' if newest_first else 'ASC'} LIMIT 1",
        (time.time(),),
    ).fetchone()
    return Delivery(*row) if row else None


def _posting(store: Store, knobs: Object, delivery: Delivery, endpoint: Object) -> Posting:
    secret = webhooks.secret_of(store, endpoint["id"])
    if knobs["wrong_signature_next"] > 0:
        _spend(store, knobs, "wrong_signature_next")
        secret = f"{secret}, but wrong"
    payload = json.dumps(store.get("event", delivery.event), indent=2).encode()
    signed = signature(payload, secret, int(time.time()) + knobs["signature_offset_seconds"])
    return Posting(delivery, endpoint["url"], payload, signed)


def _post(session: requests.Session, posting: Posting) -> str:
    """The receiver's status code, or the name of what went wrong."""
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Connection": "close",
        "Stripe-Signature": posting.signature,
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    try:
        answer = session.post(
            posting.url,
            data=posting.payload,
            headers=headers,
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as problem:
        return type(problem).__name__
    return str(answer.status_code)


def _note(store: Store, delivery: Delivery, answer: str) -> None:
    store.connection.execute("UPDATE deliveries SET attempts = attempts + 1 WHERE id = ?", (delivery.id,))
    if answer.startswith("2"):
        _close(store, delivery, "delivered", answer)
    elif store.now >= delivery.give_up_at:
        _close(store, delivery, "given_up", answer)
    else:
        next_at = time.time() + webhooks.back_off_seconds(delivery.attempts + 1)
        store.connection.execute(
            "UPDATE deliveries SET next_at = ?, answer = ? WHERE id = ?", (next_at, answer, delivery.id)
        )


def _close(store: Store, delivery: Delivery, status: str, answer: str) -> None:
    """Nothing more is sent of it; the event has one delivery less to wait for."""
    store.connection.execute(
        "UPDATE deliveries SET status = ?, answer = ? WHERE id = ?", (status, answer, delivery.id)
    )
    event = store.lookup(delivery.event)
    if event is not None and event["pending_webhooks"] > 0:
        store.save({**event, "pending_webhooks": event["pending_webhooks"] - 1})


def _spend(store: Store, knobs: Object, name: str) -> Object:
    after = {**knobs, name: knobs[name] - 1}
    store.set_setting("deliveries", after)
    return after


def _until_next(store: Store) -> float:
    """Seconds until a delivery is due; `wake` interrupts the wait."""
    if webhooks.settings(store)["stopped"]:
        return STOPPED_LOOK_SECONDS
    row = store.connection.execute("SELECT min(next_at) FROM deliveries WHERE status = 'pending'").fetchone()
    return STOPPED_LOOK_SECONDS if row[0] is None else max(row[0] - time.time(), 0.01)
