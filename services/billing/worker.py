"""What billing hears, the webhooks it goes after, and what it does when the clock turns."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from services import suspension
from services.accounts.events import CATALOGUE as ACCOUNTS
from services.accounts.events import OrgErased, OrgFounded
from services.billing import (
    changes,
    customers,
    domain,
    duplicates,
    erasing,
    following,
    reconciling,
    stripe_api,
    webhooks,
)
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from services.billing.settings import Settings
from shared import context, database, envelope, errors, inbox, jobs, logs, pruning, store, worker

RESTS = 4.0  # times as long as the look at a customer took
LONGEST_REST_SECONDS = 0.2
log = logs.logger(__name__)


def work(settings: Settings, home: database.Database) -> worker.Work:
    parts = Parts(database=home, settings=settings)
    return worker.Work(
        service="billing",
        hears=[
            inbox.Hears(
                ACCOUNTS,
                {
                    OrgFounded: partial(on_org_founded, parts),
                    **suspension.HEARD,
                    OrgErased: on_org_erased,
                },
            ),
        ],
        jobs={
            webhooks.FOLLOW: _unless_erased(partial(follow, parts)),
            webhooks.FOLLOW_PAYMENTS: _unless_erased(partial(follow_payments, parts)),
            webhooks.FOLLOW_DISPUTE: _unless_erased(partial(follow_dispute, parts)),
            following.END_DUPLICATE: _unless_erased(partial(duplicates.end, parts)),
            erasing.JOB: partial(erasing.finish, parts),
        },
        timers=[
            worker.Timer(
                name="finish changes", every_seconds=5.0, run=lambda _home: changes.finish_interrupted(parts)
            ),
            worker.Timer(name="follow due", every_seconds=10.0, run=lambda _home: following.follow_due(parts)),
            worker.Timer(name="reconcile", every_seconds=60.0, run=lambda _home: reconciling.run_due(parts)),
            worker.Timer(name="forget webhooks", every_seconds=3600.0, run=webhooks.forget_old),
            pruning.TIMER,
        ],
        misses=partial(stripe_api.misses, settings),
    )


def on_org_founded(parts: Parts, session: Session, fact: OrgFounded, envelope: envelope.Envelope) -> None:
    """A new org is on Free."""
    begin = partial(domain.begin, org_id=fact.org_id, plans=parts.plans, now=envelope.time)
    store.execute(session, stream(fact.org_id), SUBSCRIPTION, begin)


def on_org_erased(session: Session, fact: OrgErased, _envelope: envelope.Envelope) -> None:
    erasing.begin(session, fact.org_id)


def _unless_erased(do: jobs.Do) -> jobs.Do:
    """What was to be done for an org that is gone for good is done when nothing is."""

    def does(job_id: str, payload: dict[str, Any]) -> None:
        try:
            do(job_id, payload)
        except errors.NotFound as error:
            if error.code != "erased":
                raise
            log.info("nothing to do for an erased org", job=job_id)

    return does


def follow(parts: Parts, _job_id: str, payload: dict[str, Any]) -> None:
    _look(partial(following.follow, parts), payload["org_id"])


def follow_payments(parts: Parts, _job_id: str, payload: dict[str, Any]) -> None:
    _look(partial(following.follow_payments, parts), payload["org_id"])


def follow_dispute(parts: Parts, job_id: str, payload: dict[str, Any]) -> None:
    dispute_id = payload["dispute_id"]
    customer_id = parts.stripe().customer_of_dispute(dispute_id)
    with parts.database.begin() as session:
        org_id = customers.org_of(session, customer_id)
    if org_id:
        follow_payments(parts, job_id, {"org_id": org_id})
    else:
        log.warning("a dispute of an unknown customer", dispute=dispute_id)


def _look(look: Callable[[str], object], org_id: str) -> None:
    """And rest: after a burst of webhooks hundreds of customers may be waiting, and messages come first."""
    began = time.monotonic()
    with context.use(actor=context.Actor(kind="service", id="billing", org_id=org_id)):
        look(org_id)
    time.sleep(min(LONGEST_REST_SECONDS, RESTS * (time.monotonic() - began)))
