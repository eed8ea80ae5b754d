"""
An org's activity: of each event that a person may ask about a row that says what happened, when, and who did it with
what. It is a read model of each service, written in the transaction that records the event. It holds ids: names are
found when it is read, so that nothing is left of who was erased.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Index, delete, select, tuple_
from sqlalchemy.orm import Mapped, Session, declared_attr, mapped_column

from shared import bulk, clock, errors, events, personal, read_models

Names = Callable[[Session, str, Collection[str]], dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Actor:
    """
    Who did it, as the event says. Of an operator no more than that it was one: the log of operations has the name.

    :param id: the account, the secret or the service; empty for an operator, and for anyone
    :param session_id: in which a person did it; empty where there was none
    """

    kind: str
    id: str = ""
    session_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """
    What an event tells a person.

    :param what: a word for programs, which never changes its meaning
    :param subject: the kind and the id of what it happened to; empty where that is the org
    :param details: JSON, without anything that a person wrote
    """

    what: str
    subject: tuple[str, str] = ("", "")
    details: dict[str, Any] = field(default_factory=dict)


class Columns:
    """The columns of a service's table `activity`; `source` and `version` are the event's place in its stream."""

    __tablename__ = "activity"

    source: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str]
    org_id: Mapped[str]
    at: Mapped[datetime]
    what: Mapped[str]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    session_id: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    details: Mapped[dict[str, Any]]

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Index, ...]:
        return (Index("activity_by_org", "org_id", "at", "event_id"),)


def no_names(_session: Session, _org_id: str, _ids: Collection[str]) -> dict[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Trail:
    """
    What a service shows of its events. Each of them is in `shown` or in `hidden`: a test says so of a new one.

    :param table: the service's mapped class of `Columns`
    :param shown: (fact, actor) to what it tells, by the fact's class; None: this one tells nothing
    :param hidden: facts that a person does not ask about
    :param ends: the fact with which an org's erasure ends a stream, and takes its rows away. None where streams of an
        erased org have no such end: there the service deletes the rows, and nothing is projected again
    :param names: (session, org, ids) to the names of those of the org's things that the service knows
    """

    table: Any
    shown: Mapping[type[Any], Callable[[Any, Actor], Entry | None]]
    hidden: frozenset[type[Any]]
    ends: type[Any] | None = None
    names: Names = no_names

    def project(self, session: Session, added: read_models.Added) -> None:
        """Write the rows of events, each stream's in order."""
        rows: list[dict[str, Any]] = []
        for event, fact in added:
            if self.ends is not None and isinstance(fact, self.ends):
                rows = [row for row in rows if row["source"] != event.stream]
                session.execute(delete(self.table).where(self.table.source == event.stream))
            else:
                rows += self._rows_of(event, fact)
        if rows and self.ends is None:
            erased = personal.erased_among(session, {row["org_id"] for row in rows})
            rows = [row for row in rows if row["org_id"] not in erased]
        bulk.run(session, bulk.insert(self.table, rows))

    def newest(
        self, session: Session, org_id: str, *, before: Sequence[str] | None, limit: int
    ) -> list[dict[str, Any]]:
        """
        The org's rows, the newest first, by moment and then by id.

        :param before: `at` and `id` of the last row of the page before
        :raises NotFound: `erased`
        :raises Invalid: `invalid_cursor`
        """
        if personal.is_erased(session, org_id):
            raise errors.NotFound("erased", "This organization was erased.")
        table = self.table
        wanted = select(table).where(table.org_id == org_id)
        if before is not None:
            wanted = wanted.where(tuple_(table.at, table.event_id) < tuple_(*_place(before)))
        rows = session.scalars(wanted.order_by(table.at.desc(), table.event_id.desc()).limit(limit)).all()
        names = self.names(session, org_id, {row.subject_id for row in rows if row.subject_id})
        return [_shown(row, names) for row in rows]

    def _rows_of(self, event: events.Recorded, fact: Any) -> Iterator[dict[str, Any]]:
        show = self.shown.get(type(fact))
        if show is None:
            return
        actor = _actor(event.meta)
        entry = show(fact, actor)
        if entry is not None:
            subject_kind, subject_id = entry.subject
            yield {
                "source": event.stream,
                "version": event.version,
                "event_id": event.id,
                "org_id": event.subject,
                "at": event.recorded_at,
                "what": entry.what,
                "actor_kind": actor.kind,
                "actor_id": actor.id,
                "session_id": actor.session_id,
                "subject_kind": subject_kind,
                "subject_id": subject_id,
                "details": entry.details,
            }


def _actor(meta: bytes) -> Actor:
    """Events of earlier releases name no session."""
    found = json.loads(meta).get("actor", {})
    kind = found.get("kind", "anyone")
    if kind == "operator":
        return Actor(kind=kind)
    return Actor(kind=kind, id=found.get("id", ""), session_id=found.get("session_id", ""))


def _place(before: Sequence[str]) -> tuple[datetime, str]:
    """:raises Invalid: `invalid_cursor`"""
    try:
        at, id = before
        return clock.parse(at), id
    except ValueError:
        raise errors.Invalid("invalid_cursor", "`before` is the `at` and the `id` of a row.") from None


def _shown(row: Any, names: Mapping[str, str]) -> dict[str, Any]:
    subject = {"kind": row.subject_kind, "id": row.subject_id, "name": names.get(row.subject_id) or None}
    return {
        "id": row.event_id,
        "at": clock.rfc3339(row.at),
        "what": row.what,
        "actor": {"kind": row.actor_kind, "id": row.actor_id, "session_id": row.session_id},
        "subject": subject if row.subject_kind else None,
        "details": row.details,
    }
