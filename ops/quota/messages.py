"""The rows of `messages` beside a month's events: each admission has its row, and each row its admission."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ops.quota.differences import Difference
from ops.quota.ledgers import Step, Streams
from services.quota import boundary, models
from services.quota.events import MessageRecorded, MessageRefunded
from shared import clock

AT_ONCE = 1000
NO_ROW, A_ROW = "no row", "a row"

Columns = dict[str, Any]


@dataclass
class Comparison:
    """
    :param kept: whether the ids of this month must still be remembered
    :param rows: how many of the month's rows were met
    :param refunded: how many of them are refunded
    """

    session: Session
    org_id: str
    period: str
    kept: bool
    rows: int = 0
    refunded: int = 0
    waiting: list[tuple[str, Columns]] = field(default_factory=list)

    def take(self, step: Step) -> Iterator[Difference]:
        wanted = self._wanted(step)
        if wanted is not None:
            self.waiting.append((step.fact.message_id, wanted))
        if len(self.waiting) >= AT_ONCE:
            yield from self._compare()

    def rest(self) -> Iterator[Difference]:
        """What is left, and the rows that no event of this month was about."""
        yield from self._compare()
        counts = func.count(), func.count(models.Message.refunded_at)
        rows, refunded = self.session.execute(select(*counts).where(*self._ours())).one()
        given = {"org_id": self.org_id, "period": self.period, "most": AT_ONCE}
        given["stream"] = boundary.ledger_stream(self.org_id, self.period)
        if rows != self.rows:
            for id in self.session.scalars(_UNRECORDED, given | {"name": MessageRecorded.name}):
                yield self._difference(id, "", A_ROW, "none")
        if refunded != self.refunded:
            for id in self.session.scalars(_NOT_REFUNDED, given | {"name": MessageRefunded.name}):
                yield self._difference(id, "refunded_at", "a moment", None)

    def _wanted(self, step: Step) -> Columns | None:
        match step.fact:
            case MessageRecorded():
                return {
                    "bot_id": step.fact.bot_id,
                    "period": self.period,
                    "generation": step.month.generation,
                    "used": step.month.used,
                    "message_limit": step.month.limit,
                    "credit_id": step.fact.credit_id,
                    "credits_remaining": step.month.credits_remaining,
                    "recorded_at": step.event.recorded_at,
                }
            case MessageRefunded():
                return {"refunded_at": step.event.recorded_at}
            case _:
                return None

    def _compare(self) -> Iterator[Difference]:
        ids = [id for id, _wanted in self.waiting]
        ours = models.Message.org_id == self.org_id, models.Message.message_id == func.any(ids)
        found = self.session.execute(select(*models.Message.__table__.columns).where(*ours)).mappings()
        rows = {row["message_id"]: row for row in found}
        for id, wanted in self.waiting:
            row = rows.get(id)
            if row is None:
                if self.kept and "bot_id" in wanted:
                    yield self._difference(id, "", NO_ROW, A_ROW)
                continue
            if row["period"] == self.period:
                self.rows += "bot_id" in wanted
                self.refunded += "refunded_at" in wanted and row["refunded_at"] is not None
            for column, value in wanted.items():
                if row[column] != value:
                    yield self._difference(id, column, row[column], value)
        self.waiting = []

    def _ours(self) -> tuple[Any, ...]:
        return models.Message.org_id == self.org_id, models.Message.period == self.period

    def _difference(self, id: str, column: str, stored: Any, folded: Any) -> Difference:
        return Difference(
            org_id=self.org_id,
            table="messages",
            key=id,
            column=column,
            stored=_plain(stored),
            folded=_plain(folded),
        )


def of_no_month(session: Session, org_id: str, streams: Streams) -> Iterator[Difference]:
    """Rows of months that the org never had."""
    strange = models.Message.period.not_in(list(streams))
    wanted = select(models.Message.message_id, models.Message.period).where(models.Message.org_id == org_id, strange)
    for id, period in session.execute(wanted.order_by(models.Message.message_id).limit(AT_ONCE)):
        yield Difference(
            org_id=org_id, table="messages", key=id, column="", stored=f"a row of {period}", folded="no such month"
        )


_ROWS = """
SELECT message_id FROM messages WHERE org_id = :org_id AND period = :period {also} AND NOT EXISTS (
    SELECT FROM events WHERE stream = :stream AND name = :name
    AND convert_from(data, 'UTF8')::jsonb ->> 'message_id' = messages.message_id
) ORDER BY message_id LIMIT :most
"""
_UNRECORDED = text(_ROWS.format(also=""))
_NOT_REFUNDED = text(_ROWS.format(also="AND refunded_at IS NOT NULL"))


def _plain(value: Any) -> Any:
    return clock.rfc3339(value) if hasattr(value, "astimezone") else value
