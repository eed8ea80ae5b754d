"""What quota hears and what it does when the clock turns."""

from functools import partial
from typing import Any

from sqlalchemy import cast, select
from sqlalchemy.orm import Session

from services import suspension
from services.accounts.events import CATALOGUE as ACCOUNTS
from services.accounts.events import OrgErased
from services.billing.events import CATALOGUE as BILLING
from services.billing.events import SubscriptionChanged
from services.quota import bots, boundary, erasing, ledger, memory, models, projections, visits
from services.quota.settings import Settings
from shared import clock, database, envelope, inbox, personal, pruning, store, worker


def work(_settings: Settings, home: database.Database) -> worker.Work:
    return worker.Work(
        service="quota",
        hears=[
            inbox.Hears(BILLING, {SubscriptionChanged: on_subscription_changed}),
            inbox.Hears(
                ACCOUNTS,
                {**suspension.HEARD, OrgErased: on_org_erased},
            ),
        ],
        jobs={erasing.JOB: partial(finish_erasure, home)},
        timers=[
            worker.Timer(name="turn months", every_seconds=1.0, run=turn_months),
            worker.Timer(name="expire credits", every_seconds=60.0, run=expire_credits),
            worker.Timer(name="prune messages", every_seconds=3600.0, run=prune_messages),
            pruning.TIMER,
        ],
    )


def on_subscription_changed(session: Session, fact: SubscriptionChanged, _envelope: envelope.Envelope) -> None:
    """Take over the limits, reset the month's usage where a person's action asks for it, and pause or resume bots."""
    page = boundary.found(session, fact.org_id)
    if not personal.keep(session, fact.org_id):
        erasing.forget_row(session, fact.org_id)  # it was erased while we asked whether it was
        return
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
    fit = partial(bots.fit, before=page.bot_limit, limit=fact.bot_limit)
    page.bot_limit = fact.bot_limit
    boundary.write(session, [page])
    store.execute(session, projections.roster_stream(fact.org_id), projections.ROSTER, fit)


def on_org_erased(session: Session, fact: OrgErased, _envelope: envelope.Envelope) -> None:
    erasing.begin(session, fact.org_id)


def finish_erasure(home: database.Database, _job_id: str, payload: dict[str, Any]) -> None:
    erasing.finish(home, payload["org_id"])


def turn_months(home: database.Database) -> int:
    """Open the new month of orgs that had ended at their limit, so that their bots run again without a message."""
    period = boundary.period_of(home.clock.now())
    return visits.visit(home, select(models.Org.org_id).where(models.Org.stopped, models.Org.period < period))


def expire_credits(home: database.Database) -> int:
    """Drop credits whose time is over, so that bots that ran on them are shown as stopped without a message."""
    with_credits = models.Org.credits != []
    first_to_expire = models.Org.credits[0]["expires_at"].astext
    over = cast(first_to_expire, models.Message.recorded_at.type) <= home.clock.now()
    return visits.visit(home, select(models.Org.org_id).where(with_credits, over))


def prune_messages(home: database.Database) -> int:
    """
    Forget the ids of messages of all months but the open one and the two before it; gives how many those were.

    A message is never counted in an earlier month than that of its moment, so that the index of moments finds them.
    """
    with home.begin() as session:
        oldest_kept = memory.oldest_kept(session)
    old = (models.Message.recorded_at < oldest_kept) & (models.Message.period < boundary.period_of(oldest_kept))
    return pruning.delete_old(home, models.Message, (models.Message.org_id, models.Message.message_id), old)
