"""What secrets does without a caller: publish, say which secrets expire soon, and forget what is over."""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import select

from services.secrets import domain, models, projections
from services.secrets.settings import Settings
from shared import database, pruning, store, worker

AT_ONCE = 1000  # the others a minute later
BRIEF = timedelta(days=1)  # who makes a secret for less than this has its end before their eyes


def work(settings: Settings, _home: database.Database) -> worker.Work:
    return worker.Work(
        service="secrets",
        timers=[
            worker.Timer(
                name="tell expiry",
                every_seconds=60.0,
                run=partial(tell_expiry, notice=timedelta(days=settings.expiry_notice_days)),
            ),
            worker.Timer(name="prune former values", every_seconds=600.0, run=prune),
            pruning.TIMER,
        ],
    )


def tell_expiry(home: database.Database, *, notice: timedelta) -> int:
    """
    Say of each secret that expires within that time that it does, but not in the first half of its life; gives of how
    many. Where two do it at once, or somebody changes the secret meanwhile, one is beaten and looks again later.
    """
    with home.begin() as session:
        due = session.execute(_due(database.now(session), notice)).all()
    for org_id, secret_id in due:
        with suppress(store.VersionConflict), home.begin() as session:
            tell = partial(domain.tell_expiry, now=database.now(session))
            store.execute(session, projections.stream(org_id, secret_id), projections.SECRET, tell)
    return len(due)


def _due(now: datetime, notice: timedelta) -> Any:
    row = models.Secret
    life = row.expires_at - row.created_at
    return (
        select(row.org_id, row.secret_id)
        .where(row.revoked_at.is_(None), row.expiry_told_at.is_(None))
        .where(row.expires_at > now, row.expires_at <= now + notice)
        .where(life >= BRIEF, row.created_at + life / 2 <= now)
        .order_by(row.expires_at)
        .limit(AT_ONCE)
    )


def prune(home: database.Database) -> int:
    """Forget former values whose overlap is over; gives how many those were."""
    former = models.FormerDigest
    return pruning.delete_old(home, former, (former.secret_id,), former.works_until <= home.clock.now())
