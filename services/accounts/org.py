"""The rules of an org: one owner, who is its first member. Pure."""

from dataclasses import dataclass
from typing import Any

from services.accounts.events import MemberJoined, OrgChanged, OrgEvent, OrgFounded
from shared import errors

OWNER = "owner"
MEMBER = "member"


@dataclass(frozen=True)
class Org:
    """:param org_id: empty before it is founded"""

    org_id: str = ""


def found(org: Org, *, org_id: str, owner_id: str, profile_version: int) -> list[OrgEvent]:
    """:raises Conflict: `org_exists`"""
    if org.org_id:
        raise errors.Conflict("org_exists", "This organization exists already.")
    return [
        OrgFounded(org_id=org_id, owner_id=owner_id, profile_version=profile_version),
        MemberJoined(org_id=org_id, account_id=owner_id, role=OWNER),
    ]


def change_profile(org: Org, *, profile_version: int) -> list[OrgEvent]:
    """:raises NotFound: `unknown_org`"""
    if not org.org_id:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    return [OrgChanged(org_id=org.org_id, profile_version=profile_version)]


def evolve(org: Org, fact: Any) -> Org:
    match fact:
        case OrgFounded():
            return Org(org_id=fact.org_id)
        case _:
            return org
