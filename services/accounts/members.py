"""Somebody is removed from an org, leaves it, or gets it from its owner."""

from functools import partial

from sqlalchemy.orm import Session

from services.accounts import (
    credentials,
    mailing,
    mails,
    models,
    org,
    projections,
    registrations,
    sessions,
)
from shared import errors, ids, personal, store


def remove(session: Session, org_id: str, *, account_id: str, by: str) -> None:
    """
    Their sessions in it end: one never goes on in an org that its person has not chosen. What they made stays.

    :param by: themselves, or the owner, and then they are told
    :raises NotFound: `unknown_org`, `unknown_member`
    :raises Forbidden: `owner_only`
    :raises Conflict: `owner_stays`
    """
    projections.lock_org(session, org_id)
    dismiss = partial(org.dismiss, account_id=account_id, by=by)
    store.execute(session, projections.org_stream(org_id), projections.ORG, dismiss)
    sessions.end_in(session, account_id=account_id, org_id=org_id)
    if account_id != by:
        _write(session, account_id, mails.removed_from_org())


def hand_over(session: Session, org_id: str, *, account_id: str, by: str, public_url: str) -> None:
    """
    Make a member the owner, and tell both.

    :raises NotFound: `unknown_org`, `unknown_member`
    :raises Forbidden: `owner_only`
    :raises Conflict: `already_owner`
    """
    projections.lock_org(session, org_id)
    transfer = partial(org.hand_over, account_id=account_id, by=by)
    store.execute(session, projections.org_stream(org_id), projections.ORG, transfer)
    account_link = f"{public_url}/account/org"
    _write(session, by, mails.org_handed_over(account_link=account_link))
    _write(session, account_id, mails.org_received(account_link=account_link))


def found_another(session: Session, account_id: str, *, name: str) -> str:
    """
    Somebody who has an account founds an org, besides those they are in.

    :returns: the org's id
    :raises NotFound: `erased`
    :raises Conflict: `too_many_orgs`
    """
    if credentials.lock(session, account_id) is None:  # before their erasure, or not at all
        raise errors.NotFound("erased", "This account was erased.")
    org.check_room(sum(one["role"] == org.OWNER for one in projections.list_orgs(session, account_id)))
    org_id = ids.new("org")
    registrations.found_org(session, org_id=org_id, name=name, owner_id=account_id)
    return org_id


def org_to_begin_in(session: Session, account_id: str) -> str:
    """
    The one that the person joined first.

    Who is in none any more gets one of their own, named as at sign-up: without it they could not even sign in to have
    their account deleted. The caller holds their credential.
    """
    orgs = projections.list_orgs(session, account_id)
    if orgs:
        first: str = orgs[0]["id"]
        return first
    org_id, name = ids.new("org"), personal.get(session, account_id).get("name", "")
    registrations.found_org(session, org_id=org_id, name=name, owner_id=account_id)
    return org_id


def _write(session: Session, account_id: str, mail: mails.Mail) -> None:
    credential = session.get(models.Credential, account_id)
    if credential is not None:
        mailing.mail_to(session, credential.typed_email, mail, subject=account_id)
