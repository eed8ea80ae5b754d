"""What quota hears and what it does when the clock turns."""

from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.billing.events import CATALOGUE as BILLING
from services.billing.events import SubscriptionChanged
from services.quota import bots, boundary, ledger, models, projections
from services.quota.settings import Settings
from shared import clock, database, envelope, inbox, pruning, store, worker

TURN_BATCH = 200


def work(_settings: Settings, _home: database.Database) -> worker.Work:
    return worker.Work(
        service="quota",
        hears=[inbox.Hears(BILLING, {SubscriptionChanged: on_subscription_changed})],
        timers=[worker.Timer(name="turn months", every_seconds=1.0, run=turn_months), pruning.TIMER],
    )


def on_subscription_changed(session: Session, fact: SubscriptionChanged, _envelope: envelope.Envelope) -> None:
    """Take over the limits, reset the month's usage where a person's action asks for it, and pause or resume bots."""
    page = boundary.found(session, fact.org_id)
    if fact.version <= page.month.subscription_version:
        boundary.write(session, [page])
        return
    page.add(
        ledger.follow_subscription(
            page.month,
            version=fact.version,
            plan=fact.plan,
            limit=fact.message_limit,
            max_resets=fact.max_resets_per_month,
            action=fact.action,
            effective_period=boundary.period_of(clock.parse(fact.effective_at)),
        )
    )
    page.bot_limit = fact.bot_limit
    boundary.write(session, [page])
    fit = partial(bots.fit, limit=fact.bot_limit)
    store.execute(session, projections.roster_stream(fact.org_id), projections.ROSTER, fit)


def turn_months(home: database.Database) -> Any:
    """Open the new month of orgs that had ended at their limit, so that their bots run again without a message."""
    period = boundary.period_of(home.clock.now())
    waiting = select(models.Org.org_id).where(models.Org.stopped, models.Org.period < period).limit(TURN_BATCH)
    turned = True
    while turned:
        with home.begin() as session:
            pages = boundary.open_pages(session, session.scalars(waiting).all())
            turned = any(page.facts for page in pages.values())  # none: the database's clock is behind ours
            boundary.write(session, pages.values())
