"""The rules of API secrets: what one may be made with, and who may revoke it. Pure."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Never

from services.secrets.events import SecretCreated, SecretErased, SecretEvent, SecretRevoked
from shared import clock, errors

DEFAULT_SCOPES = ("messages:write",)  # what nearly every program needs, and nothing that gives messages back

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HINT = re.compile(r"[\x21-\x7e\u2026]{1,24}")


@dataclass(frozen=True)
class Secret:
    """:param secret_id: empty before it is made"""

    org_id: str = ""
    secret_id: str = ""
    made_by: str = ""
    is_revoked: bool = False
    is_erased: bool = False


def create(
    secret: Secret,
    *,
    org_id: str,
    secret_id: str,
    made_by: str,
    name_version: int,
    scopes: Sequence[str],
    expires_at: datetime | None,
) -> list[SecretEvent]:
    """:raises Conflict: `secret_exists`"""
    if secret.secret_id:
        raise errors.Conflict("secret_exists", "This secret exists already.")
    return [
        SecretCreated(
            org_id=org_id,
            secret_id=secret_id,
            made_by=made_by,
            name_version=name_version,
            scopes=tuple(scopes),
            expires_at=clock.rfc3339(expires_at) if expires_at else "",
        )
    ]


def revoke(secret: Secret, *, by: str, role: str) -> list[SecretEvent]:
    """
    The owner may revoke all, a member those they made. One that is revoked stays so.

    :raises NotFound: `unknown_secret`
    :raises Forbidden: `not_allowed`
    """
    if not secret.secret_id:
        raise errors.NotFound("unknown_secret", "There is no such secret.")
    if role != "owner" and by != secret.made_by:
        raise errors.Forbidden(
            "not_allowed", "Only the owner of the organization or who made a secret may revoke it."
        )
    if secret.is_revoked:
        return []
    return [SecretRevoked(org_id=secret.org_id, secret_id=secret.secret_id, reason="person")]


def revoke_with_org(secret: Secret) -> list[SecretEvent]:
    """The org is erased: so that whoever remembers the secret as good hears that it is not."""
    if not secret.secret_id or secret.is_revoked:
        return []
    return [SecretRevoked(org_id=secret.org_id, secret_id=secret.secret_id, reason="erasure")]


def erase(secret: Secret) -> list[SecretEvent]:
    if not secret.secret_id or secret.is_erased:
        return []
    return [SecretErased(org_id=secret.org_id, secret_id=secret.secret_id)]


def evolve(secret: Secret, fact: Any) -> Secret:
    match fact:
        case SecretCreated():
            return Secret(org_id=fact.org_id, secret_id=fact.secret_id, made_by=fact.made_by)
        case SecretRevoked():
            return replace(secret, is_revoked=True)
        case SecretErased():
            return replace(secret, is_erased=True)
        case _:
            return secret


def name(text: str) -> str:
    """:raises Invalid: `invalid_name` unless it is one line of 1 to 100 characters"""
    stripped = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(stripped) <= 100 or any(
        unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} for one in stripped
    ):
        _refuse("invalid_name", "/name", "One line of 1 to 100 characters.")
    return stripped


def scopes(wanted: Sequence[str] | None, *, known: Collection[str]) -> tuple[str, ...]:
    """
    Each once, in alphabetical order; the default where none are named.

    :raises Invalid: `unknown_scope`, or `invalid_scopes` for an empty list
    """
    if wanted is None:
        return DEFAULT_SCOPES
    if not wanted:
        _refuse("invalid_scopes", "/scopes", "At least one scope.")
    for index, scope in enumerate(wanted):
        if scope not in known:
            _refuse("unknown_scope", f"/scopes/{index}", f"One of {', '.join(sorted(known))}.")
    return tuple(sorted(set(wanted)))


def expiry(text: str | None, *, now: datetime) -> datetime | None:
    """:raises Invalid: `invalid_expires_at` unless it is a moment to come"""
    if text is None:
        return None
    try:
        moment = clock.parse(text)
    except ValueError:
        moment = now
    if moment <= now:
        _refuse("invalid_expires_at", "/expires_at", "A moment in the future, as 2027-01-31T00:00:00Z.")
    return moment


def check_fingerprint(*, sha256: str, hint: str) -> None:
    """
    What the gateway sends of a value; a mistake here would be its bug, and must not become a secret.

    :raises Invalid: `invalid_fingerprint`
    """
    if not _SHA256.fullmatch(sha256) or not _HINT.fullmatch(hint):
        raise errors.Invalid("invalid_fingerprint", "Wanted: a SHA-256 in hexadecimal, and a hint of the value.")


def _refuse(code: str, pointer: str, detail: str) -> Never:
    raise errors.Invalid(code, detail, {"errors": [{"pointer": pointer, "detail": detail}]})
