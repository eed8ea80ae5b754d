"""
Credits: extra messages that operations grant an org, spent after the plan's own, the one that ends first. Pure.

They are the org's and no month's: they outlive months and resets until they expire.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from services.quota.events import CreditCarried, CreditExpired, CreditGranted, CreditReturned
from shared import clock, errors

MOST_CREDITS = 50  # that an org may have at once: they stand in its row, which every message reads
MOST_MESSAGES = 10_000_000  # in one credit


@dataclass(frozen=True, kw_only=True)
class Credit:
    """:param remaining: how many of its messages are not yet spent"""

    id: str
    messages: int
    remaining: int
    granted_at: datetime
    expires_at: datetime


Credits = tuple[Credit, ...]
"""In the order in which they are spent. One that is used up stays until it expires: a refund may fill it again."""

Fact = CreditGranted | CreditCarried | CreditReturned | CreditExpired


def grant(
    credits: Credits, *, credit_id: str, messages: int, expires_at: datetime, at: datetime, reason_version: int
) -> CreditGranted:
    """
    :raises Invalid: `invalid_credit` if it has no messages, too many, or would have expired already
    :raises Conflict: `too_many_credits`
    """
    if not 1 <= messages <= MOST_MESSAGES:
        raise errors.Invalid("invalid_credit", f"A credit has 1 to {MOST_MESSAGES:,} messages.")
    if expires_at <= at:
        raise errors.Invalid("invalid_credit", f"It would have expired already, at {clock.rfc3339(expires_at)}.")
    if len(credits) >= MOST_CREDITS:
        raise errors.Conflict("too_many_credits", f"An org has {MOST_CREDITS} credits at most at a time.")
    return CreditGranted(
        credit_id=credit_id,
        messages=messages,
        granted_at=clock.rfc3339(at),
        expires_at=clock.rfc3339(expires_at),
        reason_version=reason_version,
    )


def carry(credits: Credits) -> list[CreditCarried]:
    """Into a new month, whose ledger begins with what it needs to be understood by itself."""
    return [
        CreditCarried(
            credit_id=credit.id,
            messages=credit.messages,
            remaining=credit.remaining,
            granted_at=clock.rfc3339(credit.granted_at),
            expires_at=clock.rfc3339(credit.expires_at),
        )
        for credit in credits
    ]


def expire(credits: Credits, *, at: datetime) -> list[CreditExpired]:
    return [
        CreditExpired(credit_id=credit.id, unused=credit.remaining) for credit in credits if credit.expires_at <= at
    ]


def remaining(credits: Credits) -> int:
    return sum(credit.remaining for credit in credits) if credits else 0  # mostly none, and asked at every message


def next_to_spend(credits: Credits) -> str:
    """The id of the first with a message left; empty if none has."""
    return next((credit.id for credit in credits if credit.remaining), "")


def spend(credits: Credits, credit_id: str) -> Credits:
    return _changed(credits, credit_id, by=-1)


def evolve(credits: Credits, fact: Fact) -> Credits:
    match fact:
        case CreditGranted():
            return _added(credits, fact, remaining=fact.messages)
        case CreditCarried():
            return _added(credits, fact, remaining=fact.remaining)
        case CreditReturned():
            return _changed(credits, fact.credit_id, by=1)
        case CreditExpired():
            return tuple(credit for credit in credits if credit.id != fact.credit_id)


def _added(credits: Credits, fact: CreditGranted | CreditCarried, *, remaining: int) -> Credits:
    credit = Credit(
        id=fact.credit_id,
        messages=fact.messages,
        remaining=remaining,
        granted_at=clock.parse(fact.granted_at),
        expires_at=clock.parse(fact.expires_at),
    )
    return tuple(sorted((*credits, credit), key=lambda one: (one.expires_at, one.id)))


def _changed(credits: Credits, credit_id: str, *, by: int) -> Credits:
    return tuple(
        replace(credit, remaining=credit.remaining + by) if credit.id == credit_id else credit for credit in credits
    )
