"""
What every service does alike when an org or a person is erased: forget traces in the kernel's tables, tell that it is
done.

What a service has beside, and in which order that goes, is in its own `erasing.py`.
"""

from typing import Any

from sqlalchemy import delete, or_
from sqlalchemy.orm import Session

from shared import context, events, ids, store, tables


def stream(org_id: str) -> str:
    """Of a subject of its own: events about an erased org are passed over by whoever has erased it too."""
    return f"erasure-{ids.derived('erasure', org_id)}"


def tell(session: Session, catalogue: events.Catalogue, done: Any) -> None:
    """:param done: the service's ErasureDone; it is told once"""
    aggregate: store.Aggregate[None] = store.Aggregate(
        catalogue=catalogue, initial=None, evolve=lambda state, _fact: state
    )
    head = store.head(session, stream(done.org_id), aggregate)
    if head.version == 0:
        with context.use(actor=context.Actor(kind="service", id=catalogue.service, org_id=done.org_id)):
            store.append(session, head, aggregate, [done])


def forget_commands(session: Session, *, org_id: str = "", account_id: str = "") -> None:
    """The ids that clients chose for their commands, and what came of these: all in the org, or all of the person."""
    by_whom = [tables.Command.actor.endswith(f":{org_id}", autoescape=True)] if org_id else []
    if account_id:
        by_whom.append(tables.Command.actor.startswith(f"person:{account_id}:", autoescape=True))
        by_whom.append(
            tables.Command.outcome["account_id"].astext == account_id
        )  # with a mailed link, signed in or not
    session.execute(delete(tables.Command).where(or_(*by_whom)))


def forget_jobs(session: Session, subject: str, *, but: str = "") -> None:
    """
    What was to be done for it, and what could not be; whoever does one at this moment finds nothing to settle.

    :param but: the id of the job that erases
    """
    session.execute(delete(tables.Job).where(tables.Job.subject == subject, tables.Job.id != but))
