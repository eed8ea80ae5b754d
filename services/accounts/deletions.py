"""
The wish to leave, until it begins to happen: asked for, confirmed by whoever reads the account's mail, and withdrawn
for as long as the cooling-off time lasts. What happens then is in `erasing`.

Looking at a link changes nothing, since mail programs open links by themselves; only its button does.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.accounts import account, addresses, credentials, mailing, mails, models, org, projections, tokens
from shared import clock, database, errors, store, tables

LINK_LIFE = timedelta(hours=1)
MAILED_REQUEST_REST = timedelta(minutes=10)  # between two mails of ours to an account that asks by mail
MAILED_REQUEST_JOB = "accounts.mailed_request"


def request(session: Session, account_id: str, *, public_url: str) -> None:
    """
    Mail a link with which it is confirmed; one that was mailed before is no longer good.

    :raises Conflict: `deletion_confirmed` if it is confirmed already; `org_has_members`
    :raises NotFound: `erased`
    """
    credential = credentials.lock(session, account_id)
    if credential is None:
        raise errors.NotFound("erased", "This account was erased.")
    link = _new_link(session, account_id, public_url=public_url)
    mail = mails.confirm_deletion(link=link, minutes=LINK_LIFE // timedelta(minutes=1))
    mailing.mail_to(session, credential.typed_email, mail, subject=account_id)


def request_by_mail(session: Session, address: addresses.Address, *, public_url: str) -> bool:
    """
    Mail a link to the account that has this address, or how to become free to leave; at most one of the two in ten
    minutes, and none if the deletion is confirmed already: whoever writes the mails may not be who reads ours.

    :param address: from which an authentic mail came
    :returns: whether an account has it
    """
    known = credentials.of_address(session, address.key)
    credential = None if known is None else credentials.lock(session, known.account_id)
    if credential is None or credential.email != address.key:
        return False
    account_id = credential.account_id
    if not _was_written_to(session, account_id):
        mail = _answer_to_mail(session, account_id, public_url=public_url)
        if mail is not None:
            mailing.mail_to(session, credential.typed_email, mail, subject=account_id, kind=MAILED_REQUEST_JOB)
    return True


def heard(_session: Session, *, known: bool) -> dict[str, Any]:
    """What the mailroom is told of `request_by_mail`."""
    return {"known": known}


def _answer_to_mail(session: Session, account_id: str, *, public_url: str) -> mails.Mail | None:
    try:
        link = _new_link(session, account_id, public_url=public_url)
    except errors.Conflict as refused:
        if refused.code != "org_has_members":
            return None
        return mails.hand_over_first(account_link=f"{public_url}/account/leaving")
    return mails.confirm_mailed_deletion(link=link, minutes=LINK_LIFE // timedelta(minutes=1))


def _was_written_to(session: Session, account_id: str) -> bool:
    """The account's row is locked: of two mails at once the second sees the first one's job."""
    written = exists().where(
        tables.Job.kind == MAILED_REQUEST_JOB,
        tables.Job.subject == account_id,
        tables.Job.created_at > database.now(session) - MAILED_REQUEST_REST,
    )
    return bool(session.scalar(select(written)))


def _new_link(session: Session, account_id: str, *, public_url: str) -> str:
    """:raises Conflict: `deletion_confirmed`, `org_has_members`"""
    check_free_to_leave(session, account_id)
    token, now = tokens.mailed_token(), database.now(session)
    wish = {"token_hash": tokens.fingerprint(token), "requested_at": now, "expires_at": now + LINK_LIFE}
    fresh = postgresql.insert(models.Deletion).values(account_id=account_id, state="requested", **wish)
    renewed = fresh.on_conflict_do_update(
        index_elements=["account_id"], set_=wish, where=models.Deletion.state == "requested"
    )
    if session.execute(renewed.returning(models.Deletion.account_id)).first() is None:
        raise errors.Conflict("deletion_confirmed", "The deletion is confirmed already; it can only be withdrawn.")
    return f"{public_url}/confirm-deletion?token={token}"


def confirm(session: Session, token: str, *, cooling_off: timedelta, public_url: str) -> str:
    """
    From now on the time runs. The same token does the same again, which is nothing.

    :returns: the account's id
    :raises Invalid: `invalid_token`
    :raises Conflict: `org_has_members`
    """
    wish = _locked(session, models.Deletion.token_hash == tokens.fingerprint(token))
    now = database.now(session)
    if wish is None or (wish.state == "requested" and wish.expires_at <= now):
        raise _invalid_token()
    if wish.state == "confirmed":
        return wish.account_id
    check_free_to_leave(session, wish.account_id)
    withdrawal, erases_at = tokens.mailed_token(), now + cooling_off
    wish.state, wish.confirmed_at, wish.erases_at = "confirmed", now, erases_at
    wish.withdrawal_hash = tokens.fingerprint(withdrawal)
    _tell(session, wish.account_id, partial(account.confirm_deletion, erases_at=erases_at))
    link = f"{public_url}/withdraw-deletion?token={withdrawal}"
    _write(session, wish.account_id, mails.deletion_confirmed(erases_on=_spoken(erases_at), withdraw_link=link))
    return wish.account_id


def withdraw(session: Session, account_id: str) -> None:
    """:raises NotFound: `no_deletion`"""
    wish = _locked(session, models.Deletion.account_id == account_id)
    if wish is None:
        raise _no_deletion()
    _withdraw(session, wish)


def withdraw_by_link(session: Session, token: str) -> str:
    """
    :returns: the account's id
    :raises Invalid: `invalid_token`, also when it is too late
    """
    wish = _locked(session, models.Deletion.withdrawal_hash == tokens.fingerprint(token))
    if wish is None:
        raise _invalid_token()
    account_id = wish.account_id
    _withdraw(session, wish)
    return account_id


def withdraw_strangers(session: Session, account_id: str) -> None:
    """
    The account is back with its owner, from somebody who knew the password: what was asked for meanwhile, or before
    and not known of, ends with it. That nobody has asked is no error; whoever does want to leave asks again.
    """
    wish = _locked(session, models.Deletion.account_id == account_id)
    if wish is not None:
        _withdraw(session, wish)


def refuse(session: Session, account_id: str, *, public_url: str) -> None:
    """The time has come, and the person owns an org of others by now: nothing is deleted, and they are told."""
    wish = _locked(session, models.Deletion.account_id == account_id)
    if wish is not None:
        _end(session, wish, reason="org_has_members")
        _write(session, account_id, mails.deletion_refused(account_link=f"{public_url}/account/leaving"))


def shown(session: Session, account_id: str) -> dict[str, Any]:
    """
    :returns: `{"state", "requested_at", "expires_at", "erases_at"}`; the state is requested or confirmed, `erases_at`
        None before it is confirmed
    :raises NotFound: `no_deletion`, also when the link that was to confirm it is too old
    """
    wish = session.get(models.Deletion, account_id, populate_existing=True)
    if wish is None or (wish.state == "requested" and wish.expires_at <= database.now(session)):
        raise _no_deletion()
    return {
        "state": wish.state,
        "requested_at": clock.rfc3339(wish.requested_at),
        "expires_at": clock.rfc3339(wish.expires_at),
        "erases_at": clock.rfc3339(wish.erases_at) if wish.erases_at else None,
    }


def check_free_to_leave(session: Session, account_id: str) -> None:
    """:raises Conflict: `org_has_members` if the person owns an org that others are in"""
    for org_id in orgs_of(session, account_id):
        state = store.load(session, projections.org_stream(org_id), projections.ORG).state
        org.leave_for_good(state, account_id=account_id)


def orgs_of(session: Session, account_id: str) -> list[str]:
    """In the order in which they are locked."""
    ours = select(models.Member.org_id).where(models.Member.account_id == account_id)
    return [*session.scalars(ours.order_by(models.Member.org_id))]


def prune(session: Session) -> None:
    """Forget wishes that nobody confirmed in time."""
    expired = models.Deletion.expires_at <= database.now(session)
    session.execute(delete(models.Deletion).where(models.Deletion.state == "requested", expired))


def _withdraw(session: Session, wish: models.Deletion) -> None:
    account_id, was_confirmed = wish.account_id, wish.state == "confirmed"
    _end(session, wish, reason="person")
    if was_confirmed:
        _write(session, account_id, mails.deletion_withdrawn())


def _end(session: Session, wish: models.Deletion, *, reason: str) -> None:
    _tell(session, wish.account_id, partial(account.withdraw_deletion, reason=reason))
    session.delete(wish)


def _locked(session: Session, condition: Any) -> models.Deletion | None:
    return session.scalar(select(models.Deletion).where(condition).with_for_update())


def _tell(session: Session, account_id: str, decide: Any) -> None:
    store.execute(session, projections.account_stream(account_id), projections.ACCOUNT, decide)


def _write(session: Session, account_id: str, mail: mails.Mail) -> None:
    credential = session.get(models.Credential, account_id)
    if credential is not None:
        mailing.mail_to(session, credential.typed_email, mail, subject=account_id)


def _spoken(moment: datetime) -> str:
    return f"{moment:%d %B %Y at %H:%M}".lstrip("0")


def _no_deletion() -> errors.NotFound:
    return errors.NotFound("no_deletion", "Nobody has asked for this account's deletion, or it was withdrawn.")


def _invalid_token() -> errors.Invalid:
    return errors.Invalid("invalid_token", "This link is unknown, too old or used; ask for another.")
