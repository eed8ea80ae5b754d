"""
What a person asked for, kept from before the first call to Stripe until its outcome is known: `open`, then `done`,
`checkout`, `declined` or `given_up`.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from services.billing import customers, domain, following, models, projections
from services.billing.catalogue import Catalogue
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from services.billing.sight import Seen
from shared import database, errors, store

KEYS_ARE_KEPT = timedelta(hours=20)  # Stripe forgets idempotency keys after a day

_DECLINED = {
    "card_declined": "The card was declined; pay with another one.",
    "authentication_required": "The bank wants you to confirm the payment.",
}


def new(session: Session, *, id: str, org_id: str, kind: str, plan: str, at: str) -> models.Intent:
    intent = models.Intent(
        id=id,
        org_id=org_id,
        kind=kind,
        plan=plan,
        at=at,
        state="open",
        attempt=0,
        code="",
        payment_url="",
        session_id="",
        created_at=database.now(session),
    )
    session.add(intent)
    return intent


def key(intent: models.Intent, call: str) -> str:
    """Stripe's idempotency key: the same for the same attempt."""
    return f"{intent.id}-{call}-{intent.attempt}"


def mark_sent(parts: Parts, intent: models.Intent) -> None:
    """Commit that something may happen at Stripe from now on."""
    if intent.attempt == 0:
        _set_attempt(parts, intent, 1)


def begin_new_attempt(parts: Parts, intent: models.Intent) -> None:
    """Stripe keeps a failure under its key for a day; the next try needs another."""
    _set_attempt(parts, intent, intent.attempt + 1)


def is_too_old_to_send(intent: models.Intent, now: datetime) -> bool:
    return now - intent.created_at > KEYS_ARE_KEPT


def settle(
    parts: Parts,
    mine: customers.Lease,
    intent: models.Intent,
    *,
    state: str,
    seen: Seen | None = None,
    code: str = "",
    payment_url: str = "",
) -> None:
    """The third step: take over what was seen at Stripe, and close the intent."""
    with parts.database.begin() as session:
        mine.check(session)
        if seen is not None:
            following.take_over(session, mine.org_id, seen, parts.plans)
        close(session, intent, state=state, code=code, payment_url=payment_url)


def close(session: Session, intent: models.Intent, *, state: str, payment_url: str = "", **details: str) -> None:
    """A declined change that can still be paid stays requested, so that it has its right name when it happens."""
    closed = {"state": state, "payment_url": payment_url, **details}
    session.execute(update(models.Intent).where(models.Intent.id == intent.id).values(closed))
    if state == "given_up" or (state == "declined" and not payment_url):
        give_up = partial(domain.give_up, intent_id=intent.id)
        store.execute(session, stream(intent.org_id), SUBSCRIPTION, give_up)


def interrupted(home: database.Database) -> list[tuple[str, str]]:
    """(intent, org) of what is open and nobody is working on, the oldest first."""
    with home.begin() as session:
        free = models.Customer.lease_until < func.clock_timestamp()
        found = (
            select(models.Intent.id, models.Intent.org_id)
            .join(models.Customer, models.Customer.org_id == models.Intent.org_id)
            .where(models.Intent.state == "open", free)
            .order_by(models.Intent.created_at)
        )
        return [(row.id, row.org_id) for row in session.execute(found)]


def answer(session: Session, intent_id: str, plans: Catalogue) -> dict[str, Any]:
    """
    :raises Conflict: `card_declined`, `authentication_required` or `stripe_refused`
    :raises Unavailable: `stripe_unavailable`
    :raises NotFound: `erased` if the org went with it meanwhile
    """
    intent = session.get(models.Intent, intent_id, populate_existing=True)
    if intent is None:
        raise errors.NotFound("erased", "This organization was erased.")
    match intent.state:
        case "open":
            return {"outcome": "pending", "change_id": intent.id}
        case "declined":
            details = {"payment_url": intent.payment_url or None, "change_id": intent.id}
            raise errors.Conflict(intent.code, _DECLINED[intent.code], details)
        case "given_up" if intent.code:
            raise errors.Conflict(intent.code, "Stripe would not make this change; nothing has changed.")
        case "given_up":
            raise errors.Unavailable("stripe_unavailable", "Stripe does not answer; nothing has changed. Try again.")
        case "checkout" if url := _checkout_url(session, intent):
            return {"outcome": "checkout", "checkout_url": url, "change_id": intent.id}
        case _:
            shown = projections.subscription(session, intent.org_id, plans)
            return {
                "outcome": "changed",
                "subscription": shown,
                "version": shown["version"],
                "change_id": intent.id,
            }


def describe(session: Session, org_id: str, intent_id: str) -> dict[str, Any]:
    """:raises NotFound: `unknown_change`"""
    intent = session.get(models.Intent, intent_id, populate_existing=True)
    if intent is None or intent.org_id != org_id:
        raise errors.NotFound("unknown_change", "There is no such change.")
    return {
        "id": intent.id,
        "status": "pending" if intent.state == "open" else intent.state,
        "plan": intent.plan,
        "at": intent.at,
        "code": intent.code or None,
        "payment_url": intent.payment_url or None,
        "checkout_url": _checkout_url(session, intent) or None,
    }


def _set_attempt(parts: Parts, intent: models.Intent, attempt: int) -> None:
    intent.attempt = attempt
    with parts.database.begin() as session:
        session.execute(update(models.Intent).where(models.Intent.id == intent.id).values(attempt=attempt))


def _checkout_url(session: Session, intent: models.Intent) -> str:
    """Empty once it was paid or replaced."""
    row = session.get(models.Checkout, intent.session_id) if intent.session_id else None
    return row.url if row else ""
