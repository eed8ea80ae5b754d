"""Comparing a presented secret with those that are kept: rows, never events."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import cast, delete, insert, null, or_, select, union_all, update
from sqlalchemy.orm import Session

from services.secrets import models, peppers, projections
from shared import clock, database, errors


def keep(session: Session, secret_id: str, *, sha256: str, hint: str, pepper: peppers.Pepper) -> None:
    digest = peppers.digest(pepper, sha256)
    session.execute(insert(models.Digest).values(secret_id=secret_id, pepper_id=pepper.id, digest=digest, hint=hint))


def replace(
    session: Session, secret_id: str, *, sha256: str, hint: str, pepper: peppers.Pepper, former_until: datetime
) -> None:
    """
    Keep a new value, and the one before it until then; the one before that is forgotten.

    :raises NotFound: `unknown_secret` if the secret was erased
    """
    end_former(session, secret_id)
    row = session.get(models.Digest, secret_id, with_for_update=True)
    if row is None:
        raise errors.NotFound("unknown_secret", "There is no such secret.")
    if former_until > database.now(session):
        before = {"pepper_id": row.pepper_id, "digest": row.digest, "hint": row.hint}
        session.execute(insert(models.FormerDigest).values(secret_id=secret_id, **before, works_until=former_until))
    row.pepper_id, row.digest, row.hint = pepper.id, peppers.digest(pepper, sha256), hint


def verify(session: Session, sha256: str, known: Sequence[peppers.Pepper]) -> dict[str, Any]:
    """
    Whose secret it is.

    :returns: `{"secret_id", "org_id", "scopes", "expires_at"}`, the last RFC 3339 or None: of a former value
        the end of its overlap
    :raises NotFound: `unknown_secret`, also for one that is revoked or expired
    """
    candidates = [peppers.digest(pepper, sha256) for pepper in known]
    found = session.execute(_secrets_with(candidates)).one_or_none()
    now = database.now(session)
    if found is None or projections.state(found.Secret, now=now) != "active":
        raise errors.NotFound("unknown_secret", "There is no such secret.")
    secret, ends = found.Secret, [found.works_until, found.Secret.expires_at]
    expires_at = min((end for end in ends if end is not None), default=None)
    if expires_at is not None and expires_at <= now:
        raise errors.NotFound("unknown_secret", "There is no such secret.")
    return {
        "secret_id": secret.secret_id,
        "org_id": secret.org_id,
        "scopes": secret.scopes,
        "expires_at": expires_at and clock.rfc3339(expires_at),
    }


def note_uses(session: Session, secret_ids: Collection[str]) -> None:
    """They are in use in this hour: a write only where that is not known yet."""
    hour = database.now(session).replace(minute=0, second=0, microsecond=0)
    is_news = or_(models.Digest.last_used_at.is_(None), models.Digest.last_used_at < hour)
    of_these = update(models.Digest).where(models.Digest.secret_id.in_(secret_ids), is_news)
    session.execute(of_these.values(last_used_at=hour))


@dataclass(frozen=True, kw_only=True)
class Found:
    """:param is_former: whether the value is the one before the secret's newest"""

    sha256: str
    org_id: str
    secret_id: str
    is_former: bool


def find(session: Session, sha256s: Collection[str], known: Sequence[peppers.Pepper]) -> list[Found]:
    """Whose values these are, in the order of the secrets' ids; also of those that are no longer good."""
    by_digest = {peppers.digest(pepper, sha256): sha256 for sha256 in sha256s for pepper in known}
    rows = session.execute(_secrets_with(list(by_digest)).order_by(models.Secret.secret_id)).all()
    return [
        Found(
            sha256=by_digest[bytes(row.digest)],
            org_id=row.Secret.org_id,
            secret_id=row.Secret.secret_id,
            is_former=row.works_until is not None,
        )
        for row in rows
    ]


def end_former(session: Session, secret_id: str) -> None:
    session.execute(delete(models.FormerDigest).where(models.FormerDigest.secret_id == secret_id))


def _secrets_with(candidates: Sequence[bytes]) -> Any:
    """The secrets whose newest or former value this is, and until when it works beside a newer one."""
    newest, former = models.Digest, models.FormerDigest
    values = union_all(
        select(newest.secret_id, newest.digest, cast(null(), former.works_until.type).label("works_until")).where(
            newest.digest.in_(candidates)
        ),
        select(former.secret_id, former.digest, former.works_until).where(former.digest.in_(candidates)),
    ).subquery()
    joined = select(models.Secret, values.c.digest, values.c.works_until)
    return joined.join(values, values.c.secret_id == models.Secret.secret_id)
