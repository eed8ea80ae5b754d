"""Who may sign in with which password: rows, never events."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.accounts import addresses, models, passwords
from shared import database, errors


@dataclass(frozen=True)
class Candidate:
    """
    Whose password it has to be.

    :param account_id: empty where there is no account, or not yet
    """

    account_id: str
    password_hash: str


SUBJECT_LENGTH = 320

NOBODY = Candidate(account_id="", password_hash=passwords.NOBODYS)


def of_address(session: Session, key: str) -> models.Credential | None:
    return session.scalar(select(models.Credential).where(models.Credential.email == key))


def subject(email: str) -> str:
    """Whose password somebody tries, for counting: the address's key, or what was typed if it is none."""
    try:
        return addresses.parse(email).key
    except errors.Invalid:
        return email[:SUBJECT_LENGTH]


def lock(session: Session, account_id: str) -> models.Credential | None:
    """Keep others from changing it until this transaction ends, and see what the last of them left."""
    return session.get(models.Credential, account_id, with_for_update=True, populate_existing=True)


def candidate(session: Session, email: str) -> Candidate:
    """Exactly one hash to check, whatever was typed: an account's, else a pending registration's, else nobody's."""
    try:
        key = addresses.parse(email).key
    except errors.Invalid:
        return NOBODY
    known = of_address(session, key)
    if known is not None:
        return Candidate(known.account_id, known.password_hash)
    pending = (
        select(models.Registration.password_hash)
        .where(models.Registration.email == key, models.Registration.account_id.is_(None))
        .where(models.Registration.expires_at > database.now(session))
        .order_by(models.Registration.created_at.desc())
        .limit(1)
    )
    password_hash = session.scalar(pending)
    return NOBODY if password_hash is None else Candidate("", password_hash)


def still_stands(session: Session, checked: Candidate, *, stronger_hash: str | None) -> bool:
    """
    Whether the password that was checked outside the transaction is still the account's.

    :param stronger_hash: the same password's, to be kept from now on; None: leave it
    """
    ours = (models.Credential.account_id == checked.account_id) & (
        models.Credential.password_hash == checked.password_hash
    )
    kept = stronger_hash or checked.password_hash
    touched = update(models.Credential).where(ours).values(password_hash=kept)
    return session.execute(touched.returning(models.Credential.account_id)).first() is not None
