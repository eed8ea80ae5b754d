"""The rules of an org: one owner, who is its first member, and goes last. Pure."""

from dataclasses import dataclass, replace
from typing import Any

from services.accounts.events import (
    MemberJoined,
    MemberRemoved,
    OrgChanged,
    OrgErased,
    OrgEvent,
    OrgFounded,
    OrgRestored,
    OrgSuspended,
    OwnershipTransferred,
)
from shared import errors

OWNER = "owner"
MEMBER = "member"
OWNED_AT_MOST = 10
CAUSES = ("abuse", "fraud", "legal", "unpaid", "other")


@dataclass(frozen=True)
class Org:
    """
    :param org_id: empty before it is founded
    :param members: the accounts that belong to it, the owner among them
    """

    org_id: str = ""
    owner_id: str = ""
    members: frozenset[str] = frozenset()
    is_suspended: bool = False
    is_erased: bool = False


def found(org: Org, *, org_id: str, owner_id: str, profile_version: int) -> list[OrgEvent]:
    """:raises Conflict: `org_exists`"""
    if org.org_id:
        raise errors.Conflict("org_exists", "This organization exists already.")
    return [
        OrgFounded(org_id=org_id, owner_id=owner_id, profile_version=profile_version),
        MemberJoined(org_id=org_id, account_id=owner_id, role=OWNER),
    ]


def check_room(owned: int) -> None:
    """
    Each org has Free's messages, so nobody gets any number of them.

    :param owned: how many orgs the person owns
    :raises Conflict: `too_many_orgs`
    """
    if owned >= OWNED_AT_MOST:
        raise errors.Conflict("too_many_orgs", f"You own {OWNED_AT_MOST} organizations, and can own no more.")


def change_profile(org: Org, *, profile_version: int) -> list[OrgEvent]:
    """:raises NotFound: `unknown_org`"""
    if not org.org_id or org.is_erased:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    return [OrgChanged(org_id=org.org_id, profile_version=profile_version)]


def check_owner(org: Org, *, account_id: str) -> None:
    """
    Whoever was the owner when their request began may have handed it over since.

    :raises NotFound: `unknown_org`
    :raises Forbidden: `owner_only`
    """
    if not org.org_id or org.is_erased:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    if org.owner_id != account_id:
        raise errors.Forbidden("owner_only", "Only the owner of the organization may do this.")


def join(org: Org, *, account_id: str) -> list[OrgEvent]:
    """
    Become a member.

    :raises NotFound: `unknown_org`
    :raises Conflict: `already_member`
    :raises Forbidden: `org_suspended`
    """
    if not org.org_id or org.is_erased:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    if account_id in org.members:
        raise already_member()
    if org.is_suspended:
        raise errors.Forbidden("org_suspended", "This organization is suspended, and takes nobody new.")
    return [MemberJoined(org_id=org.org_id, account_id=account_id, role=MEMBER)]


def already_member() -> errors.Conflict:
    return errors.Conflict("already_member", "This person is in the organization already.")


def dismiss(org: Org, *, account_id: str, by: str) -> list[OrgEvent]:
    """
    The owner removes somebody, or somebody leaves.

    :raises NotFound: `unknown_org`, `unknown_member`
    :raises Forbidden: `owner_only` if it is somebody else, and `by` is not the owner
    :raises Conflict: `owner_stays`
    """
    if account_id != by:
        check_owner(org, account_id=by)
    if org.is_erased or account_id not in org.members:
        raise unknown_member()
    if account_id == org.owner_id:
        raise errors.Conflict(
            "owner_stays", "An organization keeps its owner. Hand it over to another member first, then leave."
        )
    return [MemberRemoved(org_id=org.org_id, account_id=account_id)]


def hand_over(org: Org, *, account_id: str, by: str) -> list[OrgEvent]:
    """
    :param by: who must own it until now
    :raises NotFound: `unknown_org`, `unknown_member`
    :raises Forbidden: `owner_only`
    :raises Conflict: `already_owner`
    """
    check_owner(org, account_id=by)
    if account_id == by:
        raise errors.Conflict("already_owner", "You own the organization already.")
    if account_id not in org.members:
        raise unknown_member()
    return [OwnershipTransferred(org_id=org.org_id, former_owner_id=by, owner_id=account_id)]


def unknown_member() -> errors.NotFound:
    return errors.NotFound("unknown_member", "There is no such member in this organization.")


def suspend(org: Org, *, cause: str, reason_version: int) -> list[OrgEvent]:
    """
    One that is suspended stays so, for the cause it was suspended for.

    :param cause: one of CAUSES
    :raises NotFound: `unknown_org`
    """
    if not org.org_id or org.is_erased:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    if org.is_suspended:
        return []
    return [OrgSuspended(org_id=org.org_id, cause=cause, reason_version=reason_version)]


def restore(org: Org, *, reason_version: int) -> list[OrgEvent]:
    """One that is not suspended stays as it is. :raises NotFound: `unknown_org`"""
    if not org.org_id or org.is_erased:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    if not org.is_suspended:
        return []
    return [OrgRestored(org_id=org.org_id, reason_version=reason_version)]


def leave_for_good(org: Org, *, account_id: str) -> list[OrgEvent]:
    """
    What a person's erasure means for an org: it goes with its only member, and stays as it is without any other.

    :raises Conflict: `org_has_members` if the person owns it and others are in it
    """
    if org.is_erased or account_id not in org.members:
        return []
    if org.members == {account_id}:
        return [OrgErased(org_id=org.org_id)]
    if org.owner_id == account_id:
        raise errors.Conflict(
            "org_has_members",
            "You own an organization that others are in. Under Your Account, Org, hand it over to one of them, or "
            "remove them, first.",
            {"org_id": org.org_id},
        )
    return [MemberRemoved(org_id=org.org_id, account_id=account_id)]


def erase(org: Org) -> list[OrgEvent]:
    """It was erased once, before a backup was restored: whoever is in it now."""
    if not org.org_id or org.is_erased:
        return []
    return [OrgErased(org_id=org.org_id)]


def remove(org: Org, *, account_id: str) -> list[OrgEvent]:
    """Somebody who was erased once is in it, as after a restore: whoever they are to it."""
    if org.is_erased or account_id not in org.members:
        return []
    return [MemberRemoved(org_id=org.org_id, account_id=account_id)]


def evolve(org: Org, fact: Any) -> Org:
    match fact:
        case OrgFounded():
            return Org(org_id=fact.org_id, owner_id=fact.owner_id)
        case MemberJoined():
            return replace(org, members=org.members | {fact.account_id})
        case MemberRemoved():
            return replace(org, members=org.members - {fact.account_id})
        case OwnershipTransferred():
            return replace(org, owner_id=fact.owner_id)
        case OrgSuspended():
            return replace(org, is_suspended=True)
        case OrgRestored():
            return replace(org, is_suspended=False)
        case OrgErased():
            return replace(org, is_erased=True)
        case _:
            return org
