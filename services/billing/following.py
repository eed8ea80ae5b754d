"""Look at Stripe and take over what it says: the same for a webhook, a timer, and the end of a call of ours."""

from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from services.billing import customers, domain, models, money_back, sight, stripe_api
from services.billing.catalogue import FREE, Catalogue
from services.billing.events import PaymentDisputed, SubscriptionEvent
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from shared import context, database, errors, jobs, logs, store

END_DUPLICATE = "billing.end_duplicate"
log = logs.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """
    What Stripe says that we did not know; empty if all agrees.

    :param duplicates: second subscriptions, which are to be ended
    """

    facts: tuple[SubscriptionEvent, ...] = ()
    duplicates: tuple[sight.Seen, ...] = ()


NO_DIFFERENCE = Difference()


def follow(parts: Parts, org_id: str, *, execute: bool = True) -> Difference:
    """
    :param execute: False to say only what would be taken over
    :raises Conflict: `change_in_progress` if the org is being changed at the moment
    :raises stripe_api.Away: if Stripe is
    :raises stripe_api.Refused: if what it has is nothing that we can follow
    """
    with customers.lease(parts.database, org_id) as mine:
        with parts.database.begin() as session:
            customer_id = customers.customer_id(session, org_id)
            known = store.load(session, stream(org_id), SUBSCRIPTION).state
        stripe = parts.stripe()
        found = stripe.subscriptions(customer_id)
        seen = sight.chosen(found, known=known.subscription_id)
        duplicates = sight.duplicates(found, seen)
        if execute and seen.draft_id:
            seen = _made_payable(stripe, seen)
        with parts.database.begin() as session:
            mine.check(session)
            state = store.load(session, stream(org_id), SUBSCRIPTION).state
            facts = sight.follow(state, seen=seen, plans=parts.plans, now=database.now(session))
            if execute:
                take_over(session, org_id, seen, parts.plans)
                for one in duplicates:
                    jobs.add(session, END_DUPLICATE, _order(org_id, one), subject=org_id)
    return Difference(facts=tuple(facts), duplicates=duplicates)


def _made_payable(stripe: stripe_api.Stripe, owing: sight.Seen) -> sight.Seen:
    """What becomes of the plan does not hang on it: somebody at the dashboard may have been faster."""
    try:
        return replace(owing, payment_url=stripe.make_payable(owing.draft_id))
    except stripe_api.Refused as refused:
        log.warning("a bill could not be made payable", invoice=owing.draft_id, reason=str(refused))
        return owing


def follow_payments(parts: Parts, org_id: str, *, execute: bool = True) -> tuple[SubscriptionEvent, ...]:
    """
    Record what went back or is disputed, of what the org paid under any customer.

    :returns: what was not known
    :raises Conflict, stripe_api.Away, stripe_api.Refused: as `follow`
    """
    with customers.lease(parts.database, org_id) as mine:
        with parts.database.begin() as session:
            former = store.load(session, stream(org_id), SUBSCRIPTION).state.former_customers
            customer_ids = [*former, customers.customer_id(session, org_id)]
        stripe = parts.stripe()
        payments = [payment for customer_id in customer_ids for payment in stripe.payments(customer_id)]
        with parts.database.begin() as session:
            mine.check(session)
            decide = partial(money_back.follow, payments=payments, now=database.now(session))
            facts = decide(store.load(session, stream(org_id), SUBSCRIPTION).state)
            if execute:
                store.execute(session, stream(org_id), SUBSCRIPTION, decide)
    for fact in facts:
        if isinstance(fact, PaymentDisputed):
            log.warning("a payment is disputed", org=org_id, dispute=fact.dispute_id, status=fact.status)
    return tuple(facts)


def _order(org_id: str, duplicate: sight.Seen) -> dict[str, str]:
    return {"org_id": org_id, "subscription_id": duplicate.subscription_id}


def take_over(session: Session, org_id: str, seen: sight.Seen, plans: Catalogue) -> domain.Subscription:
    decide = partial(sight.follow, seen=seen, plans=plans, now=database.now(session))
    state = store.execute(session, stream(org_id), SUBSCRIPTION, decide)
    ours = update(models.Customer).where(models.Customer.org_id == org_id)
    session.execute(ours.values(payment_url=seen.payment_url))
    if state.plan != FREE:
        session.execute(delete(models.Checkout).where(models.Checkout.org_id == org_id))
    return state


def follow_due(parts: Parts) -> None:
    """Where time alone changes something: a scheduled change has come, or a grace period is over."""
    for org_id in _due(parts.database):
        with context.use(actor=context.Actor(kind="service", id="billing", org_id=org_id)):
            try:
                follow(parts, org_id)
            except (errors.ServiceError, stripe_api.Away, stripe_api.Refused) as error:
                log.warning("subscription not followed", org=org_id, reason=str(error))  # it is still due next time


def _due(home: database.Database) -> list[str]:
    with home.begin() as session:
        now = database.now(session)
        in_grace = (models.Subscription.status == "past_due") & (models.Subscription.grace_until <= now)
        due = select(models.Subscription.org_id).where(or_(models.Subscription.scheduled_at <= now, in_grace))
        return list(session.scalars(due))
