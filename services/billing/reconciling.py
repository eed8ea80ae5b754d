"""
Every subscription compared with Stripe, and what differs taken over, by the way that a webhook takes.

Every night, and when operations ask. Org by org, so that whatever stops it, the next one goes on after the last.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from services.billing import errands, following, missed_events, models, strangers, stripe_api
from services.billing.following import NO_DIFFERENCE, Difference
from services.billing.parts import Parts
from shared import context, database, errors, logs

ERRAND = "reconcile"
FROM_HOUR, HOURS = 1, 4  # at night in UTC; where in it, chance says, so that not everybody asks Stripe at once
LOOKS_PER_SECOND = 5  # of the 25 calls a second that Stripe allows in test mode, 100 else
TURN_SECONDS = 600.0
ORGS_AT_ONCE = 100
log = logs.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """
    What there is to say about an org.

    :param trouble: why it could not be compared; empty if it could
    """

    org_id: str
    difference: Difference = NO_DIFFERENCE
    trouble: str = ""

    @property
    def differs(self) -> bool:
        return bool(self.difference.facts or self.difference.duplicates)


def run_due(parts: Parts) -> None:
    """The timer: what was missed every hour, every subscription once a night."""
    with context.use(actor=context.Actor(kind="service", id="billing")):
        try:
            _take_in_missed(parts)
            _compare_all(parts)
        except (stripe_api.Away, stripe_api.Refused, errands.Lost) as error:
            log.warning("reconcile interrupted", reason=str(error))  # it is still due, and goes on next time


def every(parts: Parts, mine: errands.Held, *, execute: bool, seconds: float = TURN_SECONDS) -> Iterator[Finding]:
    """
    All orgs that are customers of Stripe's, and before them those who pay and are unknown. It goes on where the last
    one stopped; where nothing is executed it looks at all, and leaves that place as it is.

    :raises stripe_api.Away: if Stripe is
    :raises errands.Lost: if another goes on with it
    """
    until = time.monotonic() + seconds
    if not (execute and mine.position):
        yield from _strangers(parts, mine, execute=execute)
    for org_id in _orgs(parts.database, after=mine.position if execute else ""):
        if time.monotonic() > until:
            return
        started = time.monotonic()
        yield compare(parts, org_id, execute=execute)
        mine.note(**({"position": org_id} if execute else {}))
        time.sleep(max(0.0, 1 / LOOKS_PER_SECOND - (time.monotonic() - started)))
    if execute:
        mine.through(due_at=next_night(parts.now()))


def _strangers(parts: Parts, mine: errands.Held, *, execute: bool) -> Iterator[Finding]:
    """Those that are linked now come in their turn; the others are told at once."""
    for payer in strangers.find(parts, mine):
        try:
            trouble = strangers.settle(parts, payer, execute=execute)
        except errors.ServiceError as error:
            trouble = str(error)
        if trouble:
            yield Finding(org_id=payer.org_id or payer.customer_id, trouble=trouble)


def compare(parts: Parts, org_id: str, *, execute: bool) -> Finding:
    """
    One org, by whoever is at work.

    :raises stripe_api.Away: if Stripe is
    """
    with context.use(actor=replace(context.current().actor, org_id=org_id)):
        try:
            difference = following.follow(parts, org_id, execute=execute)
            payments = following.follow_payments(parts, org_id, execute=execute)
        except (errors.ServiceError, stripe_api.Refused) as error:
            return Finding(org_id=org_id, trouble=str(error))
    return Finding(org_id=org_id, difference=replace(difference, facts=(*difference.facts, *payments)))


def next_night(now: datetime) -> datetime:
    """A moment of the night that begins after now."""
    midnight = datetime.combine(now.astimezone(UTC).date(), datetime.min.time(), UTC)
    chance: Any = random.random()  # noqa: S311  # for spreading the load, and nobody's secret
    return midnight + timedelta(days=1, hours=FROM_HOUR + HOURS * chance)


def _take_in_missed(parts: Parts) -> None:
    first_at = missed_events.first_due(parts)
    if errands.is_due(parts.database, missed_events.ERRAND, first_at=first_at):
        with errands.held(parts.database, missed_events.ERRAND, first_at=first_at) as mine:
            if mine is not None:
                missed_events.take_in(parts, mine)


def _compare_all(parts: Parts) -> None:
    first_at = next_night(parts.now())
    if not errands.is_due(parts.database, ERRAND, first_at=first_at):
        return
    with errands.held(parts.database, ERRAND, first_at=first_at) as mine:
        for finding in every(parts, mine, execute=True) if mine is not None else ():
            if finding.trouble:
                log.warning("subscription not compared", org=finding.org_id, reason=finding.trouble)
            elif finding.differs:
                facts = [fact.name for fact in finding.difference.facts]
                log.warning("subscription differed from stripe", org=finding.org_id, facts=facts)


def _orgs(home: database.Database, *, after: str) -> Iterator[str]:
    """Those that are a customer of Stripe's, in order of id, a few at a time."""
    while True:
        wanted = select(models.Customer.org_id).where(models.Customer.customer_id.is_not(None))
        with home.begin() as session:
            page = wanted.where(models.Customer.org_id > after).order_by(models.Customer.org_id).limit(ORGS_AT_ONCE)
            found = session.scalars(page).all()
        yield from found
        if len(found) < ORGS_AT_ONCE:
            return
        after = found[-1]
