"""
Which orgs operators have suspended. In accounts the rows follow from its own events; the other services keep theirs
by what accounts tells, and each refuses by its own table: nobody is asked, and nothing is remembered elsewhere.
"""

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from shared import errors, personal, tables


def begin(session: Session, org_id: str, *, cause: str, at: datetime) -> None:
    """Nothing for an org that is erased: whatever is under way, no row comes after its erasure."""
    if not personal.keep(session, org_id):
        return
    fresh = postgresql.insert(tables.Suspended).values(org_id=org_id, cause=cause, suspended_at=at)
    changed = {"cause": cause, "suspended_at": at}
    session.execute(fresh.on_conflict_do_update(index_elements=["org_id"], set_=changed))


def end(session: Session, org_id: str) -> None:
    session.execute(delete(tables.Suspended).where(tables.Suspended.org_id == org_id))


def check(session: Session, org_id: str) -> None:
    """
    :param org_id: empty for who acts in none
    :raises Forbidden: `org_suspended`
    """
    if org_id and session.get(tables.Suspended, org_id) is not None:
        raise refusal()


def refusal() -> errors.Forbidden:
    return errors.Forbidden("org_suspended", "This organization is suspended; write to support.")
