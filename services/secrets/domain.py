"""The rules of API secrets: what one may be made with, and who may rotate and revoke it. Pure."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Never

from services.secrets.events import (
    FormerValueEnded,
    SecretCreated,
    SecretErased,
    SecretEvent,
    SecretExpiresSoon,
    SecretRevoked,
    SecretRotated,
)
from shared import clock, errors

DEFAULT_SCOPES = ("messages:write",)  # what nearly every program needs, and nothing that gives messages back

MOST_LEAKS = 100  # in one report
LONGEST_URL = 2048

_SHA256 = re.compile(r"[0-9a-f]{64}")
_HINT = re.compile(r"[\x21-\x7e\u2026]{1,24}")


@dataclass(frozen=True)
class Secret:
    """
    :param secret_id: empty before it is made
    :param expires_at: as the event says it; `former_until` likewise
    """

    org_id: str = ""
    secret_id: str = ""
    made_by: str = ""
    expires_at: str = ""
    former_until: str = ""
    is_revoked: bool = False
    is_told_to_expire: bool = False
    is_erased: bool = False

    def has_expired(self, now: datetime) -> bool:
        return _is_over(self.expires_at, now)

    def has_former(self, now: datetime) -> bool:
        """Whether the value before the newest still works."""
        return bool(self.former_until) and not _is_over(self.former_until, now)


def _is_over(text: str, now: datetime) -> bool:
    return bool(text) and clock.parse(text) <= now


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


def rotate(secret: Secret, *, by: str, role: str, now: datetime, overlap_seconds: int) -> list[SecretEvent]:
    """
    A new value; the one before it works for so much longer, and no longer than the secret itself.

    :raises NotFound: `unknown_secret`
    :raises Forbidden: `not_allowed`
    :raises Conflict: `secret_revoked`, `secret_expired`
    """
    _check_may_change(secret, by=by, role=role)
    if secret.is_revoked:
        raise errors.Conflict("secret_revoked", "This secret is revoked. Make another.")
    if secret.has_expired(now):
        raise errors.Conflict("secret_expired", "This secret has expired. Make another.")
    former_until = now + timedelta(seconds=overlap_seconds)
    if secret.expires_at:
        former_until = min(former_until, clock.parse(secret.expires_at))
    return [
        SecretRotated(
            org_id=secret.org_id,
            secret_id=secret.secret_id,
            rotated_by=by,
            former_until=clock.rfc3339(former_until),
        )
    ]


def revoke(secret: Secret, *, by: str, role: str) -> list[SecretEvent]:
    """
    One that is revoked stays so.

    :raises NotFound: `unknown_secret`
    :raises Forbidden: `not_allowed`
    """
    _check_may_change(secret, by=by, role=role)
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


def end_leaked(secret: Secret, *, is_former: bool, now: datetime) -> list[SecretEvent]:
    """
    Somebody has found its value in public: who was quick to rotate it keeps the new one. Nothing of one that is over.

    :param is_former: whether it was the value before the newest
    """
    if secret.is_revoked or secret.has_expired(now):
        return []
    if not is_former:
        return [SecretRevoked(org_id=secret.org_id, secret_id=secret.secret_id, reason="leaked")]
    if not secret.has_former(now):
        return []
    return [FormerValueEnded(org_id=secret.org_id, secret_id=secret.secret_id, reason="leaked")]


def tell_expiry(secret: Secret, *, now: datetime) -> list[SecretEvent]:
    """Once, and of one that is good: after a long outage it may be too late to say so."""
    if not secret.expires_at or secret.is_revoked or secret.is_told_to_expire or secret.has_expired(now):
        return []
    return [
        SecretExpiresSoon(
            org_id=secret.org_id,
            secret_id=secret.secret_id,
            made_by=secret.made_by,
            expires_at=secret.expires_at,
        )
    ]


def _check_may_change(secret: Secret, *, by: str, role: str) -> None:
    """The owner may change all, a member those they made."""
    if not secret.secret_id:
        raise errors.NotFound("unknown_secret", "There is no such secret.")
    if role != "owner" and by != secret.made_by:
        raise errors.Forbidden(
            "not_allowed", "Only the owner of the organization or who made a secret may rotate or revoke it."
        )


def evolve(secret: Secret, fact: Any) -> Secret:
    match fact:
        case SecretCreated():
            return Secret(
                org_id=fact.org_id, secret_id=fact.secret_id, made_by=fact.made_by, expires_at=fact.expires_at
            )
        case SecretRotated():
            return replace(secret, former_until=fact.former_until)
        case FormerValueEnded():
            return replace(secret, former_until="")
        case SecretExpiresSoon():
            return replace(secret, is_told_to_expire=True)
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


def leaks(reported: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """
    Where each value was found, by its SHA-256; empty where that is not said.

    :raises Invalid: `invalid_leaks` unless there are 1 to 100, each with the `sha256` and perhaps the `url`
    """
    found = {str(leak.get("sha256")): leak.get("url", "") for leak in reported}
    are_right = all(
        _SHA256.fullmatch(sha256) and isinstance(url, str) and len(url) <= LONGEST_URL
        for sha256, url in found.items()
    )
    if not 1 <= len(reported) <= MOST_LEAKS or not are_right:
        raise errors.Invalid("invalid_leaks", f"1 to {MOST_LEAKS} leaks, each with a SHA-256 in hexadecimal.")
    return found


def check_fingerprint(*, sha256: str, hint: str) -> None:
    """
    What the gateway sends of a value; a mistake here would be its bug, and must not become a secret.

    :raises Invalid: `invalid_fingerprint`
    """
    if not _SHA256.fullmatch(sha256) or not _HINT.fullmatch(hint):
        raise errors.Invalid("invalid_fingerprint", "Wanted: a SHA-256 in hexadecimal, and a hint of the value.")


def _refuse(code: str, pointer: str, detail: str) -> Never:
    raise errors.Invalid(code, detail, {"errors": [{"pointer": pointer, "detail": detail}]})
