"""
How a call travels to Stripe: when it is tried again, how long it may last, and that it is not made at all while
Stripe fails. Every call of ours goes through here.

A try again has the same idempotency key, so Stripe does nothing twice: it replays what it answered the first time.
"""

import functools
import itertools
import random
import time
from collections.abc import Mapping
from typing import Any

import requests
import stripe

from services.billing.breaker import Breaker, Refused
from services.billing.settings import AccountSettings
from shared import metrics

TRIES = 4
CONNECT_SECONDS = 2.0
BACK_OFF_SECONDS = 0.25  # before the second try; doubled before each that follows
LEAST_SECONDS = 0.25  # a try with less time than that would only be given up
THROTTLED, CONFLICT, BROKEN = 429, 409, 500

Answer = tuple[Any, int, Mapping[str, str]]
"""Body, status and headers."""


@functools.cache
def breaker_of(_settings: AccountSettings) -> Breaker:
    """One for all calls of a process to its account."""
    made = Breaker()
    metrics.STRIPE_REFUSED.set_function(lambda: float(made.is_open))
    return made


class Transport(stripe.HTTPClient):
    """:param until: when there is no more time, on the monotonic clock; for all tries together"""

    name = "requests"

    def __init__(self, settings: AccountSettings, *, until: float) -> None:
        super().__init__()
        self._breaker = breaker_of(settings)
        self._until = until

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_usage: Any
    ) -> Answer:
        """
        Ask until there is an answer worth having, or no time.

        :raises Refused: if nothing was sent, because Stripe has failed too often
        :raises APIConnectionError: if there was no answer
        """
        for tries in itertools.count(1):
            said = self._said(method, url, headers, post_data)
            wait = wait_seconds(tries, said, chance=random.random())  # noqa: S311  # jitter
            in_vain = wait is None or time.monotonic() + wait + LEAST_SECONDS > self._until
            if in_vain or self._breaker.is_open:
                break
            time.sleep(wait or 0)
        if isinstance(said, stripe.APIConnectionError):
            raise said
        return said

    def _said(self, *call: Any) -> Answer | stripe.APIConnectionError:
        try:
            return self._once(*call)
        except stripe.APIConnectionError as lost:
            return lost

    def _once(self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any) -> Answer:
        try:
            self._breaker.admit()
        except Refused:
            metrics.stripe_called("not_asked")
            raise
        left = max(self._until - time.monotonic(), LEAST_SECONDS)
        once = stripe.RequestsClient(timeout=(min(CONNECT_SECONDS, left), left), session=_connections())
        started = time.monotonic()
        try:
            answer = once.request(method, url, headers, post_data)
        except stripe.APIConnectionError:
            self._breaker.failed()
            metrics.stripe_called("lost", time.monotonic() - started)
            raise
        except BaseException:
            self._breaker.abandoned()
            raise
        (self._breaker.failed if is_failure(answer[1]) else self._breaker.succeeded)()
        metrics.stripe_called(_outcome(answer[1]), time.monotonic() - started)
        return answer

    def close(self) -> None:
        """The connections are everybody's."""


def wait_seconds(tries: int, said: Answer | stripe.APIConnectionError, *, chance: float) -> float | None:
    """
    How long to wait before the next try; None if there should be none.

    Stripe-Should-Retry decides where Stripe sends it: a failure that it keeps under the key would only be replayed.

    :param tries: how many there were
    :param chance: from 0 to 1, so that not all who failed together come back together
    """
    if tries >= TRIES:
        return None
    back_off: float = BACK_OFF_SECONDS * 2 ** (tries - 1) * (0.5 + chance / 2)
    if isinstance(said, stripe.APIConnectionError):
        return back_off if bool(said.should_retry) else None
    _body, status, headers = said
    advice = headers.get("Stripe-Should-Retry")
    if advice == "false" or (advice != "true" and not (is_failure(status) or status == CONFLICT)):
        return None
    return max(back_off, _retry_after_seconds(headers))


def is_failure(status: int) -> bool:
    """Whether it tells that Stripe is not well, or has had too much of us; and nothing about the call itself."""
    return status >= BROKEN or status == THROTTLED


def _retry_after_seconds(headers: Mapping[str, str]) -> float:
    given = headers.get("Retry-After", "")
    return float(given) if given.isdecimal() else 0.0


def _outcome(status: int) -> str:
    if status == THROTTLED:
        return "throttled"
    if status >= BROKEN:
        return "failed"
    return "answered" if status < 400 else "refused"


@functools.cache
def _connections() -> requests.Session:
    """Kept between errands, so that not each of them begins with a handshake."""
    return requests.Session()
