"""The list of secrets: rows from events, and the answers that are read from them."""

from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, func, insert, not_, or_, select, update
from sqlalchemy.orm import Session

from services.secrets import activity, domain, models
from services.secrets.events import (
    CATALOGUE,
    SecretCreated,
    SecretErased,
    SecretExpiresSoon,
    SecretRevoked,
    SecretRotated,
)
from shared import clock, database, errors, events, personal, read_models, store

VERSION = 3


def project(session: Session, event: events.Recorded, fact: Any) -> None:
    activity.TRAIL.project(session, [(event, fact)])
    match fact:
        case SecretCreated():
            session.execute(
                insert(models.Secret).values(
                    org_id=fact.org_id,
                    secret_id=fact.secret_id,
                    made_by=fact.made_by,
                    scopes=list(fact.scopes),
                    created_at=event.recorded_at,
                    expires_at=clock.parse(fact.expires_at) if fact.expires_at else None,
                )
            )
        case SecretRotated():
            session.execute(_row(fact.secret_id).values(rotated_at=event.recorded_at))
        case SecretExpiresSoon():
            session.execute(_row(fact.secret_id).values(expiry_told_at=event.recorded_at))
        case SecretRevoked():
            session.execute(_row(fact.secret_id).values(revoked_at=event.recorded_at, revoked_reason=fact.reason))
        case SecretErased():
            session.execute(delete(models.Secret).where(models.Secret.secret_id == fact.secret_id))


def _row(secret_id: str) -> Any:
    return update(models.Secret).where(models.Secret.secret_id == secret_id)


SECRET = store.Aggregate(catalogue=CATALOGUE, initial=domain.Secret(), evolve=domain.evolve, project=project)

READ_MODELS = read_models.ReadModels(
    version=VERSION, tables=models.Views.metadata, catalogue=CATALOGUE, projects={"secret": project}
)


def stream(org_id: str, secret_id: str) -> str:
    """The org is in the name, so that a foreign secret is one that does not exist."""
    return f"secret-{org_id}-{secret_id}"


def leak_of(secret_id: str) -> str:
    """Under which id it is kept where a value of the secret was found in public."""
    return f"leak-{secret_id}"


def refuse_if_erased(session: Session, org_id: str) -> None:
    """:raises NotFound: `erased`"""
    if personal.is_erased(session, org_id):
        raise errors.NotFound("erased", "This organization was erased.")


def secret(session: Session, *, org_id: str, secret_id: str) -> dict[str, Any]:
    """One secret as the list shows it. :raises NotFound: `unknown_secret`"""
    found = _list(session, org_id, models.Secret.secret_id == secret_id, limit=1)
    if not found:
        raise errors.NotFound("unknown_secret", "There is no such secret.")
    return found[0]


def list_secrets(session: Session, org_id: str, *, after: str, limit: int) -> list[dict[str, Any]]:
    """In the order in which they were made, beyond the secret `after`; the revoked and expired ones too."""
    return _list(session, org_id, models.Secret.secret_id > after, limit=limit)


def list_newest(session: Session, org_id: str, *, limit: int) -> dict[str, Any]:
    """`{"active", "others"}`, of each the newest, the last one first."""
    active, last_first = _is_active(session), models.Secret.secret_id.desc()
    return {
        "active": _list(session, org_id, active, limit=limit, order=last_first),
        "others": _list(session, org_id, not_(active), limit=limit, order=last_first),
    }


def count_active(session: Session, org_id: str) -> int:
    active = select(func.count()).where(models.Secret.org_id == org_id, _is_active(session))
    return session.scalars(active).one()


def state(row: models.Secret, *, now: datetime) -> str:
    """`active`, `expired` or `revoked`; a secret has expired at the very moment `expires_at`."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "active"


def _is_active(session: Session) -> Any:
    alive = or_(models.Secret.expires_at.is_(None), models.Secret.expires_at > database.now(session))
    return and_(models.Secret.revoked_at.is_(None), alive)


def _list(
    session: Session, org_id: str, condition: Any, *, limit: int, order: Any = models.Secret.secret_id
) -> list[dict[str, Any]]:
    now, former = database.now(session), models.FormerDigest
    joined = (
        select(models.Secret, models.Digest, former)
        .join(models.Digest, models.Digest.secret_id == models.Secret.secret_id)
        .outerjoin(former, and_(former.secret_id == models.Secret.secret_id, former.works_until > now))
        .where(models.Secret.org_id == org_id, condition)
        .order_by(order)
        .limit(limit)
    )
    rows = session.execute(joined).all()
    found = [row.secret_id for row, _, _ in rows]
    texts = personal.get_many(session, [*found, *map(leak_of, found)])
    return [
        {
            "id": row.secret_id,
            "name": texts.get(row.secret_id, {}).get("name", ""),
            "hint": digest.hint,
            "scopes": row.scopes,
            "made_by": row.made_by,
            "state": state(row, now=now),
            "revoked_reason": row.revoked_reason,
            "leak_url": texts.get(leak_of(row.secret_id), {}).get("url"),
            "created_at": clock.rfc3339(row.created_at),
            "expires_at": row.expires_at and clock.rfc3339(row.expires_at),
            "rotated_at": row.rotated_at and clock.rfc3339(row.rotated_at),
            "last_used_at": digest.last_used_at and clock.rfc3339(digest.last_used_at),
            "former": _former(before) if before is not None and row.revoked_at is None else None,
        }
        for row, digest, before in rows
    ]


def _former(digest: models.FormerDigest) -> dict[str, str]:
    return {"hint": digest.hint, "works_until": clock.rfc3339(digest.works_until)}
