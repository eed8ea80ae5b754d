"""An org's row set to what its events say, behind the lock that every transaction of quota takes first."""

import json
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from ops.quota import ledgers
from services.quota import boundary, models
from shared import bulk, database, tables


class CannotMend(Exception):
    """The events do not say what the row should be; the message says why."""


def mend(home: database.Database, org_id: str, *, actor: str, reason: str) -> list[str]:
    """
    Fold the open month again, now that nobody writes it, and write and note what differs; gives these columns.

    :raises CannotMend: if there is no row, or the month's own events are not whole
    """
    with home.begin() as session:
        session.execute(text("SET LOCAL statement_timeout TO 0"))
        locked = select(models.Org).where(models.Org.org_id == org_id).with_for_update()
        row = session.scalar(locked, execution_options={"populate_existing": True})
        if row is None:
            raise CannotMend("it has no row, and quota's events do not say how many bots it may have")
        page = _folded(session, row)
        found = ledgers.differing(boundary.page_of(row), page)
        if found:
            bulk.run(session, bulk.update(models.Org, [boundary.row_of(page)]))
            _note(session, org_id, found, actor, reason)
    return list(found)


def _folded(session: Session, row: models.Org) -> boundary.Page:
    streams = ledgers.streams_of(session, row.org_id)
    if not streams:
        raise CannotMend("it has no month")
    period, head = max(streams.items())
    if head.archived_at is not None:
        raise CannotMend(f"{head.stream} is archived: restore it first")
    walk, steps = ledgers.month(session, row.org_id, period, ledgers.recorded(session, head.stream))
    for step in steps:
        if not step.whole:
            raise CannotMend(f"{step.event.stream}@{step.event.version} is not what was recorded")
    if walk.head(head.stream) != (head.version, head.hash):
        raise CannotMend(f"{head.stream} does not end as its head says")
    return boundary.Page(walk.month, row.bot_limit, head.version, head.hash)


def _note(session: Session, org_id: str, found: dict[str, tuple[Any, Any]], actor: str, reason: str) -> None:
    stored, folded = ({name: pair[side] for name, pair in found.items()} for side in (0, 1))
    values = {"stored": _json(stored), "folded": _json(folded), "actor": actor, "reason": reason}
    fresh = insert(tables.Repair).values(relation="orgs", key=org_id, repaired_at=database.now(session), **values)
    session.execute(fresh)


def _json(columns: dict[str, Any]) -> Any:
    return json.loads(json.dumps(columns, default=str))
