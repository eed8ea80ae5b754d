"""
A forgotten password: a link is mailed, and whoever holds it may set another. Rows, never events.

Whether an address is known shows neither in the answer nor in its time: a request looks once and leaves one job,
whoever it is for. What is different happens later, in the worker.

Up to three links of an account are good at a time, each for an hour, since mails overtake each other and people ask
again; so nobody can have more than three an hour mailed to somebody. The first link that is used ends them all, and
so does signing in: whoever can, needs none.
"""

from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.accounts import addresses, credentials, email_changes, mailing, mails, models, sessions, tokens
from shared import database, errors, jobs

LIFE = timedelta(hours=1)
LINKS_AT_ONCE = 3
JOB = "accounts.password_reset"


def request(session: Session, address: addresses.Address) -> None:
    """Leave a job, for nobody too. The address itself is not kept."""
    known = credentials.of_address(session, address.key)
    account_id = "" if known is None else known.account_id
    jobs.add(session, JOB, {"account_id": account_id}, subject=account_id)


def mail_link(session: Session, account_id: str, *, reset_id: str, public_url: str) -> None:
    """
    Mail a link to the account, if it is somebody's and has not enough of them already.

    :param reset_id: the job's id, so that a job that is done twice mails once
    """
    credential = credentials.lock(session, account_id)
    if credential is None or _count_live(session, account_id) >= LINKS_AT_ONCE:
        return
    token = tokens.mailed_token()
    if not _keep(session, account_id, reset_id=reset_id, token=token):
        return
    link = f"{public_url}/reset-password?token={token}"
    mail = mails.reset_password(link=link, minutes=LIFE // timedelta(minutes=1))
    mailing.mail_to(session, credential.typed_email, mail, subject=account_id)


def owner(session: Session, token: str) -> models.Credential:
    """Whose password the token may set. :raises Invalid: `invalid_token`"""
    credential = owner_if_any(session, token)
    if credential is None:
        raise _invalid_token()
    return credential


def owner_if_any(session: Session, token: str) -> models.Credential | None:
    """None if the token is unknown, too old or used."""
    ours = (
        select(models.Credential)
        .join(models.PasswordReset, models.PasswordReset.account_id == models.Credential.account_id)
        .where(models.PasswordReset.token_hash == tokens.fingerprint(token))
        .where(models.PasswordReset.expires_at > database.now(session))
    )
    return session.scalar(ours)


def use(session: Session, account_id: str, token: str, *, password_hash: str, public_url: str) -> None:
    """
    Set the password, end every session and every other link, and tell the owner.

    :param password_hash: empty where the token was not good when the password would have been hashed
    :raises Invalid: `invalid_token` if it, or another link of the account, was used meanwhile
    """
    credential = credentials.lock(session, account_id)
    links = delete(models.PasswordReset).where(models.PasswordReset.account_id == account_id)
    ended = session.scalars(links.returning(models.PasswordReset.token_hash)).all()
    if credential is None or not password_hash or tokens.fingerprint(token) not in ended:
        raise _invalid_token()
    credential.password_hash, credential.changed_at = password_hash, database.now(session)
    email_changes.forget_wishes(session, account_id)
    sessions.end_all(session, account_id)
    notice = mails.password_changed(reset_link=f"{public_url}/forgotten-password")
    mailing.mail_to(session, credential.typed_email, notice, subject=account_id)


def forget(session: Session, account_id: str) -> None:
    """No link that was mailed is good any more."""
    session.execute(delete(models.PasswordReset).where(models.PasswordReset.account_id == account_id))


def prune(session: Session) -> None:
    expired = models.PasswordReset.expires_at <= database.now(session)
    session.execute(delete(models.PasswordReset).where(expired))


def _count_live(session: Session, account_id: str) -> int:
    live = select(func.count()).where(models.PasswordReset.account_id == account_id)
    return session.scalars(live.where(models.PasswordReset.expires_at > database.now(session))).one()


def _keep(session: Session, account_id: str, *, reset_id: str, token: str) -> bool:
    now = database.now(session)
    fresh = postgresql.insert(models.PasswordReset).values(
        id=reset_id,
        account_id=account_id,
        token_hash=tokens.fingerprint(token),
        created_at=now,
        expires_at=now + LIFE,
    )
    kept = session.execute(fresh.on_conflict_do_nothing(index_elements=["id"]).returning(models.PasswordReset.id))
    return kept.first() is not None


def _invalid_token() -> errors.Invalid:
    return errors.Invalid("invalid_token", "This link is unknown, too old or used; ask for another.")
