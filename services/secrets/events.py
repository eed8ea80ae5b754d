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

    :param reason: `person`
    """

    name: ClassVar[str] = "secrets.SecretRevoked"
    schema: ClassVar[int] = 1

    org_id: str
    secret_id: str
    reason: str


SecretEvent = SecretCreated | SecretRevoked

PUBLIC: tuple[type[events.Event], ...] = (SecretCreated, SecretRevoked)
CATALOGUE = events.Catalogue("secrets", PUBLIC, public=PUBLIC)
