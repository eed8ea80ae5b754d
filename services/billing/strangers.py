"""
Who pays at Stripe and is no customer that we know: the other half of a comparison.

It comes of a database that was restored, or of somebody at Stripe's dashboard. An org that has no customer is linked
to the one whose subscription names it; everything else is for a person to decide.
"""

from collections.abc import Iterator

from sqlalchemy import select

from services.billing import customers, erasing, errands, models
from services.billing.parts import Parts
from services.billing.stripe_objects import Payer
from shared import database, personal


def find(parts: Parts, mine: errands.Held) -> Iterator[Payer]:
    """
    :raises stripe_api.Away: if Stripe is
    :raises errands.Lost: if another goes on with it
    """
    after, has_more = "", True
    while has_more:
        mine.note()
        page, has_more = parts.stripe().payers(after=after)
        after = page[-1].subscription_id if page else ""
        known = _known(parts.database, page)
        yield from (payer for payer in page if payer.customer_id not in known)


def settle(parts: Parts, payer: Payer, *, execute: bool) -> str:
    """
    Link the org, so that it is compared from now on.

    :returns: what is left for a person, or is not to be done; empty if the org is linked
    :raises Conflict: `change_in_progress` if the org is being changed at the moment
    """
    with parts.database.begin() as session:
        if payer.org_id and personal.is_erased(session, payer.org_id):
            if execute:
                erasing.once_more(session, payer.org_id, payer.customer_id)
            return f"{payer.customer_id} still pays for {payer.subscription_id} and was erased"
        if not payer.org_id or session.get(models.Subscription, payer.org_id) is None:
            return f"{payer.subscription_id} is of no org that billing knows"
        first = customers.customer_id(session, payer.org_id)
    if first:
        return f"{payer.subscription_id} is of a second customer, {payer.customer_id}, beside {first}"
    if not execute:
        return f"is not linked to {payer.customer_id}, who pays for {payer.subscription_id}"
    with customers.lease(parts.database, payer.org_id) as mine, parts.database.begin() as session:
        customers.link(session, mine, payer.customer_id)
    return ""


def _known(home: database.Database, page: list[Payer]) -> set[str | None]:
    wanted = select(models.Customer.customer_id).where(
        models.Customer.customer_id.in_([payer.customer_id for payer in page])
    )
    with home.begin() as session:
        return set(session.scalars(wanted))
