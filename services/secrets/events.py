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
class SecretRotated:
    """
    The secret has a new value. What it may do and until when are as before.

    :param rotated_by: the account of the person who asked for it
    :param former_until: until when the value before works beside the new one; the moment of the rotation itself if
        it ended at once. A value that is older than that one works no more in any case
    """

    name: ClassVar[str] = "secrets.SecretRotated"
    schema: ClassVar[int] = 1

    org_id: str
    secret_id: str
    rotated_by: str
    former_until: str


@dataclass(frozen=True, kw_only=True)
class SecretRevoked:
    """
    The secret can be used no more, from this moment on.

    :param reason: `person`; `leaked` if it was found where others can read it; `erasure` if the org was
        erased
    """

    name: ClassVar[str] = "secrets.SecretRevoked"
    schema: ClassVar[int] = 1

    org_id: str
    secret_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class FormerValueEnded:
    """
    The value before the secret's newest works no more, though its overlap was not over. The newest one does.

    :param reason: `leaked` if it was found where others can read it
    """

    name: ClassVar[str] = "secrets.FormerValueEnded"
    schema: ClassVar[int] = 1

    org_id: str
    secret_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SecretExpiresSoon:
    """
    The secret is good, and will not be for much longer. Told once.

    :param made_by: the account of the person who made it
    :param expires_at: it is refused at this moment
    """

    name: ClassVar[str] = "secrets.SecretExpiresSoon"
    schema: ClassVar[int] = 1

    org_id: str
    secret_id: str
    made_by: str
    expires_at: str


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


SecretEvent = SecretCreated | SecretRotated | SecretRevoked | FormerValueEnded | SecretExpiresSoon | SecretErased

PUBLIC: tuple[type[events.Event], ...] = (
    SecretCreated,
    SecretRotated,
    SecretRevoked,
    FormerValueEnded,
    SecretExpiresSoon,
    ErasureDone,
)
CATALOGUE = events.Catalogue("secrets", (*PUBLIC, SecretErased), public=PUBLIC)
