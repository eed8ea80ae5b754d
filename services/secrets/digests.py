"""Comparing a presented secret with those that are kept: rows, never events."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from services.secrets import models, peppers, projections
from shared import clock, database, errors

TOUCH = timedelta(minutes=1)


def keep(session: Session, secret_id: str, *, sha256: str, hint: str, pepper: peppers.Pepper) -> None:
    digest = peppers.digest(pepper, sha256)
    session.execute(insert(models.Digest).values(secret_id=secret_id, pepper_id=pepper.id, digest=digest, hint=hint))


def verify(session: Session, sha256: str, known: Sequence[peppers.Pepper]) -> dict[str, Any]:
    """
    Whose secret it is, and that it was used.

    :returns: `{"secret_id", "org_id", "scopes", "expires_at"}`, the last RFC 3339 or None
    :raises NotFound: `unknown_secret`, also for one that is revoked or expired
    """
    candidates = [peppers.digest(pepper, sha256) for pepper in known]
    joined = (
        select(models.Secret, models.Digest)
        .join(models.Digest, models.Digest.secret_id == models.Secret.secret_id)
        .where(models.Digest.digest.in_(candidates))
    )
    found = session.execute(joined).one_or_none()
    now = database.now(session)
    if found is None or projections.state(found[0], now=now) != "active":
        raise errors.NotFound("unknown_secret", "There is no such secret.")
    secret, digest = found
    if digest.last_used_at is None or now - digest.last_used_at >= TOUCH:
        digest.last_used_at = now
    return {
        "secret_id": secret.secret_id,
        "org_id": secret.org_id,
        "scopes": secret.scopes,
        "expires_at": secret.expires_at and clock.rfc3339(secret.expires_at),
    }
