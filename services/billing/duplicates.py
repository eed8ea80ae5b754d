"""A second subscription of a customer: somebody paid twice. One stays; the other is canceled, then refunded."""

from functools import partial
from typing import Any

from services.billing import customers, domain, sight, stripe_api
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from services.billing.sight import Seen
from shared import context, database, logs, store

log = logs.logger(__name__)


def end(parts: Parts, _job_id: str, payload: dict[str, Any]) -> None:
    """
    The job. Canceled first: should Stripe refuse the refund, at least nothing more is charged, and the job, which is
    given up at last, is seen by operations.

    :raises Conflict, stripe_api.Away, stripe_api.Refused: to be tried again
    """
    org_id, subscription_id = payload["org_id"], payload["subscription_id"]
    actor = context.Actor(kind="service", id="billing", org_id=org_id)
    with context.use(actor=actor), customers.lease(parts.database, org_id) as mine:
        with parts.database.begin() as session:
            customer_id = customers.customer_id(session, org_id)
            state = store.load(session, stream(org_id), SUBSCRIPTION).state
        stripe = parts.stripe()
        found = stripe.subscriptions(customer_id)
        counts = sight.chosen(found, known=state.subscription_id)
        ours = next((each for each in found if each.subscription_id == subscription_id), None)
        if ours is None or _stays(counts, subscription_id) or subscription_id in state.ended_duplicates:
            return
        refund = _end(stripe, ours)
        record = partial(
            domain.end_duplicate,
            subscription_id=subscription_id,
            plan=ours.entitled_plan(parts.plans),
            plan_kept=counts.entitled_plan(parts.plans) if counts.exists else state.plan,
            refunded_cents=refund.cents,
            currency=refund.currency,
        )
        with parts.database.begin() as session:
            mine.check(session)
            store.execute(session, stream(org_id), SUBSCRIPTION, partial(record, now=database.now(session)))
        log.warning("a second subscription was ended", org=org_id, subscription=subscription_id)


def _stays(counts: Seen, subscription_id: str) -> bool:
    """Whether it is the only one left meanwhile: the other one was ended by somebody."""
    return counts.exists and counts.subscription_id == subscription_id


def _end(stripe: stripe_api.Stripe, duplicate: Seen) -> stripe_api.Refund:
    key = f"{duplicate.subscription_id}-duplicate"
    if duplicate.exists:
        stripe.cancel(duplicate, key=f"{key}-cancel")
    return stripe.refund(duplicate.invoice_id, key=f"{key}-refund")
