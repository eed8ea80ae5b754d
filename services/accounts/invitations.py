"""
The owner invites an address; whoever reads its mail may join. Rows and mails, until somebody has joined.

Whether an address has an account shows neither in the answer nor in the mail. Invitations count until they would have
expired, whatever became of them, so that nobody can have us write to somebody over and over.
"""

from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from services.accounts import addresses, credentials, mailing, mails, models, org, projections, registrations, tokens
from shared import clock, database, erasures, errors, ids, personal, store

LIFE = timedelta(days=7)
OF_ORG = 50
OF_ADDRESS = 3


def invite(session: Session, org_id: str, address: addresses.Address, *, by: str, public_url: str) -> str:
    """
    Mail a link; an open one to the same address is no longer good.

    :param by: the account that must own the org
    :returns: the invitation's id
    :raises Forbidden: `owner_only`
    :raises NotFound: `unknown_org`
    :raises Conflict: `already_member`, `too_many_invitations`
    """
    _lock_as_owner(session, org_id, by)
    if _is_member(session, org_id, address.key):
        raise org.already_member()
    _check_room(session, org_id, address.key)
    open_one = (models.Invitation.org_id == org_id) & (models.Invitation.email == address.key) & _is_open()
    session.execute(update(models.Invitation).where(open_one).values(state="withdrawn"))
    token = tokens.mailed_token()
    invitation = _keep(session, org_id, address, token)
    mail = mails.invited(link=f"{public_url}/invitation?token={token}", days=LIFE.days)
    mailing.mail_to(session, address.typed, mail, subject=invitation.id)
    return invitation.id


def withdraw(session: Session, org_id: str, invitation_id: str, *, by: str) -> None:
    """
    :raises Forbidden: `owner_only`
    :raises NotFound: `unknown_org`; `unknown_invitation` if it is none of the org's, or not open any more
    """
    _lock_as_owner(session, org_id, by)
    invitation = _locked(session, (models.Invitation.id == invitation_id) & (models.Invitation.org_id == org_id))
    if invitation is None:
        raise _unknown()
    invitation.state = "withdrawn"


def list_open(session: Session, org_id: str) -> list[dict[str, Any]]:
    """`{"id", "email", "created_at", "expires_at"}`, the newest first."""
    wanted = select(models.Invitation).where(models.Invitation.org_id == org_id, _is_open())
    found = session.scalars(wanted.where(_lives(session)).order_by(models.Invitation.id.desc()))
    return [_described(invitation) for invitation in found]


def shown(session: Session, invitation_id: str) -> dict[str, Any]:
    """One, whatever became of it. :raises NotFound: `unknown_invitation`"""
    invitation = session.get(models.Invitation, invitation_id)
    if invitation is None:
        raise _unknown()
    return _described(invitation)


def look_at(session: Session, token: str) -> dict[str, Any]:
    """
    What whoever holds the link is asked.

    :returns: `{"org_name", "email", "has_account"}`
    :raises Invalid: `invalid_invitation`
    """
    found = look_if_any(session, token)
    if found is None:
        raise invalid()
    return found


def look_if_any(session: Session, token: str) -> dict[str, Any] | None:
    """None if the token is not good, or no longer."""
    invitation = session.scalar(select(models.Invitation).where(_holds(token), _is_open(), _lives(session)))
    if invitation is None:
        return None
    return {
        "org_name": personal.get(session, invitation.org_id).get("name", ""),
        "email": invitation.typed_email,
        "has_account": credentials.of_address(session, invitation.email) is not None,
    }


def check(session: Session, token: str) -> addresses.Address:
    """To whom it was mailed; cheap, and before anything that is not. :raises Invalid: `invalid_invitation`"""
    return addresses.parse(look_at(session, token)["email"])


def accept(session: Session, token: str, *, account_id: str) -> str:
    """
    Somebody with an account joins.

    :returns: the org's id
    :raises Invalid: `invalid_invitation` if it is unknown, too old, withdrawn or used, or its org is gone
    :raises Forbidden: `other_address` if the account has another address
    :raises Conflict: `already_member`
    :raises NotFound: `erased`
    """
    credential = credentials.lock(session, account_id)
    if credential is None:
        raise errors.NotFound("erased", "This account was erased.")
    if addresses.parse(credential.typed_email).key != check(session, token).key:
        raise errors.Forbidden("other_address", "The invitation was mailed to another address than your account's.")
    return _join(session, token, account_id)


def accept_as_new(session: Session, token: str, wish: registrations.Wish) -> tuple[str, str]:
    """
    Open the account and join: the link has shown that the address is theirs.

    :returns: the ids of the account and the org
    :raises Invalid: `invalid_invitation`
    :raises Conflict: `sign_in_to_accept` if the address has an account
    """
    account_id = ids.new("acc")
    if not registrations.open_account(session, wish, account_id=account_id):
        raise sign_in_first()
    return account_id, _join(session, token, account_id)


def sign_in_first() -> errors.Conflict:
    return errors.Conflict("sign_in_to_accept", "This address has an account: sign in with it, then accept.")


def forget_org(session: Session, org_id: str) -> None:
    """It is erased."""
    _forget(session, models.Invitation.org_id == org_id)


def forget_address(session: Session, email: str) -> None:
    """Who had it is erased. :param email: the address's key"""
    _forget(session, models.Invitation.email == email)


def prune(session: Session) -> None:
    session.execute(delete(models.Invitation).where(models.Invitation.expires_at <= database.now(session)))


def _join(session: Session, token: str, account_id: str) -> str:
    # The org before the invitation, as whoever erases it does.
    found = session.scalar(select(models.Invitation.org_id).where(_holds(token)))
    if found is None or session.get(models.Org, found, with_for_update=True) is None:
        raise invalid()
    invitation = _locked(session, _holds(token))
    if invitation is None:
        raise invalid()
    join = partial(org.join, account_id=account_id)
    store.execute(session, projections.org_stream(invitation.org_id), projections.ORG, join)
    invitation.state = "accepted"
    return invitation.org_id


def _lock_as_owner(session: Session, org_id: str, account_id: str) -> None:
    projections.lock_org(session, org_id)
    state = store.load(session, projections.org_stream(org_id), projections.ORG).state
    org.check_owner(state, account_id=account_id)


def _is_member(session: Session, org_id: str, email: str) -> bool:
    ours = select(models.Member.account_id).join(
        models.Credential, models.Credential.account_id == models.Member.account_id
    )
    return session.scalar(ours.where(models.Member.org_id == org_id, models.Credential.email == email)) is not None


def _check_room(session: Session, org_id: str, email: str) -> None:
    theirs = func.count().filter(models.Invitation.email == email)
    counts = select(func.count(), theirs).where(models.Invitation.org_id == org_id, _lives(session))
    of_org, of_address = session.execute(counts).one()
    if of_org >= OF_ORG or of_address >= OF_ADDRESS:
        message = (
            f"At most {OF_ORG} invitations can be mailed in {LIFE.days} days, {OF_ADDRESS} of them to one address."
        )
        raise errors.Conflict("too_many_invitations", message)


def _keep(session: Session, org_id: str, address: addresses.Address, token: str) -> models.Invitation:
    now = database.now(session)
    invitation = models.Invitation(
        id=ids.new("inv"),
        org_id=org_id,
        email=address.key,
        typed_email=address.typed,
        state="open",
        token_hash=tokens.fingerprint(token),
        created_at=now,
        expires_at=now + LIFE,
    )
    session.add(invitation)
    session.flush()
    return invitation


def _locked(session: Session, condition: Any) -> models.Invitation | None:
    """If it is open, as the last who changed it left it."""
    wanted = select(models.Invitation).where(condition, _is_open(), _lives(session))
    return session.scalar(wanted.with_for_update().execution_options(populate_existing=True))


def _forget(session: Session, condition: Any) -> None:
    gone = session.scalars(delete(models.Invitation).where(condition).returning(models.Invitation.id)).all()
    for invitation_id in gone:
        erasures.forget_jobs(session, invitation_id)


def _is_open() -> Any:
    return models.Invitation.state == "open"


def _lives(session: Session) -> Any:
    return models.Invitation.expires_at > database.now(session)


def _holds(token: str) -> Any:
    return models.Invitation.token_hash == tokens.fingerprint(token)


def _described(invitation: models.Invitation) -> dict[str, Any]:
    return {
        "id": invitation.id,
        "email": invitation.typed_email,
        "created_at": clock.rfc3339(invitation.created_at),
        "expires_at": clock.rfc3339(invitation.expires_at),
    }


def _unknown() -> errors.NotFound:
    return errors.NotFound("unknown_invitation", "There is no such invitation, or it is not open any more.")


def invalid() -> errors.Invalid:
    message = "This invitation is unknown, too old, withdrawn or used; ask whoever invited you for another."
    return errors.Invalid("invalid_invitation", message)
