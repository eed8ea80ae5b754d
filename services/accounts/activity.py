"""What an org's activity shows of its people and its details; and the names of people, for whoever shows it."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.accounts import models, org
from services.accounts.events import (
    AccountErased,
    AccountRegistered,
    DeletionConfirmed,
    DeletionWithdrawn,
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
from shared import activity, personal
from shared.activity import Actor, Entry


def _founded(_fact: OrgFounded, _actor: Actor) -> Entry:
    return Entry(what="org_founded")


def _changed(_fact: OrgChanged, _actor: Actor) -> Entry:
    return Entry(what="org_changed")


def _joined(fact: MemberJoined, _actor: Actor) -> Entry | None:
    """The founder's joining is the org's founding."""
    if fact.role == org.OWNER:
        return None
    return Entry(what="member_joined", subject=("account", fact.account_id))


def _gone(fact: MemberRemoved, actor: Actor) -> Entry:
    """Somebody else removed them; else they left, or their account was erased."""
    is_removed = actor.kind == "person" and actor.id != fact.account_id
    return Entry(what="member_removed" if is_removed else "member_left", subject=("account", fact.account_id))


def _handed_over(fact: OwnershipTransferred, _actor: Actor) -> Entry:
    former = {"former_owner_id": fact.former_owner_id}
    return Entry(what="ownership_transferred", subject=("account", fact.owner_id), details=former)


def _suspended(_fact: OrgSuspended, _actor: Actor) -> Entry:
    return Entry(what="org_suspended")


def _restored(_fact: OrgRestored, _actor: Actor) -> Entry:
    return Entry(what="org_restored")


def names(session: Session, org_id: str, ids: Collection[str]) -> dict[str, str]:
    """Of those who are in the org now: who was is a former member."""
    theirs = select(models.Member.account_id).where(
        models.Member.org_id == org_id, models.Member.account_id.in_(sorted(ids))
    )
    members = session.scalars(theirs).all()
    return {id: str(known.get("name", "")) for id, known in personal.get_many(session, members).items()}


TRAIL = activity.Trail(
    table=models.Activity,
    shown={
        OrgFounded: _founded,
        OrgChanged: _changed,
        MemberJoined: _joined,
        MemberRemoved: _gone,
        OwnershipTransferred: _handed_over,
        OrgSuspended: _suspended,
        OrgRestored: _restored,
    },
    # What somebody does with their own account is no org's.
    hidden=frozenset(
        {
            *(AccountRegistered, ProfileChanged, EmailChanged, DeletionConfirmed, DeletionWithdrawn, AccountErased),
            OrgErased,
        }
    ),
    ends=OrgErased,
    names=names,
)
