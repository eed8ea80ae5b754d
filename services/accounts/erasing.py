"""
A person leaves for good. When the cooling-off time is over, in one transaction: nobody can sign in any more, all that
accounts has of the person and of the orgs that go along is gone, and the other services are told. Each of them erases
and reports back; when all have, the account is told to be erased, and a last mail goes out.

Reports are kept by org and service, whenever they come: before the erasure, twice, or about an org that is none of
ours.
"""

from collections.abc import Sequence
from functools import partial

from sqlalchemy import delete, or_, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.accounts import account, credentials, deletions, invitations, mailing, mails, models, org, projections
from shared import context, database, erasures, errors, failpoints, ids, logs, personal, store

WAITED_FOR = ("billing", "quota", "secrets")
log = logs.logger(__name__)


def begin_due(home: database.Database, *, public_url: str) -> int:
    """All whose time has come; gives how many began. One that cannot begin now is due the next time too."""
    begun = 0
    for account_id in _due(home):
        actor = context.Actor(kind="service", id="accounts")
        try:
            with context.use(actor=actor), home.begin() as session:
                begun += _begin(session, account_id)
        except errors.Conflict as error:
            log.warning("an erasure is refused", account=account_id, reason=error.code)
            with context.use(actor=actor), home.begin() as session:
                deletions.refuse(session, account_id, public_url=public_url)
        except (errors.ServiceError, store.VersionConflict, database.Beaten) as error:
            log.warning("an erasure is put off", account=account_id, reason=type(error).__name__)
        failpoints.reach("erasure.begun")
    return begun


def report(session: Session, org_id: str, service: str) -> None:
    """A service has nothing of the org any more."""
    waiting = select(models.ErasureOrg.account_id).where(models.ErasureOrg.org_id == org_id)
    account_id = session.scalar(waiting) or ""
    if not account_id and personal.is_erased(session, org_id):
        return  # it is over
    fresh = postgresql.insert(models.ErasureReport).values(
        org_id=org_id, service=service, reported_at=database.now(session)
    )
    session.execute(fresh.on_conflict_do_nothing())
    if account_id:
        _end_if_through(session, account_id)


def end_due(home: database.Database) -> None:
    """Those whose last report came before it was known that it is waited for."""
    with home.begin() as session:
        waiting = session.scalars(select(models.Erasure.account_id)).all()
    for account_id in waiting:
        with context.use(actor=context.Actor(kind="service", id="accounts")), home.begin() as session:
            _end_if_through(session, account_id)


def again(session: Session, id: str) -> None:
    """
    A restored database does not know that it was erased: an org, or a person, who has waited for all and had the last
    mail already.
    """
    if id.startswith("org_"):
        personal.erase(session, id)
        store.execute(session, projections.org_stream(id), projections.ORG, org.erase)
        _forget_org(session, id)
    elif id.startswith("acc_"):
        credential = credentials.lock(session, id)
        orgs = deletions.orgs_of(session, id)
        personal.erase(session, id)
        for org_id in orgs:
            remove = partial(org.remove, account_id=id)
            store.execute(session, projections.org_stream(org_id), projections.ORG, remove)
        _forget_credentials(session, id, credential.email if credential else "")
        store.execute(session, projections.account_stream(id), projections.ACCOUNT, account.erase)


def _due(home: database.Database) -> Sequence[str]:
    with home.begin() as session:
        over = models.Deletion.erases_at <= database.now(session)
        due = select(models.Deletion.account_id).where(models.Deletion.state == "confirmed", over)
        return session.scalars(due.order_by(models.Deletion.erases_at)).all()


def _begin(session: Session, account_id: str) -> bool:
    """
    :returns: False if it was withdrawn or has begun meanwhile
    :raises Conflict: `org_has_members`
    """
    # In the order in which everybody locks: what signs in, the profiles, and the subjects of personal data last.
    credential = credentials.lock(session, account_id)
    wish = session.get(models.Deletion, account_id, with_for_update=True, populate_existing=True)
    is_due = wish is not None and wish.erases_at is not None and wish.erases_at <= database.now(session)
    if credential is None or not is_due:
        return False
    projections.lock_account(session, account_id)
    orgs = deletions.orgs_of(session, account_id)
    for org_id in orgs:
        projections.lock_org(session, org_id)
    email, farewell = credential.email, credential.typed_email
    gone = [org_id for org_id in orgs if _leave(session, org_id, account_id)]
    for subject in (account_id, *gone):
        personal.erase(session, subject)
    _forget_credentials(session, account_id, email)
    for org_id in gone:
        _forget_org(session, org_id)
        session.add(models.ErasureOrg(org_id=org_id, account_id=account_id))
    session.add(models.Erasure(account_id=account_id, begun_at=database.now(session), farewell=farewell))
    session.flush()
    _end_if_through(session, account_id)
    return True


def _leave(session: Session, org_id: str, account_id: str) -> bool:
    """Whether the org goes along."""
    leave = partial(org.leave_for_good, account_id=account_id)
    return store.execute(session, projections.org_stream(org_id), projections.ORG, leave).is_erased


def _forget_org(session: Session, org_id: str) -> None:
    invitations.forget_org(session, org_id)
    erasures.forget_commands(session, org_id=org_id)
    erasures.forget_jobs(session, org_id)


def _forget_credentials(session: Session, account_id: str, email: str) -> None:
    """Whatever could sign the person in, would write to them, or knows their address."""
    for table in (models.SignedIn, models.PasswordReset, models.EmailChange, models.Deletion, models.Credential):
        session.execute(delete(table).where(table.account_id == account_id))
    theirs = or_(models.Registration.account_id == account_id, models.Registration.email == email)
    pending = delete(models.Registration).where(theirs).returning(models.Registration.id)
    for subject in (account_id, *session.scalars(pending).all()):
        erasures.forget_jobs(session, subject)
    invitations.forget_address(session, email)
    acts = update(models.OperatorAct).where(models.OperatorAct.account_id == account_id)
    session.execute(acts.values(reason=""))
    erasures.forget_commands(session, account_id=account_id)


def _end_if_through(session: Session, account_id: str) -> None:
    """Tell that the account is erased, once every service has reported every org that went along."""
    # Before the reports are counted: of two that come at once, the second waits here for the first, and sees it then.
    erasure = session.get(models.Erasure, account_id, with_for_update=True, populate_existing=True)
    if erasure is None:
        return
    orgs = session.scalars(select(models.ErasureOrg.org_id).where(models.ErasureOrg.account_id == account_id)).all()
    if outstanding(session, orgs):
        return
    store.execute(session, projections.account_stream(account_id), projections.ACCOUNT, account.erase)
    subject = ids.derived("erasure", account_id)  # a mail to somebody who is gone for good would not be sent
    mailing.mail_to(session, erasure.farewell, mails.erased(), subject=subject)
    for table in (models.ErasureReport, models.ErasureOrg):
        session.execute(delete(table).where(table.org_id.in_(orgs)))
    session.delete(erasure)


def outstanding(session: Session, orgs: Sequence[str]) -> list[tuple[str, str]]:
    """(org, service) of each report that has not come."""
    reports = select(models.ErasureReport).where(models.ErasureReport.org_id.in_(orgs))
    there = {(row.org_id, row.service) for row in session.scalars(reports)}
    return [(org_id, service) for org_id in orgs for service in WAITED_FOR if (org_id, service) not in there]
