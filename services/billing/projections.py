"""The subscription as it is shown, written with the events, and the answers that are read from it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.billing import activity, domain, models
from services.billing.catalogue import FREE, Catalogue, Plan
from services.billing.events import (
    CATALOGUE,
    ChangeScheduled,
    ChangeWithdrawn,
    DuplicateSubscriptionEnded,
    PaymentFailed,
    PaymentRecovered,
    PeriodStarted,
    SubscriptionChanged,
    SubscriptionErased,
)
from shared import clock, database, errors, events, personal, read_models, store

VERSION = 2
NOTHING_SCHEDULED = {"scheduled_plan": "", "scheduled_at": None}
NOTHING_OWED = {"owed_plan": "", "owing_since": None, "grace_until": None}
DOUBLE_PAYMENT_SHOWN = timedelta(days=30)
NO_PERIOD = {"period_start": None, "period_end": None}


def stream(org_id: str) -> str:
    return f"subscription-{org_id}"


def project(session: Session, event: events.Recorded, fact: Any) -> None:
    activity.TRAIL.project(session, [(event, fact)])
    match fact:
        case SubscriptionChanged():
            _write_changed(session, fact)
        case PaymentFailed():
            owed = {"owed_plan": fact.plan, "owing_since": clock.parse(fact.since)}
            _write(session, fact.org_id, **owed, grace_until=clock.parse(fact.grace_until), status="past_due")
        case PaymentRecovered():
            _write(session, fact.org_id, **NOTHING_OWED)
        case DuplicateSubscriptionEnded():
            _write_duplicate(session, fact)
        case ChangeScheduled():
            at = clock.parse(fact.takes_effect_at)
            _write(session, fact.org_id, scheduled_plan=fact.plan, scheduled_at=at)
        case ChangeWithdrawn():
            _write(session, fact.org_id, **NOTHING_SCHEDULED)
        case PeriodStarted():
            start, end = clock.parse(fact.starts_at), clock.parse(fact.ends_at)
            _write(session, fact.org_id, period_start=start, period_end=end)
        case SubscriptionErased():
            for table in (models.Subscription, models.Duplicate):
                session.execute(delete(table).where(table.org_id == fact.org_id))


SUBSCRIPTION = store.Aggregate(
    catalogue=CATALOGUE, initial=domain.Subscription(), evolve=domain.evolve, project=project
)

READ_MODELS = read_models.ReadModels(
    version=VERSION, tables=models.Views.metadata, catalogue=CATALOGUE, projects={"subscription": project}
)


def _write_changed(session: Session, fact: SubscriptionChanged) -> None:
    changes: dict[str, Any] = {
        "version": fact.version,
        "plan": fact.plan,
        "status": fact.status,
        "message_limit": fact.message_limit,
        "bot_limit": fact.bot_limit,
    }
    if fact.status == "active":
        changes |= NOTHING_OWED
    if fact.plan != fact.plan_before:
        changes |= NOTHING_SCHEDULED
    if fact.plan == FREE and fact.status == "active":
        changes |= NO_PERIOD | NOTHING_SCHEDULED
    first = {**NOTHING_OWED, **NOTHING_SCHEDULED, **NO_PERIOD, **changes}
    row = postgresql.insert(models.Subscription).values(org_id=fact.org_id, **first)
    session.execute(row.on_conflict_do_update(index_elements=["org_id"], set_=changes))


def _write_duplicate(session: Session, fact: DuplicateSubscriptionEnded) -> None:
    row = postgresql.insert(models.Duplicate).values(
        subscription_id=fact.subscription_id,
        org_id=fact.org_id,
        plan=fact.plan,
        refunded_cents=fact.refunded_cents,
        currency=fact.currency,
        ended_at=clock.parse(fact.ended_at),
    )
    session.execute(row)


def _write(session: Session, org_id: str, **changes: Any) -> None:
    ours = update(models.Subscription).where(models.Subscription.org_id == org_id)
    session.execute(ours.values(**changes))


def subscription(session: Session, org_id: str, plans: Catalogue) -> dict[str, Any]:
    """
    `GET /v1/subscription`, but for what quota knows. An org whose founding was not heard yet shows as on Free.

    :raises NotFound: `erased`
    """
    row = session.get(models.Subscription, org_id, populate_existing=True)
    if row is None and personal.is_erased(session, org_id):
        raise errors.NotFound("erased", "This organization was erased.")
    if row is None:
        return _unheard(plans.plan(FREE))
    return {
        "plan": row.plan,
        "status": row.status,
        "version": row.version,
        "limits": {"messages": row.message_limit, "bots": row.bot_limit},
        "period": _period(row),
        "scheduled_change": _scheduled(row),
        "pending_checkout": _pending_checkout(session, org_id) if row.plan == FREE else None,
        "payment_problem": _payment_problem(session, row),
        "double_payment": _double_payment(session, org_id),
    }


def plan(plan: Plan) -> dict[str, Any]:
    return {
        "id": plan.id,
        "name": plan.name,
        "price_cents": plan.price_cents,
        "currency": plan.currency,
        "messages_per_month": plan.messages,
        "bots": plan.bots,
        "rank": plan.rank,
        "max_resets_per_month": plan.max_resets_per_month,
    }


def _unheard(free: Plan) -> dict[str, Any]:
    return {
        "plan": free.id,
        "status": "active",
        "version": 0,
        "limits": {"messages": free.messages, "bots": free.bots},
        "period": None,
        "scheduled_change": None,
        "pending_checkout": None,
        "payment_problem": None,
        "double_payment": None,
    }


def _period(row: models.Subscription) -> dict[str, str] | None:
    if row.period_start is None or row.period_end is None:
        return None
    return {"starts_at": clock.rfc3339(row.period_start), "ends_at": clock.rfc3339(row.period_end)}


def _scheduled(row: models.Subscription) -> dict[str, str] | None:
    if row.scheduled_at is None:
        return None
    return {"plan": row.scheduled_plan, "takes_effect_at": clock.rfc3339(row.scheduled_at)}


def _pending_checkout(session: Session, org_id: str) -> dict[str, str] | None:
    row = open_checkout(session, org_id)
    if row is None:
        return None
    return {"plan": row.plan, "checkout_url": row.url, "expires_at": clock.rfc3339(row.expires_at)}


def open_checkout(session: Session, org_id: str) -> models.Checkout | None:
    """The Checkout session in which the org could pay now."""
    ours = select(models.Checkout).where(
        models.Checkout.org_id == org_id, models.Checkout.expires_at > database.now(session)
    )
    return session.scalars(ours.order_by(models.Checkout.expires_at.desc()).limit(1)).first()


def _payment_problem(session: Session, row: models.Subscription) -> dict[str, str | None] | None:
    if row.owing_since is None or row.grace_until is None:
        return None
    url = session.scalar(select(models.Customer.payment_url).where(models.Customer.org_id == row.org_id))
    return {
        "plan": row.owed_plan,
        "since": clock.rfc3339(row.owing_since),
        "grace_until": clock.rfc3339(row.grace_until),
        "payment_url": url or None,
    }


def _double_payment(session: Session, org_id: str) -> dict[str, Any] | None:
    """The last second subscription that was given back, for a while."""
    recent = models.Duplicate.ended_at > database.now(session) - DOUBLE_PAYMENT_SHOWN
    ours = select(models.Duplicate).where(models.Duplicate.org_id == org_id, recent)
    row = session.scalars(ours.order_by(models.Duplicate.ended_at.desc()).limit(1)).first()
    if row is None:
        return None
    return {
        "plan": row.plan,
        "refunded_cents": row.refunded_cents,
        "currency": row.currency,
        "ended_at": clock.rfc3339(row.ended_at),
    }
