"""The first paid plan: a Checkout session, one at a time for an org, the same as long as it is open."""

from functools import partial

from sqlalchemy import delete
from sqlalchemy.orm import Session

from services.billing import customers, domain, intents, models, projections, stripe_api
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from shared import store


def open_one(
    parts: Parts, mine: customers.Lease, stripe: stripe_api.Stripe, intent: models.Intent
) -> stripe_api.Session | None:
    """A session in which the intent's plan can be paid; None if another was paid just now, or it is too late."""
    customer_id = customers.linked(parts, stripe, mine)
    with parts.database.begin() as session:
        known = projections.open_checkout(session, mine.org_id)
    if known is not None:
        current = stripe.checkout(known.session_id)
        if current.status == "complete":
            return None
        if current.status == "open" and (known.plan, customer_id) == (intent.plan, current.customer_id):
            return current
        if current.status == "open":
            stripe.expire_checkout(current.id)
    if intents.is_too_old_to_send(intent, parts.now()):
        return stripe.find_checkout(customer_id, intent.id)
    intents.mark_sent(parts, intent)
    plan = parts.plans.plan(intent.plan)
    key = intents.key(intent, "checkout")
    return stripe.open_checkout(customer_id, mine.org_id, plan, intent_id=intent.id, key=key)


def record(parts: Parts, mine: customers.Lease, intent: models.Intent, opened: stripe_api.Session) -> None:
    """Close the intent with the session, which takes the place of a former one."""
    with parts.database.begin() as session:
        mine.check(session)
        if session.get(models.Checkout, opened.id) is None:
            _replace(session, intent, opened)
        intents.close(session, intent, state="checkout", session_id=opened.id)


def _replace(session: Session, intent: models.Intent, opened: stripe_api.Session) -> None:
    session.execute(delete(models.Checkout).where(models.Checkout.org_id == intent.org_id))
    session.add(
        models.Checkout(
            session_id=opened.id,
            org_id=intent.org_id,
            plan=intent.plan,
            url=opened.url,
            expires_at=opened.expires_at,
        )
    )
    open_checkout = partial(
        domain.open_checkout, session_id=opened.id, plan=intent.plan, expires_at=opened.expires_at
    )
    store.execute(session, stream(intent.org_id), SUBSCRIPTION, open_checkout)
