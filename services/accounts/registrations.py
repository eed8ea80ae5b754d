"""
From the wish for an account to a confirmed address: rows and mails, until the first events.

Whether an address is known shows in nothing but the mail that its owner gets.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from sqlalchemy import insert, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.accounts import account, addresses, credentials, mailing, mails, models, org, projections, tokens
from shared import database, errors, ids, personal, store

LIFE = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Who wants an account; everything is checked, and the password is hashed."""

    name: str
    address: addresses.Address
    org_name: str
    password_hash: str


def receive(session: Session, wish: Wish, *, public_url: str) -> None:
    """Mail a link to an unknown address, and a notice to the owner of a known one."""
    known = credentials.of_address(session, wish.address.key)
    if known is not None:
        notice = mails.already_registered(sign_in_link=f"{public_url}/sign-in")
        mailing.mail_to(session, known.typed_email, notice, subject=known.account_id)
        return
    token = tokens.mailed_token()
    registration_id = _keep(session, wish, token)
    link = f"{public_url}/confirm-email?token={token}"
    request = mails.confirm_address(link=link, hours=LIFE // timedelta(hours=1))
    mailing.mail_to(session, wish.address.typed, request, subject=registration_id)


def confirm(session: Session, token: str) -> dict[str, str]:
    """
    Open the account and its org; the same token gives the same again while it lives.

    :returns: `{"account_id", "org_id"}`
    :raises Invalid: `invalid_token` if it is unknown or too old, or if the address has an account meanwhile
    """
    ours = select(models.Registration).where(models.Registration.token_hash == tokens.fingerprint(token))
    registration = session.scalar(ours.with_for_update())
    if registration is None or registration.expires_at <= database.now(session):
        raise _invalid_token()
    if registration.account_id is None or registration.org_id is None:
        registration.account_id, registration.org_id = ids.new("acc"), ids.new("org")
        if not open_account(session, _wish_of(registration), account_id=registration.account_id):
            raise _invalid_token()
        found_org(session, org_id=registration.org_id, name=registration.org_name, owner_id=registration.account_id)
        registration.password_hash = ""
    return {"account_id": registration.account_id, "org_id": registration.org_id}


def _keep(session: Session, wish: Wish, token: str) -> str:
    registration_id, now = ids.new("reg"), database.now(session)
    session.execute(
        insert(models.Registration).values(
            id=registration_id,
            email=wish.address.key,
            typed_email=wish.address.typed,
            name=wish.name,
            org_name=wish.org_name,
            password_hash=wish.password_hash,
            token_hash=tokens.fingerprint(token),
            created_at=now,
            expires_at=now + LIFE,
        )
    )
    return registration_id


def open_account(session: Session, wish: Wish, *, account_id: str) -> bool:
    """For whoever has shown that the address is theirs. :returns: False if it has an account by now"""
    if not _claim_address(session, wish, account_id):
        return False
    name, email = wish.name, wish.address.typed
    profile_version = personal.put(session, account_id, subject=account_id, name=name, email=email)
    register = partial(account.register, account_id=account_id, profile_version=profile_version)
    store.execute(session, projections.account_stream(account_id), projections.ACCOUNT, register)
    return True


def _claim_address(session: Session, wish: Wish, account_id: str) -> bool:
    """The unique index decides between two confirmations at once: the second waits here, and then has lost."""
    fresh = postgresql.insert(models.Credential).values(
        account_id=account_id,
        email=wish.address.key,
        typed_email=wish.address.typed,
        password_hash=wish.password_hash,
        changed_at=database.now(session),
    )
    claimed = session.execute(
        fresh.on_conflict_do_nothing(index_elements=["email"]).returning(models.Credential.account_id)
    )
    return claimed.first() is not None


def _wish_of(registration: models.Registration) -> Wish:
    return Wish(
        name=registration.name,
        address=addresses.Address(typed=registration.typed_email, key=registration.email, local_part=""),
        org_name=registration.org_name,
        password_hash=registration.password_hash,
    )


def found_org(session: Session, *, org_id: str, name: str, owner_id: str) -> None:
    """On the plan Free, as billing makes it when it hears of it."""
    profile = {**projections.EMPTY_ORG_PROFILE, "name": name}
    profile_version = personal.put(session, org_id, subject=org_id, **profile)
    found = partial(org.found, org_id=org_id, owner_id=owner_id, profile_version=profile_version)
    store.execute(session, projections.org_stream(org_id), projections.ORG, found)


def _invalid_token() -> errors.Invalid:
    return errors.Invalid(
        "invalid_token",
        "This link is unknown or too old, or the address was confirmed with another; register again to get another.",
    )
