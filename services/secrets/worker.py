"""
What secrets hears, and what it does without a caller: publish, say which secrets expire soon, forget what is over.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from services import suspension
from services.accounts.events import CATALOGUE as ACCOUNTS
from services.accounts.events import OrgErased
from services.secrets import domain, erasing, models, projections
from services.secrets.settings import Settings
from shared import database, envelope, inbox, pruning, store, worker

AT_ONCE = 1000  # the others a minute later
BRIEF = timedelta(days=1)  # who makes a secret for less than this has its end before their eyes


def work(settings: Settings, home: database.Database) -> worker.Work:
    return worker.Work(
        service="secrets",
        hears=[
            inbox.Hears(
                ACCOUNTS,
                {**suspension.HEARD, OrgErased: on_org_erased},
            )
        ],
        jobs={erasing.JOB: partial(finish_erasure, home)},
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


def on_org_erased(session: Session, fact: OrgErased, _envelope: envelope.Envelope) -> None:
    erasing.begin(session, fact.org_id)


def finish_erasure(home: database.Database, job_id: str, payload: dict[str, Any]) -> None:
    erasing.finish(home, payload["org_id"], job_id=job_id)


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
