"""
Personal data and free text: the only place for them, so that erasing a subject is deleting its rows.

Events refer to a text by the id and the version it got here; what was erased reads as an empty document.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from shared import database, errors, store, tables


def put(session: Session, id: str, *, subject: str, **data: Any) -> int:
    """
    Keep a new version, and give its number. `subject` is the account or org that it is erased with.

    :raises VersionConflict: if another transaction kept the same version first
    :raises NotFound: `erased` if the subject is gone for good
    """
    if not keep(session, subject):
        raise errors.NotFound("erased", "This was erased.")
    newest = select(func.coalesce(func.max(tables.Personal.version), 0)).where(tables.Personal.id == id)
    version = session.scalars(newest).one() + 1
    fresh = postgresql.insert(tables.Personal).values(id=id, version=version, subject=subject, data=data)
    if session.execute(fresh.on_conflict_do_nothing().returning(tables.Personal.id)).first() is None:
        raise store.VersionConflict(id)
    return version


def keep(session: Session, subject: str) -> bool:
    """
    Whether the subject is not erased. It stays so until this transaction ends: whoever erases waits for us, or we see
    that it was erased, and nothing slips in behind the erasure.
    """
    session.execute(select(func.pg_advisory_xact_lock_shared(_lock(subject))))
    return not is_erased(session, subject)


def erased_while_kept(session: Session, subjects: Collection[str]) -> set[str]:
    """Those among many that are erased; the others stay as `keep` says."""
    if not subjects:
        return set()
    locks = "SELECT pg_advisory_xact_lock_shared(hashtextextended('personal ' || subject, 0)) FROM unnest(:subjects)"
    session.execute(text(f"{locks} AS subject"), {"subjects": sorted(subjects)})
    return erased_among(session, subjects)


def get(session: Session, id: str) -> dict[str, Any]:
    """The newest version."""
    return get_many(session, [id]).get(id, {})


def get_many(session: Session, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """The newest versions by id; what is not there is left out."""
    if not wanted:
        return {}
    newest = (
        select(tables.Personal)
        .where(tables.Personal.id.in_(wanted))
        .ext(postgresql.distinct_on(tables.Personal.id))
        .order_by(tables.Personal.id, tables.Personal.version.desc())
    )
    return {row.id: row.data for row in session.scalars(newest)}


def remove(session: Session, id: str) -> None:
    """Delete every version of a document whose subject stays. Its id is not used again: versions would begin anew."""
    session.execute(delete(tables.Personal).where(tables.Personal.id == id))


def erase(session: Session, subject: str) -> None:
    """
    Delete all that belongs to the subject, and that it is suspended, and remember that it is gone for good.
    """
    session.execute(select(func.pg_advisory_xact_lock(_lock(subject))))
    session.execute(delete(tables.Personal).where(tables.Personal.subject == subject))
    session.execute(delete(tables.Suspended).where(tables.Suspended.org_id == subject))
    gone = postgresql.insert(tables.Erased).values(id=subject, erased_at=database.now(session))
    session.execute(gone.on_conflict_do_nothing())
    session.info.setdefault("erased", set()).add(subject)


def is_erased(session: Session, id: str) -> bool:
    return session.get(tables.Erased, id) is not None


def erased_among(session: Session, ids: Collection[str]) -> set[str]:
    """Those that are gone for good, asked for many at once."""
    return set(session.scalars(select(tables.Erased.id).where(tables.Erased.id.in_(ids))))


def erased_meanwhile(session: Session) -> set[str]:
    """What this transaction itself has erased so far."""
    erased: set[str] = session.info.get("erased", set())
    return erased


def _lock(subject: str) -> Any:
    return func.hashtextextended(f"personal {subject}", 0)
