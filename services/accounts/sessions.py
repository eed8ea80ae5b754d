"""Signed-in sessions: rows, never events. A session ends 30 days after it began, or 7 days after it was last used."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from services.accounts import models, tokens
from shared import clock, database, errors, ids

LIFE = timedelta(days=30)
IDLE = timedelta(days=7)
TOUCH = timedelta(minutes=1)
USER_AGENT_LENGTH = 300


def start(session: Session, *, account_id: str, org_id: str, user_agent: str) -> tuple[str, models.SignedIn]:
    """The token, which is shown this once, and the session."""
    token, now = tokens.session_token(), database.now(session)
    signed_in = models.SignedIn(
        id=ids.new("ses"),
        account_id=account_id,
        org_id=org_id,
        token_hash=tokens.fingerprint(token),
        user_agent="".join(filter(str.isprintable, user_agent))[:USER_AGENT_LENGTH],
        created_at=now,
        last_used_at=now,
        expires_at=now + LIFE,
    )
    session.add(signed_in)
    session.flush()
    return token, signed_in


def verify(session: Session, sha256: str) -> dict[str, Any]:
    """
    Whose token it is, and that it was used.

    :returns: `{"account_id", "org_id", "role", "session_id", "expires_at"}`
    :raises NotFound: `unknown_session`, also for one that has ended, or whose person has left the org
    """
    joined = (
        select(models.SignedIn, models.Member.role)
        .join(models.Member, models.Member.account_id == models.SignedIn.account_id)
        .where(models.Member.org_id == models.SignedIn.org_id, models.SignedIn.token_hash == _bytes(sha256))
    )
    found = session.execute(joined).one_or_none()
    now = database.now(session)
    if found is None or ends_at(found[0]) <= now:
        raise _unknown()
    signed_in, role = found
    if now - signed_in.last_used_at >= TOUCH:
        signed_in.last_used_at = now
    return {
        "account_id": signed_in.account_id,
        "org_id": signed_in.org_id,
        "role": role,
        "session_id": signed_in.id,
        "expires_at": clock.rfc3339(ends_at(signed_in)),
    }


def list_of(session: Session, account_id: str, *, current_id: str) -> list[dict[str, Any]]:
    """Those that have not ended, the latest first."""
    now = database.now(session)
    wanted = select(models.SignedIn).where(models.SignedIn.account_id == account_id)
    found = session.scalars(wanted.order_by(models.SignedIn.id.desc()))
    return [
        {
            "id": row.id,
            "org_id": row.org_id,
            "user_agent": row.user_agent,
            "created_at": clock.rfc3339(row.created_at),
            "last_used_at": clock.rfc3339(row.last_used_at),
            "expires_at": clock.rfc3339(ends_at(row)),
            "current": row.id == current_id,
        }
        for row in found
        if ends_at(row) > now
    ]


def switch(session: Session, *, session_id: str, account_id: str, org_id: str) -> tuple[str, models.SignedIn]:
    """
    End the session, and start another in an org that the person is in; it lasts no longer than the first would have.

    A token never changes its org: who remembers whose it is would go on in the other one for a while.

    :returns: the new token, which is shown this once, and its session
    :raises NotFound: `unknown_org` if the person is not in it; `unknown_session`
    """
    if session.get(models.Member, (org_id, account_id)) is None:
        raise errors.NotFound("unknown_org", "There is no such organization.")
    former = session.get(models.SignedIn, session_id, with_for_update=True)
    if former is None or former.account_id != account_id:
        raise _unknown()
    token, signed_in = start(session, account_id=account_id, org_id=org_id, user_agent=former.user_agent)
    signed_in.expires_at = former.expires_at
    session.delete(former)
    session.flush()
    return token, signed_in


def end(session: Session, *, session_id: str, account_id: str) -> None:
    """:raises NotFound: `unknown_session`, also for somebody else's"""
    ours = (models.SignedIn.id == session_id) & (models.SignedIn.account_id == account_id)
    if session.execute(delete(models.SignedIn).where(ours).returning(models.SignedIn.id)).first() is None:
        raise _unknown()


def end_in(session: Session, *, account_id: str, org_id: str) -> None:
    """Of a person who is not in the org any more."""
    theirs = (models.SignedIn.account_id == account_id) & (models.SignedIn.org_id == org_id)
    session.execute(delete(models.SignedIn).where(theirs))


def end_all(session: Session, account_id: str) -> None:
    """Sign the person out everywhere."""
    session.execute(delete(models.SignedIn).where(models.SignedIn.account_id == account_id))


def end_others(session: Session, account_id: str, *, kept_id: str) -> None:
    """Sign the person out everywhere but in this session."""
    others = (models.SignedIn.account_id == account_id) & (models.SignedIn.id != kept_id)
    session.execute(delete(models.SignedIn).where(others))


def prune(session: Session) -> None:
    """Forget those that have ended."""
    now = database.now(session)
    ended = or_(models.SignedIn.expires_at <= now, models.SignedIn.last_used_at <= now - IDLE)
    session.execute(delete(models.SignedIn).where(ended))


def ends_at(signed_in: models.SignedIn) -> datetime:
    return min(signed_in.expires_at, signed_in.last_used_at + IDLE)


def _bytes(sha256: str) -> bytes:
    try:
        return bytes.fromhex(sha256)
    except ValueError:
        raise _unknown() from None


def _unknown() -> errors.NotFound:
    return errors.NotFound("unknown_session", "There is no such session.")
