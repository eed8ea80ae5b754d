"""
Another address for an account: asked for with the password, confirmed at the new one, and undone from the old one.

Rows, and one event without the address. Whether the wanted address is somebody's shows in nothing but the mail that
its owner gets: both ways a row is kept and a mail is left for the worker. The unique index on credentials decides
when the change happens, and not before.
"""

from datetime import timedelta
from functools import partial

from sqlalchemy import Select, delete, exc, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from services.accounts import (
    account,
    addresses,
    change_mails,
    credentials,
    mailing,
    models,
    passwords,
    projections,
    sessions,
    tokens,
)
from shared import database, errors, ids, personal, store

LIFE = timedelta(hours=1)
UNDO_LIFE = timedelta(days=7)


def request(
    session: Session, credential: models.Credential, address: addresses.Address, *, session_id: str, public_url: str
) -> None:
    """
    Mail a link to the new address, in place of any that was mailed before.

    :param credential: of the account, locked
    :raises Conflict: `email_unchanged`
    """
    if address.typed == credential.typed_email:
        raise errors.Conflict("email_unchanged", "This is the account's address already.")
    forget_wishes(session, credential.account_id)
    token = tokens.mailed_token()
    _keep(session, credential, address, session_id=session_id, token=token)
    known = credentials.of_address(session, address.key)
    if known is not None and known.account_id != credential.account_id:
        mailing.mail_to(session, known.typed_email, change_mails.address_in_use(), subject=known.account_id)
        return
    link = f"{public_url}/change-email?token={token}"
    mail = change_mails.confirm_new_address(link=link, hours=LIFE // timedelta(hours=1))
    mailing.mail_to(session, address.typed, mail, subject=credential.account_id)


def confirm(session: Session, token: str, *, public_url: str) -> str | None:
    """
    Give the account its new address, end its other sessions and its links for a new password, and tell the old one.

    :returns: the account's id; None if the token is not of such a wish
    :raises Invalid: `invalid_token` if it is too old, if the address is somebody's meanwhile, or if the account has
        got another address since
    """
    change = session.scalar(_by_token(models.EmailChange.token_hash, token).with_for_update())
    if change is None:
        return None
    credential = credentials.lock(session, change.account_id)
    if credential is None or not _still_stands(session, change, credential):
        raise _invalid_token()
    undo_token = tokens.mailed_token()
    change.token_hash, change.undo_hash = None, tokens.fingerprint(undo_token)
    change.expires_at = database.now(session) + UNDO_LIFE
    _set_address(session, credential, key=change.new_email, typed=change.new_typed, otherwise=_invalid_token())
    sessions.end_others(session, credential.account_id, kept_id=change.session_id)
    notice = change_mails.address_changed(
        link=f"{public_url}/undo-email?token={undo_token}", days=UNDO_LIFE // timedelta(days=1)
    )
    mailing.mail_to(session, change.old_typed, notice, subject=credential.account_id)
    return credential.account_id


def undo(session: Session, token: str) -> models.Credential:
    """
    Give the account back the address that the token was mailed to, and sign out everywhere.

    Whoever changed it knew the password: no password is good until another is set with a mailed link. What came after
    the change, wishes and ways back, goes with it, since it was the same person's.

    :raises Invalid: `invalid_token`
    :raises Conflict: `email_taken` if another account has the address now
    """
    change = session.scalar(_by_token(models.EmailChange.undo_hash, token).with_for_update())
    credential = credentials.lock(session, change.account_id) if change else None
    if change is None or credential is None or change.expires_at <= database.now(session):
        raise _invalid_token()
    taken = errors.Conflict("email_taken", "Another account has this address now.")
    _set_address(session, credential, key=change.old_email, typed=change.old_typed, otherwise=taken)
    credential.password_hash, credential.changed_at = passwords.NOBODYS, database.now(session)
    later = (models.EmailChange.account_id == credential.account_id) & (models.EmailChange.id >= change.id)
    session.execute(delete(models.EmailChange).where(later))
    sessions.end_all(session, credential.account_id)
    return credential


def forget_wishes(session: Session, account_id: str) -> None:
    """When the account gets another password too: whoever has asked may have known the one before."""
    wishes = models.EmailChange.token_hash.is_not(None)
    session.execute(delete(models.EmailChange).where(wishes, models.EmailChange.account_id == account_id))


def prune(session: Session) -> None:
    session.execute(delete(models.EmailChange).where(models.EmailChange.expires_at <= database.now(session)))


def _by_token(column: InstrumentedAttribute[bytes | None], token: str) -> Select[models.EmailChange]:
    return select(models.EmailChange).where(column == tokens.fingerprint(token))


def _keep(
    session: Session, credential: models.Credential, address: addresses.Address, *, session_id: str, token: str
) -> None:
    now = database.now(session)
    session.add(
        models.EmailChange(
            id=ids.new("emc"),
            account_id=credential.account_id,
            session_id=session_id,
            old_email=credential.email,
            old_typed=credential.typed_email,
            new_email=address.key,
            new_typed=address.typed,
            token_hash=tokens.fingerprint(token),
            undo_hash=None,
            created_at=now,
            expires_at=now + LIFE,
        )
    )
    session.flush()


def _still_stands(session: Session, change: models.EmailChange, credential: models.Credential) -> bool:
    return change.expires_at > database.now(session) and credential.typed_email == change.old_typed


def _set_address(
    session: Session, credential: models.Credential, *, key: str, typed: str, otherwise: errors.ServiceError
) -> None:
    """:param otherwise: raised where the address is another account's; of two at once the second waits here"""
    account_id = credential.account_id
    credential.email, credential.typed_email = key, typed
    try:
        session.flush()
    except exc.IntegrityError:
        raise otherwise from None
    resets = models.PasswordReset.account_id == account_id
    session.execute(delete(models.PasswordReset).where(resets))  # their links lie in the mailbox that is left
    projections.lock_account(session, account_id)
    profile = {**personal.get(session, account_id), "email": typed}
    profile_version = personal.put(session, account_id, subject=account_id, **profile)
    change = partial(account.change_email, profile_version=profile_version)
    store.execute(session, projections.account_stream(account_id), projections.ACCOUNT, change)


def _invalid_token() -> errors.Invalid:
    return errors.Invalid("invalid_token", "This link is unknown, too old or used; ask for another.")
