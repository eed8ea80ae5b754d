"""What happened to API secrets. Nothing of a secret's value, its hash or its name."""

from dataclasses import dataclass
from typing import ClassVar

from shared import events


@dataclass(frozen=True, kw_only=True)
class SecretCreated:
    """
    An API secret was made, and can be used.

    :param made_by: the account of the person who made it
    :param scopes: what it may do
    :param expires_at: until when; empty: never
    """

    name: ClassVar[str] = "secrets.SecretCreated"
    schema: ClassVar[int] = 1

    org_id: str
    secret_id: str
    made_by: str
    name_version: int
    scopes: tuple[str, ...]
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class SecretRevoked:
    """
    The secret can be used no more, from this moment on.

    :param reason: `person`; `erasure` if the org was erased
    """

    name: ClassVar[str] = "secrets.SecretRevoked"
    schema: ClassVar[int] = 1

    org_id: str
    secret_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SecretErased:
    """The secret's org is gone for good: the list does not show it any more."""

    name: ClassVar[str] = "secrets.SecretErased"
    schema: ClassVar[int] = 1

    org_id: str
    secret_id: str


@dataclass(frozen=True, kw_only=True)
class ErasureDone:
    """
    Secrets has nothing more of an org that accounts.OrgErased named: no value's digest, no name, no secret in a list.
    It stands in a stream of its own, whose subject is not the org, so that it is not passed over as an event about
    what was erased.
    """

    name: ClassVar[str] = "secrets.ErasureDone"
    schema: ClassVar[int] = 1

    org_id: str


SecretEvent = SecretCreated | SecretRevoked | SecretErased

PUBLIC: tuple[type[events.Event], ...] = (SecretCreated, SecretRevoked, ErasureDone)
CATALOGUE = events.Catalogue("secrets", (*PUBLIC, SecretErased), public=PUBLIC)
