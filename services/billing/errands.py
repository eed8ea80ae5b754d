"""What is done for all orgs together: by one process at a time, going on where the last one stopped."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects import postgresql

from services.billing import models
from shared import database, ids

FURTHEST = timedelta(days=2)  # what is due later was so by a clock that has been set back since
LEASE_SECONDS = 60  # renewed with every step; longer than one may last


class Lost(Exception):
    """We were too slow: somebody else may go on with it."""

    def __init__(self) -> None:
        super().__init__("another goes on with it")


@dataclass(frozen=True, kw_only=True)
class Held:
    """
    An errand that is ours for a while.

    :param position: where the last one stopped; empty: at the beginning
    :param since: what the errand before has got to; None: there was none
    """

    database: database.Database
    name: str
    holder: str
    position: str
    since: datetime | None

    def note(self, **values: Any) -> None:
        """
        Write down how far it is, and keep it.

        :raises Lost: if we were too slow, and somebody else may have it
        """
        ours = (models.Errand.name == self.name) & (models.Errand.holder == self.holder)
        alive = models.Errand.lease_until > func.clock_timestamp()
        step = update(models.Errand).where(ours, alive).values(lease_until=_UNTIL, **values)
        with self.database.begin() as session:
            if session.execute(step.returning(models.Errand.name)).first() is None:
                raise Lost

    def through(self, *, due_at: datetime) -> None:
        """It is done; the next one begins anew, from where this one has got to."""
        self.note(position="", since=func.coalesce(models.Errand.newest, models.Errand.since), due_at=due_at)


def is_due(home: database.Database, name: str, *, first_at: datetime) -> bool:
    """:param first_at: when it is due for the first time, if nobody knows of it yet"""
    with home.begin() as session:
        session.execute(_new(name, due_at=first_at).on_conflict_do_nothing())
        due_at: datetime = session.scalars(select(models.Errand.due_at).where(models.Errand.name == name)).one()
        now = database.now(session)
        return not now < due_at < now + FURTHEST


@contextmanager
def held(home: database.Database, name: str, *, first_at: datetime) -> Iterator[Held | None]:
    """None if somebody has it. A process that dies leaves it to be taken a minute later."""
    holder = ids.new("lease")
    free = models.Errand.lease_until < func.clock_timestamp()
    taken = update(models.Errand).where(models.Errand.name == name, free).values(holder=holder, lease_until=_UNTIL)
    with home.begin() as session:
        session.execute(_new(name, due_at=first_at).on_conflict_do_nothing())
        row = session.execute(taken.returning(models.Errand.position, models.Errand.since)).first()
    if row is None:
        yield None
        return
    try:
        yield Held(database=home, name=name, holder=holder, position=row.position, since=row.since)
    finally:
        ours = (models.Errand.name == name) & (models.Errand.holder == holder)
        with home.begin() as session:
            session.execute(update(models.Errand).where(ours).values(lease_until=func.to_timestamp(0)))


_UNTIL = text(f"clock_timestamp() + interval '{LEASE_SECONDS} seconds'")


def _new(name: str, *, due_at: datetime) -> postgresql.Insert:
    return postgresql.insert(models.Errand).values(
        name=name, holder="", lease_until=func.to_timestamp(0), due_at=due_at, position="", since=None, newest=None
    )
