"""
An org's data in quota, erased for good: in the transaction that hears of it what decides about messages and what
people wrote, so that nothing comes after; the rest by a job, in steps that may be cut off anywhere and done again.

What stays is without names: the streams in which the others were told something, because their log covers them, and
of each month's ledger how many events it had and the hash that it ended with.
"""

from typing import Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.orm import Session

from services.quota import bots, boundary, models, projections
from services.quota.events import CATALOGUE, ErasureDone
from shared import database, erasures, errors, failpoints, jobs, personal, pruning, store, tables

JOB = "quota.erase_org"

# Behind the ledgers: a rebuild that still saw these would make the rows again.
ROWS: tuple[tuple[Any, tuple[Any, ...]], ...] = (
    (models.UsageDay, (models.UsageDay.org_id, models.UsageDay.period, models.UsageDay.day, models.UsageDay.bot_id)),
    (models.UsageMonth, (models.UsageMonth.org_id, models.UsageMonth.period)),
    (models.Message, (models.Message.org_id, models.Message.message_id)),
    (models.Activity, (models.Activity.source, models.Activity.version)),
)


class FilesLeft(Exception):
    """Archived months of the org are in files, which only operations can delete: `chatness quota archive forget`."""


def begin(session: Session, org_id: str) -> None:
    """From here on quota knows no such org, and never will again; the job does the rest."""
    # The org's row before anything else, as everybody does: whoever holds it writes the last that is erased here.
    session.execute(select(models.Org.org_id).where(models.Org.org_id == org_id).with_for_update())
    personal.erase(session, org_id)
    store.execute(session, projections.roster_stream(org_id), projections.ROSTER, bots.delete_all)
    forget_row(session, org_id)
    jobs.add(session, JOB, {"org_id": org_id}, subject=org_id)


def forget_row(session: Session, org_id: str) -> None:
    session.execute(delete(models.Org).where(models.Org.org_id == org_id))


def again(session: Session, id: str) -> None:
    """A restored database does not know that it was erased."""
    if id.startswith("org_"):
        begin(session, id)


def finish(home: database.Database, org_id: str) -> None:
    """
    Erase what the org's row led to, and say so to the others.

    :raises FilesLeft: if months of it are in files; all else is erased then, and nobody is told yet
    """
    for period_stream in _ledgers(home, org_id):
        with home.begin() as session:
            session.execute(text("SET LOCAL statement_timeout TO 0"))
            session.execute(text("SELECT erase_stream(:stream)"), {"stream": period_stream})
        failpoints.reach("erasure.step")
    for table, key in ROWS:
        pruning.delete_old(home, table, key, table.org_id == org_id)
        failpoints.reach("erasure.step")
    with home.begin() as session:
        _forget_traces(session, org_id)
    failpoints.reach("erasure.step")
    with home.begin() as session:
        if file := file_left(session, org_id):
            raise FilesLeft(file)
        erasures.tell(session, CATALOGUE, ErasureDone(org_id=org_id))


def file_left(session: Session, org_id: str) -> str:
    """One that has an archived month of the org; empty if there is none."""
    return session.scalar(select(tables.Archive.file).where(_of(tables.Archive.stream, org_id)).limit(1)) or ""


def open_page(session: Session, org_id: str) -> boundary.Page:
    """
    Lock one org and turn its month if it is time, for a door.

    :raises NotFound: `erased`
    :raises Unavailable: `org_not_ready` until billing has told the org's limits
    """
    page = boundary.open_pages(session, [org_id]).get(org_id)
    if page is None:
        raise absent(session, org_id)
    return page


def nothing(session: Session, org_id: str) -> list[Any]:
    """
    An empty list, of an org that is there or may come.

    :raises NotFound: `erased`
    """
    if personal.is_erased(session, org_id):
        raise absent(session, org_id)
    return []


def absent(session: Session, org_id: str) -> errors.ServiceError:
    """Why an org has no row: it was erased, or billing has not told its limits yet."""
    if personal.is_erased(session, org_id):
        return errors.NotFound("erased", "This organization was erased.")
    return boundary.not_ready()


def _ledgers(home: database.Database, org_id: str) -> list[str]:
    ours = _of(tables.Stream.stream, org_id), tables.Stream.erased_at.is_(None)
    with home.begin() as session:
        return [*session.scalars(select(tables.Stream.stream).where(*ours).order_by(tables.Stream.stream))]


def _of(stream: Any, org_id: str) -> Any:
    """Whether it is a ledger of the org. The range is for the index, whatever the collation."""
    prefix = boundary.ledger_stream(org_id, "")
    return stream.between(prefix, f"{prefix}9999-99") & func.starts_with(stream, prefix)


def _forget_traces(session: Session, org_id: str) -> None:
    """Ids that clients chose for their commands, what operations noted, and a fold of the bots that were."""
    erasures.forget_commands(session, org_id=org_id)
    session.execute(delete(tables.Repair).where(tables.Repair.relation == "orgs", tables.Repair.key == org_id))
    roster = projections.roster_stream(org_id)
    session.execute(delete(tables.Snapshot).where(tables.Snapshot.stream == roster))
