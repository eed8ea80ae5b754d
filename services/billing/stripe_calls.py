"""The door to Stripe: a client whose calls go by `stripe_transport`, and fail in our words."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import stripe

from services.billing import breaker, stripe_transport
from services.billing.settings import AccountSettings
from shared import errors, logs

REFUSED = "Stripe would not do this; nothing has changed."
log = logs.logger(__name__)


class Away(Exception):
    """
    Stripe did not do what was asked, or it is not known whether it did.

    :param answered: it said that it failed, and keeps saying so for the same idempotency key; False: there was no
        answer, or none that it keeps
    :param wait_seconds: after which asking again may be worth it
    :param told: Stripe's own words, if it answered, for whoever runs the account
    """

    def __init__(self, *, answered: bool, wait_seconds: float = 1.0, told: str = "") -> None:
        super().__init__("answered with a failure" if answered else "did not answer")
        self.answered = answered
        self.wait_seconds = wait_seconds
        self.told = told


class Declined(Exception):
    """The bank said no, or wants the person: `card_declined` or `authentication_required`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Refused(Exception):
    """
    Stripe understands the call and will not do it, however often it is asked.

    :param told: Stripe's own words, for whoever runs the account
    :param param: the parameter that it does not take, if it names one
    :param words: for the person who asked
    """

    def __init__(self, code: str, told: str = "", *, param: str = "", words: str = REFUSED) -> None:
        super().__init__(code)
        self.told = told
        self.param = param
        self.words = words


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """
    For doors that only ask.

    :raises Conflict: `stripe_refused`: asking again would be in vain
    :raises Unavailable: `stripe_unavailable`
    """
    try:
        yield
    except Refused as error:
        log.warning("stripe refused", reason=str(error), param=error.param)
        raise errors.Conflict("stripe_refused", error.words) from error
    except Away as error:
        log.warning("stripe is away", reason=str(error))
        wait = {"retry_after_seconds": math.ceil(error.wait_seconds)}
        message = f"Stripe {'failed' if error.answered else 'does not answer'}; try again in a moment."
        raise errors.Unavailable("stripe_unavailable", message, wait) from error


def misses(settings: AccountSettings) -> list[str]:
    """For the signs of life: `["Stripe"]` while it has failed so often that it is not asked."""
    return ["Stripe"] if stripe_transport.breaker_of(settings).is_open else []


@contextmanager
def calling(settings: AccountSettings, *, until: float) -> Iterator[stripe.StripeClient]:
    """
    A client whose calls fail in our words.

    :param until: when there is no more time, on the monotonic clock
    :raises Away, Declined, Refused:
    """
    if until <= time.monotonic():
        raise Away(answered=False)
    try:
        yield _client(settings, until)
    except breaker.Refused as error:
        raise Away(answered=False, wait_seconds=error.seconds) from error
    except stripe.CardError as error:
        wants_person = error.code in ("authentication_required", "subscription_payment_intent_requires_action")
        raise Declined("authentication_required" if wants_person else "card_declined") from error
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise Away(answered=False) from error
    except stripe.IdempotencyError as error:  # the key was used for something else, and is for a day
        log.error("stripe knows an idempotency key with other parameters", told=error.user_message)
        raise Away(answered=True, told=error.user_message or "") from error
    except stripe.InvalidRequestError as error:
        code, told = error.code or "invalid_request_error", error.user_message or ""
        raise Refused(code, told, param=error.param or "") from error
    except stripe.StripeError as error:
        if error.http_status == stripe_transport.CONFLICT:  # the first with this key is still under way
            raise Away(answered=False) from error
        log.error("stripe failed", error=type(error).__name__, status=error.http_status)
        raise Away(answered=True, told=error.user_message or "") from error


def noted(metadata: Any, name: str) -> str:
    """What stands under a name in an object's metadata; empty if nothing does."""
    return str(metadata.to_dict().get(name) or "") if metadata else ""


def _client(settings: AccountSettings, until: float) -> stripe.StripeClient:
    """Without the SDK's own retries, which know neither how much time there is nor that Stripe is away."""
    base: Any = {"api": settings.stripe_api_base} if settings.stripe_api_base else None
    return stripe.StripeClient(
        settings.stripe_api_key,
        base_addresses=base,
        max_network_retries=0,
        http_client=stripe_transport.Transport(settings, until=until),
    )
