"""What happened to accounts and orgs: ids and versions only. Names and addresses are asked for by RPC."""

from dataclasses import dataclass
from typing import ClassVar

from shared import events


@dataclass(frozen=True, kw_only=True)
class AccountRegistered:
    """
    Somebody confirmed the address they had signed up with: the account is there.

    :param profile_version: which version of its personal data the account began with
    """

    name: ClassVar[str] = "accounts.AccountRegistered"
    schema: ClassVar[int] = 1

    account_id: str
    profile_version: int


@dataclass(frozen=True, kw_only=True)
class ProfileChanged:
    """The account has another name or picture, or no picture any more; `accounts.get_profile` tells it."""

    name: ClassVar[str] = "accounts.ProfileChanged"
    schema: ClassVar[int] = 1

    account_id: str
    profile_version: int


@dataclass(frozen=True, kw_only=True)
class EmailChanged:
    """
    The account has another address, or has its old one back; `accounts.get_profile` tells it.

    :param profile_version: of its personal data, which counts on with each change
    """

    name: ClassVar[str] = "accounts.EmailChanged"
    schema: ClassVar[int] = 1

    account_id: str
    profile_version: int


@dataclass(frozen=True, kw_only=True)
class OrgFounded:
    """
    An account got an org of its own.

    :param owner_id: the account that owns it
    """

    name: ClassVar[str] = "accounts.OrgFounded"
    schema: ClassVar[int] = 1

    org_id: str
    owner_id: str
    profile_version: int


@dataclass(frozen=True, kw_only=True)
class OrgChanged:
    """The org's name, legal name, address, tax id or billing address changed."""

    name: ClassVar[str] = "accounts.OrgChanged"
    schema: ClassVar[int] = 1

    org_id: str
    profile_version: int


@dataclass(frozen=True, kw_only=True)
class MemberJoined:
    """
    An account belongs to an org from now on; its founder too.

    :param role: `owner` or `member`
    """

    name: ClassVar[str] = "accounts.MemberJoined"
    schema: ClassVar[int] = 1

    org_id: str
    account_id: str
    role: str


@dataclass(frozen=True, kw_only=True)
class MemberRemoved:
    """
    An account does not belong to the org any more. What it did there stays, and "former member" stands for its name.
    """

    name: ClassVar[str] = "accounts.MemberRemoved"
    schema: ClassVar[int] = 1

    org_id: str
    account_id: str


@dataclass(frozen=True, kw_only=True)
class OwnershipTransferred:
    """
    The org has another owner, who was a member; the one before is a member now.

    :param former_owner_id: the account that handed it over
    :param owner_id: the account that owns it now
    """

    name: ClassVar[str] = "accounts.OwnershipTransferred"
    schema: ClassVar[int] = 1

    org_id: str
    former_owner_id: str
    owner_id: str


@dataclass(frozen=True, kw_only=True)
class DeletionConfirmed:
    """
    Somebody wants their account deleted, and has confirmed it by the link that was mailed to its address.

    :param erases_at: until then it can be withdrawn; from then on it is erased
    """

    name: ClassVar[str] = "accounts.DeletionConfirmed"
    schema: ClassVar[int] = 1

    account_id: str
    erases_at: str


@dataclass(frozen=True, kw_only=True)
class DeletionWithdrawn:
    """
    A deletion that was confirmed does not happen.

    :param reason: `person`, or `org_has_members` if the account owned an org of others when the time had come
    """

    name: ClassVar[str] = "accounts.DeletionWithdrawn"
    schema: ClassVar[int] = 1

    account_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class AccountErased:
    """
    The account is gone for good, and its id with it. It is told last: all services have erased what they had of the
    orgs that went with it.
    """

    name: ClassVar[str] = "accounts.AccountErased"
    schema: ClassVar[int] = 1

    account_id: str


@dataclass(frozen=True, kw_only=True)
class OrgErased:
    """
    The org is gone for good, and its id with it: every service erases what it has of it, and tells its ErasureDone.
    """

    name: ClassVar[str] = "accounts.OrgErased"
    schema: ClassVar[int] = 1

    org_id: str


@dataclass(frozen=True, kw_only=True)
class OrgSuspended:
    """
    Operations have stopped the org: no messages, and nothing new. Its people can look at everything, and leave.

    :param cause: `abuse`, `fraud`, `legal`, `unpaid` or `other`
    :param reason_version: which version of what was written down about the org's suspension says why
    """

    name: ClassVar[str] = "accounts.OrgSuspended"
    schema: ClassVar[int] = 1

    org_id: str
    cause: str
    reason_version: int


@dataclass(frozen=True, kw_only=True)
class OrgRestored:
    """
    The org is not suspended any more, and all is as it was.

    :param reason_version: which version of what was written down about the org's suspension says why
    """

    name: ClassVar[str] = "accounts.OrgRestored"
    schema: ClassVar[int] = 1

    org_id: str
    reason_version: int


AccountEvent = (
    AccountRegistered | ProfileChanged | EmailChanged | DeletionConfirmed | DeletionWithdrawn | AccountErased
)
OrgEvent = (
    OrgFounded
    | OrgChanged
    | MemberJoined
    | MemberRemoved
    | OwnershipTransferred
    | OrgSuspended
    | OrgRestored
    | OrgErased
)

PUBLIC: tuple[type[events.Event], ...] = (
    *(AccountRegistered, ProfileChanged, EmailChanged, DeletionConfirmed, DeletionWithdrawn, AccountErased),
    *(OrgFounded, OrgChanged, MemberJoined, MemberRemoved, OwnershipTransferred),
    *(OrgSuspended, OrgRestored, OrgErased),
)
CATALOGUE = events.Catalogue("accounts", PUBLIC, public=PUBLIC)
