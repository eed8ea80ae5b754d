"""
An org's secrets, erased for good. In the transaction that hears of it: no value is known any more, their names are
gone, and every secret that was good is revoked, which the gateways hear. The rest by a job, in steps that may be cut
off anywhere and done again.

What stays is the secrets' streams, which the others were told: ids, scopes and moments, without a name.
"""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from services.secrets import domain, models, projections
from services.secrets.events import CATALOGUE, ErasureDone
from shared import database, erasures, failpoints, jobs, personal, store

JOB = "secrets.erase_org"
AT_ONCE = 50  # so that no transaction runs long: the list of the revoked ones has no end


def begin(session: Session, org_id: str) -> None:
    personal.erase(session, org_id)  # waits for who makes a secret at this moment, and sees it
    ours = models.Secret.org_id == org_id
    session.execute(
        delete(models.Digest).where(models.Digest.secret_id.in_(select(models.Secret.secret_id).where(ours)))
    )
    good = select(models.Secret.secret_id).where(ours, models.Secret.revoked_at.is_(None))
    for secret_id in session.scalars(good.order_by(models.Secret.secret_id)).all():
        store.execute(session, projections.stream(org_id, secret_id), projections.SECRET, domain.revoke_with_org)
    erasures.forget_jobs(session, org_id)
    jobs.add(session, JOB, {"org_id": org_id}, subject=org_id)


def again(session: Session, id: str) -> None:
    """A restored database does not know that it was erased."""
    if id.startswith("org_"):
        begin(session, id)


def finish(home: database.Database, org_id: str, *, job_id: str) -> None:
    """The list, what clients called their commands, and the word to the others."""
    while _erase_some(home, org_id):
        failpoints.reach("erasure.step")
    with home.begin() as session:
        erasures.forget_commands(session, org_id=org_id)
        erasures.forget_jobs(session, org_id, but=job_id)
        erasures.tell(session, CATALOGUE, ErasureDone(org_id=org_id))


def _erase_some(home: database.Database, org_id: str) -> int:
    """Through the events, so that a rebuild makes none of them anew; gives how many secrets that were."""
    with home.begin() as session:
        ours = select(models.Secret.secret_id).where(models.Secret.org_id == org_id)
        some = session.scalars(ours.order_by(models.Secret.secret_id).limit(AT_ONCE)).all()
        for secret_id in some:
            store.execute(session, projections.stream(org_id, secret_id), projections.SECRET, domain.erase)
    return len(some)
