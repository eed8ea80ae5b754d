"""
The org as a customer of Stripe: which one it is, and the lease under which it is looked at or changed.

Under the lease nobody else fetches or changes the customer's objects, so that what was fetched is not taken over
after something newer. It ends by the database's clock, since business time can be moved.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.billing import domain, models, stripe_api
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from shared import database, errors, ids, personal, store

LEASE_SECONDS = 30  # longer than an errand may last
WAIT_SECONDS = 1.5
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Lease:
    org_id: str
    holder: str

    def check(self, session: Session) -> None:
        """
        Keep the lease for the rest of this transaction.

        :raises Unavailable: `change_interrupted` if it ran out meanwhile
        :raises NotFound: `erased` if the org is gone for good
        """
        ours = select(models.Customer.org_id).where(
            models.Customer.org_id == self.org_id,
            models.Customer.holder == self.holder,
            models.Customer.lease_until > func.clock_timestamp(),
        )
        if session.scalar(ours.with_for_update()) is None:
            raise errors.Unavailable("change_interrupted", "This took too long and goes on by itself.")
        _refuse_if_erased(session, self.org_id)


@contextmanager
def lease(
    home: database.Database, org_id: str, *, wait_seconds: float = WAIT_SECONDS, to_erase: bool = False
) -> Iterator[Lease]:
    """
    Be the only one at Stripe for this org. A process that dies leaves the lease to run out.

    :param to_erase: of an org that is gone for good only who erases may have it
    :raises Conflict: `change_in_progress` if somebody else holds it for longer
    :raises NotFound: `erased`
    """
    mine = Lease(org_id, ids.new("lease"))
    until = time.monotonic() + wait_seconds
    while not _take(home, mine, to_erase=to_erase):
        if time.monotonic() > until:
            raise errors.Conflict("change_in_progress", "Another change is under way; try again in a moment.")
        time.sleep(LOOK_SECONDS)
    try:
        yield mine
    finally:
        _release(home, mine)


def customer_id(session: Session, org_id: str) -> str:
    """
    Empty if the org never was a customer.

    :raises NotFound: `erased`
    """
    _refuse_if_erased(session, org_id)
    found = session.scalar(select(models.Customer.customer_id).where(models.Customer.org_id == org_id))
    return found or ""


def org_of(session: Session, customer_id: str) -> str:
    """Empty if the customer is none of ours."""
    return orgs_of(session, {customer_id}).get(customer_id, "")


def orgs_of(session: Session, customer_ids: Collection[str]) -> dict[str, str]:
    """By the customer's id; without those that are none of ours."""
    ours = models.Customer.customer_id.in_(sorted(customer_ids))
    rows = session.execute(select(models.Customer.customer_id, models.Customer.org_id).where(ours))
    return {row.customer_id: row.org_id for row in rows if row.customer_id}


def linked(parts: Parts, stripe: stripe_api.Stripe, mine: Lease) -> str:
    """
    The org's customer, made if there is none yet or if it was deleted at Stripe. The key is the org's own, with the
    customer that it follows, so that a crash between the call and the link does not make a second one; and since
    Stripe forgets keys after a day, it is looked for first.
    """
    with parts.database.begin() as session:
        known = customer_id(session, mine.org_id)
    if known and not stripe.is_deleted(known):
        return known
    key = f"{mine.org_id}-customer{f'-after-{known}' if known else ''}"
    made = stripe.find_customer(mine.org_id) or _created(stripe, mine.org_id, key)
    with parts.database.begin() as session:
        link(session, mine, made)
    return made


def link(session: Session, mine: Lease, customer_id: str) -> None:
    """:raises Unavailable: `change_interrupted` if the lease ran out meanwhile"""
    mine.check(session)
    ours = update(models.Customer).where(models.Customer.org_id == mine.org_id)
    session.execute(ours.values(customer_id=customer_id))
    decide = partial(domain.link, org_id=mine.org_id, customer_id=customer_id)
    store.execute(session, stream(mine.org_id), SUBSCRIPTION, decide)


def portal(parts: Parts, org_id: str, *, key: str) -> str:
    """
    The address of the customer's portal.

    :raises Conflict: `no_customer` before a first paid plan, or after it was deleted at Stripe; `stripe_refused`
    :raises Unavailable: `stripe_unavailable`
    """
    with parts.database.begin() as session:
        known = customer_id(session, org_id)
    with stripe_api.unavailable_when_away():
        stripe = parts.stripe()
        if not known or stripe.is_deleted(known):
            raise errors.Conflict("no_customer", "There is nothing to manage before a first paid plan.")
        return stripe.portal(known, key=key)


def _created(stripe: stripe_api.Stripe, org_id: str, first_key: str) -> str:
    """Stripe keeps a failure under its key for a day; another key gets past it, the same ones at every repeat."""
    for key in (first_key, f"{first_key}-2"):
        try:
            return stripe.create_customer(org_id, key=key)
        except stripe_api.Away as away:
            if not away.answered:
                raise
    return stripe.create_customer(org_id, key=f"{first_key}-3")


def _refuse_if_erased(session: Session, org_id: str) -> None:
    """Nor is it until this transaction ends. Behind the customer's row, as whoever erases has it."""
    if not personal.keep(session, org_id):
        raise errors.NotFound("erased", "This organization was erased.")


def _take(home: database.Database, mine: Lease, *, to_erase: bool) -> bool:
    """A transaction of its own, so that everybody sees it before the first call."""
    until = text(f"clock_timestamp() + interval '{LEASE_SECONDS} seconds'")
    row = postgresql.insert(models.Customer).values(
        org_id=mine.org_id, customer_id=None, holder=mine.holder, lease_until=until, payment_url=""
    )
    taken = row.on_conflict_do_update(
        index_elements=["org_id"],
        set_={"holder": mine.holder, "lease_until": until},
        where=models.Customer.lease_until < func.clock_timestamp(),
    )
    with home.begin() as session:
        is_ours = session.execute(taken.returning(models.Customer.org_id)).first() is not None
        if not to_erase:
            _refuse_if_erased(session, mine.org_id)
        return is_ours


def _release(home: database.Database, mine: Lease) -> None:
    ours = (models.Customer.org_id == mine.org_id) & (models.Customer.holder == mine.holder)
    with home.begin() as session:
        session.execute(update(models.Customer).where(ours).values(lease_until=func.to_timestamp(0)))
