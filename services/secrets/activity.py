"""What an org's activity shows of its API secrets; and their names, for whoever shows what was done with one."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.secrets import models
from services.secrets.events import (
    ErasureDone,
    FormerValueEnded,
    SecretCreated,
    SecretErased,
    SecretExpiresSoon,
    SecretRevoked,
    SecretRotated,
)
from shared import activity, personal
from shared.activity import Actor, Entry


def _created(fact: SecretCreated, _actor: Actor) -> Entry:
    details = {"scopes": list(fact.scopes), "expires_at": fact.expires_at or None}
    return Entry(what="secret_created", subject=("secret", fact.secret_id), details=details)


def _rotated(fact: SecretRotated, _actor: Actor) -> Entry:
    return Entry(
        what="secret_rotated", subject=("secret", fact.secret_id), details={"former_until": fact.former_until}
    )


def _revoked(fact: SecretRevoked, _actor: Actor) -> Entry:
    return Entry(what="secret_revoked", subject=("secret", fact.secret_id), details={"reason": fact.reason})


def _former_ended(fact: FormerValueEnded, _actor: Actor) -> Entry:
    return Entry(
        what="secret_former_value_ended", subject=("secret", fact.secret_id), details={"reason": fact.reason}
    )


def _expires_soon(fact: SecretExpiresSoon, _actor: Actor) -> Entry:
    return Entry(
        what="secret_expires_soon", subject=("secret", fact.secret_id), details={"expires_at": fact.expires_at}
    )


def names(session: Session, org_id: str, ids: Collection[str]) -> dict[str, str]:
    """Of the org's own secrets, the revoked ones too."""
    ours = select(models.Secret.secret_id).where(
        models.Secret.org_id == org_id, models.Secret.secret_id.in_(sorted(ids))
    )
    known = session.scalars(ours).all()
    return {id: str(text.get("name", "")) for id, text in personal.get_many(session, known).items()}


TRAIL = activity.Trail(
    table=models.Activity,
    shown={
        SecretCreated: _created,
        SecretRotated: _rotated,
        SecretRevoked: _revoked,
        FormerValueEnded: _former_ended,
        SecretExpiresSoon: _expires_soon,
    },
    hidden=frozenset({SecretErased, ErasureDone}),
    ends=SecretErased,
    names=names,
)
