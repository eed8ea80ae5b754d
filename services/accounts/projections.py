"""Who is where: rows from events, and the answers that are read from them."""

from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from services.accounts import account, activity, models, org
from services.accounts.events import (
    CATALOGUE,
    AccountErased,
    AccountRegistered,
    EmailChanged,
    MemberJoined,
    MemberRemoved,
    OrgChanged,
    OrgErased,
    OrgFounded,
    OrgRestored,
    OrgSuspended,
    OwnershipTransferred,
    ProfileChanged,
)
from shared import clock, errors, events, personal, read_models, store

VERSION = 2
EMPTY_ORG_PROFILE = {"name": "", "legal_name": "", "address": "", "tax_id": "", "billing_email": ""}


def project(session: Session, event: events.Recorded, fact: Any) -> None:
    activity.TRAIL.project(session, [(event, fact)])
    at = event.recorded_at
    match fact:
        case AccountRegistered():
            session.execute(insert(models.Account).values(**vars(fact), registered_at=at))
        case OrgFounded():
            session.execute(insert(models.Org).values(**vars(fact), founded_at=at))
        case MemberJoined():
            session.execute(insert(models.Member).values(**vars(fact), joined_at=at))
        case MemberRemoved():
            gone = (models.Member.org_id == fact.org_id) & (models.Member.account_id == fact.account_id)
            session.execute(delete(models.Member).where(gone))
        case OwnershipTransferred():
            ours = update(models.Org).where(models.Org.org_id == fact.org_id)
            session.execute(ours.values(owner_id=fact.owner_id))
            for account_id, role in ((fact.former_owner_id, org.MEMBER), (fact.owner_id, org.OWNER)):
                theirs = (models.Member.org_id == fact.org_id) & (models.Member.account_id == account_id)
                session.execute(update(models.Member).where(theirs).values(role=role))
        case OrgSuspended() | OrgRestored():
            _project_suspension(session, event, fact)
        case OrgErased():
            for table in (models.Member, models.Suspended, models.Org):
                session.execute(delete(table).where(table.org_id == fact.org_id))
        case AccountErased():
            session.execute(delete(models.Account).where(models.Account.account_id == fact.account_id))
        case ProfileChanged() | EmailChanged():
            ours = update(models.Account).where(models.Account.account_id == fact.account_id)
            session.execute(ours.values(profile_version=fact.profile_version))
        case OrgChanged():
            ours = update(models.Org).where(models.Org.org_id == fact.org_id)
            session.execute(ours.values(profile_version=fact.profile_version))


def _project_suspension(session: Session, event: events.Recorded, fact: OrgSuspended | OrgRestored) -> None:
    session.execute(delete(models.Suspended).where(models.Suspended.org_id == fact.org_id))
    if isinstance(fact, OrgSuspended):
        since = {"cause": fact.cause, "suspended_at": event.recorded_at}
        session.execute(insert(models.Suspended).values(org_id=fact.org_id, **since))


ACCOUNT = store.Aggregate(catalogue=CATALOGUE, initial=account.Account(), evolve=account.evolve, project=project)
ORG = store.Aggregate(catalogue=CATALOGUE, initial=org.Org(), evolve=org.evolve, project=project)

READ_MODELS = read_models.ReadModels(
    version=VERSION, tables=models.Views.metadata, catalogue=CATALOGUE, projects={"account": project, "org": project}
)


def account_stream(account_id: str) -> str:
    return f"account-{account_id}"


def org_stream(org_id: str) -> str:
    return f"org-{org_id}"


def lock_account(session: Session, account_id: str) -> models.Account:
    """
    Keep others from changing its profile until this transaction ends.

    :raises NotFound: `unknown_account`
    """
    row = session.get(models.Account, account_id, with_for_update=True)
    if row is None:
        raise errors.NotFound("unknown_account", "There is no such account.")
    return row


def lock_org(session: Session, org_id: str) -> models.Org:
    """The same for an org. :raises NotFound: `unknown_org`"""
    row = session.get(models.Org, org_id, with_for_update=True)
    if row is None:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    return row


def own_account(session: Session, account_id: str) -> dict[str, Any]:
    """
    What a person sees of their own account; `picture` is the key of one, or None.

    :raises NotFound: `unknown_account`
    """
    row = _account(session, account_id)
    profile = personal.get(session, account_id)
    return {
        "id": account_id,
        "name": profile.get("name", ""),
        "email": profile.get("email", ""),
        "picture": profile.get("picture"),
        "created_at": clock.rfc3339(row.registered_at),
    }


def profile(session: Session, account_id: str, *, public_url: str) -> dict[str, Any]:
    """What another service may know of an account. :raises NotFound: `unknown_account`"""
    row, known = _account(session, account_id), personal.get(session, account_id)
    key = known.get("picture")
    return {
        "account_id": account_id,
        "name": known.get("name", ""),
        "email": known.get("email", ""),
        "picture_url": f"{public_url}/v1/pictures/{key}" if key else None,
        "profile_version": row.profile_version,
    }


def public_org(session: Session, org_id: str) -> dict[str, Any]:
    """What everybody in the org sees of it. :raises NotFound: `unknown_org`"""
    row = _org(session, org_id)
    suspended = session.get(models.Suspended, org_id)
    return {
        "id": org_id,
        "name": personal.get(session, org_id).get("name", ""),
        "owner_id": row.owner_id,
        "created_at": clock.rfc3339(row.founded_at),
        "suspended_at": clock.rfc3339(suspended.suspended_at) if suspended else None,
    }


def owners_org(session: Session, org_id: str) -> dict[str, Any]:
    """What its owner sees of an org. :raises NotFound: `unknown_org`"""
    return {**public_org(session, org_id), **EMPTY_ORG_PROFILE, **personal.get(session, org_id)}


def visible_org(session: Session, org_id: str, *, role: str) -> dict[str, Any]:
    """What somebody in that role sees of it. :raises NotFound: `unknown_org`"""
    return owners_org(session, org_id) if role == org.OWNER else public_org(session, org_id)


def role_in(session: Session, org_id: str, account_id: str) -> str:
    """Empty for who is not in it."""
    member = session.get(models.Member, (org_id, account_id))
    return member.role if member else ""


def org_profile(session: Session, org_id: str) -> dict[str, Any]:
    """
    What billing needs to write to an org; the address is the owner's where the org has none of its own.

    :raises NotFound: `unknown_org`
    """
    row = _org(session, org_id)
    known = {**EMPTY_ORG_PROFILE, **personal.get(session, org_id)}
    billing_email = known["billing_email"] or personal.get(session, row.owner_id).get("email", "")
    return {
        **known,
        "org_id": org_id,
        "owner_id": row.owner_id,
        "profile_version": row.profile_version,
        "billing_email": billing_email,
    }


def list_orgs(session: Session, account_id: str) -> list[dict[str, Any]]:
    """The orgs that somebody is in, `{"id", "name", "role"}`, in the order of joining."""
    wanted = select(models.Member).where(models.Member.account_id == account_id)
    rows = session.scalars(wanted.order_by(models.Member.joined_at, models.Member.org_id)).all()
    names = personal.get_many(session, [row.org_id for row in rows])
    return [{"id": row.org_id, "name": names.get(row.org_id, {}).get("name", ""), "role": row.role} for row in rows]


def list_members(session: Session, org_id: str, *, after: str, limit: int) -> list[dict[str, Any]]:
    """`{"account_id", "name", "picture", "role", "joined_at"}`, in the order of their ids, beyond that of `after`."""
    wanted = select(models.Member).where(models.Member.org_id == org_id, models.Member.account_id > after)
    rows = session.scalars(wanted.order_by(models.Member.account_id).limit(limit)).all()
    profiles = personal.get_many(session, [row.account_id for row in rows])
    return [
        {
            "account_id": row.account_id,
            "name": profiles.get(row.account_id, {}).get("name", ""),
            "picture": profiles.get(row.account_id, {}).get("picture"),
            "role": row.role,
            "joined_at": clock.rfc3339(row.joined_at),
        }
        for row in rows
    ]


def _account(session: Session, account_id: str) -> models.Account:
    """Once its erasure has begun it is unknown; that all of it is gone is told later."""
    row = session.get(models.Account, account_id)
    if row is None or personal.is_erased(session, account_id):
        raise errors.NotFound("unknown_account", "There is no such account.")
    return row


def _org(session: Session, org_id: str) -> models.Org:
    row = session.get(models.Org, org_id)
    if row is None:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    return row
