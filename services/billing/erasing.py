"""
An org's end in billing. In the transaction that hears of it: from then on no door, webhook or look at Stripe does
anything for the org. Then, by a job: its subscription is ended at Stripe, before all else; the customer is deleted
there; what we have of it is forgotten; and the others are told.

Each step looks first at what is left to do, so that it may be cut off anywhere and done again.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from services.billing import customers, domain, models, stripe_api
from services.billing.events import CATALOGUE, ErasureDone
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from services.billing.stripe_leaving import Leaving
from shared import database, erasures, failpoints, jobs, logs, personal, store, tables

JOB = "billing.erase_org"
# A customer that is made at this moment, by whoever has the lease, is found by search only a minute later.
UNSEEN = timedelta(minutes=2)
AGAIN_AFTER = timedelta(minutes=1)
log = logs.logger(__name__)


def begin(session: Session, org_id: str) -> None:
    """Whoever is at Stripe for the org at this moment may finish the call, and can write down nothing of it."""
    ours = select(models.Customer.lease_until).where(models.Customer.org_id == org_id)
    lease_until = session.scalar(ours.with_for_update())
    personal.erase(session, org_id)
    store.execute(session, stream(org_id), SUBSCRIPTION, domain.erase)
    erasures.forget_jobs(session, org_id)
    machine_now = session.scalars(select(func.clock_timestamp())).one()
    is_busy = lease_until is not None and lease_until > machine_now - UNSEEN
    due_at = database.now(session) + (UNSEEN if is_busy else timedelta(0))
    jobs.add(session, JOB, {"org_id": org_id}, subject=org_id, due_at=due_at)


def again(session: Session, id: str) -> None:
    """A restored database does not know that it was erased."""
    if id.startswith("org_"):
        begin(session, id)


def once_more(session: Session, org_id: str, customer_id: str) -> None:
    """Somebody still pays at Stripe for an org that was erased, as after a backup was restored."""
    jobs.add(session, JOB, {"org_id": org_id, "customer_id": customer_id}, subject=org_id)


def finish(parts: Parts, job_id: str, payload: dict[str, Any]) -> None:
    """
    The job. While Stripe is away it is put off, however long that lasts.

    :raises Conflict: `change_in_progress` while somebody is still at Stripe for the org
    :raises stripe_api.Refused: if Stripe will not do it, or never knew the customer; then nothing is forgotten
    """
    org_id = payload["org_id"]
    with customers.lease(parts.database, org_id, to_erase=True) as mine:
        known = {payload.get("customer_id", ""), _linked(parts.database, org_id)} - {""}
        try:
            gone = _end_at_stripe(parts, org_id, known)
        except stripe_api.Away as away:
            log.warning("an org waits to be erased at stripe", org=org_id, reason=str(away))
            _put_off(parts.database, org_id, payload)
            return
        with parts.database.begin() as session:
            _forget(session, org_id, gone, but=job_id)
    failpoints.reach("erasure.step")
    with parts.database.begin() as session:
        erasures.tell(session, CATALOGUE, ErasureDone(org_id=org_id))
        # Last, since it is what `customers.lease` has left: who looks for it finds that the org is erased.
        session.execute(delete(models.Customer).where(models.Customer.org_id == mine.org_id))


def _end_at_stripe(parts: Parts, org_id: str, known: set[str]) -> set[str]:
    """
    :param known: Stripe's ids of customers of the org
    :returns: these, and those that were found there: all deleted
    """
    leaving = Leaving(settings=parts.settings)
    found = known | set(leaving.customers_of(org_id))
    for customer_id in sorted(found):
        if leaving.is_deleted(customer_id):
            continue
        leaving.close_pages(customer_id)
        failpoints.reach("erasure.step")
        if ended := leaving.end_subscriptions(customer_id):
            log.info("subscriptions of an erased org were ended", org=org_id, subscriptions=ended)
        failpoints.reach("erasure.step")
        leaving.delete(customer_id)
        failpoints.reach("erasure.step")
    return found


def _linked(home: database.Database, org_id: str) -> str:
    with home.begin() as session:
        found = session.scalar(select(models.Customer.customer_id).where(models.Customer.org_id == org_id))
    return found or ""


def _forget(session: Session, org_id: str, customer_ids: set[str], *, but: str) -> None:
    """What no event holds. The stream stays: what the others were told stands in their log, without a name."""
    for table in (models.Intent, models.Checkout):
        session.execute(delete(table).where(table.org_id == org_id))
    for customer_id in sorted(customer_ids):
        personal.erase(session, customer_id)  # a webhook of it that is under way leaves no trace
        about = or_(models.Webhook.customer_id == customer_id, models.Webhook.object_id == customer_id)
        session.execute(delete(models.Webhook).where(about))
    erasures.forget_commands(session, org_id=org_id)
    erasures.forget_jobs(session, org_id, but=but)
    session.execute(delete(tables.Repair).where(tables.Repair.key == org_id))


def _put_off(home: database.Database, org_id: str, payload: dict[str, Any]) -> None:
    with home.begin() as session:
        jobs.add(session, JOB, payload, subject=org_id, due_at=database.now(session) + AGAIN_AFTER)
