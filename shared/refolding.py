"""
All of a service's events projected once more, into whatever tables the session sees under the names of its read
models; each time what was committed since. Facts that are only counted are never fetched one by one.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Text, column, func, select, table, text
from sqlalchemy.orm import Session

from shared import counting, database, events, read_models, store, tables

EVENTS_AT_ONCE = 1000
FEW = 100
WORK_MEMORY = "64MB"  # for each sum or sort of this one session, before it goes to the disk
DUE = table("chatness_due", column("stream", Text), column("beyond", BigInteger), column("upto", BigInteger))


class Refolding:
    """How far each stream is folded; it is kept in temporary tables of the session's transaction."""

    def __init__(self, session: Session, models: read_models.ReadModels) -> None:
        self.session = session
        self.models = models
        session.execute(text(f"SET LOCAL statement_timeout TO 0; SET LOCAL work_mem TO '{WORK_MEMORY}'"))
        session.execute(text(_TABLES))

    def fold(self) -> int:
        """
        Project what is committed by now and was not projected yet; gives how many events that were.

        :raises CannotProject: if one cannot, or is missing from the table
        :raises Beaten: if a stream was erased or archived meanwhile
        """
        due = self._take_aim()
        if not due:
            return 0
        folded = self._count() + self._project_in_order()
        if folded != due:
            self.refuse_what_went("chatness_due")
            raise read_models.CannotProject(
                f"{due - folded} of {due} events are missing: chatness events verify tells where"
            )
        self.session.execute(text(_REMEMBER))
        if folded >= FEW:
            self.session.execute(text("ANALYZE pg_temp.chatness_folded"))
        return folded

    def refuse_what_went(self, among: str = "chatness_folded") -> None:
        """:raises Beaten: if a stream was erased since it was folded; or archived, before it could be"""
        archived_too = "true" if among == "chatness_due" else "false"
        if self.session.scalar(text(_WENT.format(among=among, archived_too=archived_too))) is not None:
            raise database.Beaten("a stream was erased or archived meanwhile", {}, Exception())

    def _take_aim(self) -> int:
        """
        How far to fold each stream this time, by its head: the statements that follow each see a later moment, and
        must not each take something else. Gives how many events those are.
        """
        self.session.execute(text(_AIM), {"kinds": list(self.models.projects)})
        due: int = self.session.scalars(
            text("SELECT coalesce(sum(upto - beyond), 0)::bigint FROM chatness_due")
        ).one()
        return due

    def _count(self) -> int:
        return sum(counting.count(self.session, one, self._decode) for one in self.models.countings)

    def _project_in_order(self) -> int:
        count = 0
        found: Any = self.session.execute(self._in_order(), execution_options={"yield_per": EVENTS_AT_ONCE})
        for rows in found.partitions():
            for kind, batch in self._by_kind(rows).items():
                self._project(kind, batch)
            self.session.flush()
            count += len(rows)
        return count

    def _decode(self, name: str, schema: int, data: bytes) -> Any:
        return self.models.catalogue.decode(name, schema, json.loads(data))

    def _by_kind(self, rows: Sequence[Any]) -> dict[str, list[tuple[events.Recorded, Any]]]:
        found = defaultdict(list)
        for row in rows:
            with read_models.Projecting(row.stream, row.version, row.name):
                fact = self._decode(row.name, row.schema, row.data)
            found[events.kind_of(row.stream)].append((store.recorded(row), fact))
        return found

    def _project(self, kind: str, added: read_models.Added) -> None:
        if kind in self.models.batches:
            first = added[0][0]
            with read_models.Projecting(first.stream, first.version, first.name, of=len(added)):
                self.models.batches[kind](self.session, added)
            return
        for event, fact in added:
            with read_models.Projecting(event.stream, event.version, event.name):
                self.models.projects[kind](self.session, event, fact)

    def _in_order(self) -> Any:
        """
        Each stream in the order of its versions, and all together in the order in which they were recorded, as far
        as a clock that was set back lets that be told.
        """
        event = tables.Event
        counted = [fact.name for one in self.models.countings for fact in one.facts]
        moment = func.max(event.recorded_at).over(partition_by=event.stream, order_by=event.version)
        return (
            select(*event.__table__.columns)
            .join(DUE, DUE.c.stream == event.stream)
            .where(event.version > DUE.c.beyond, event.version <= DUE.c.upto, event.name.not_in(counted))
            .order_by(moment, event.stream, event.version)
        )


_TABLES = """
CREATE TEMPORARY TABLE chatness_folded (stream text PRIMARY KEY, version bigint NOT NULL) ON COMMIT DROP;
CREATE TEMPORARY TABLE chatness_due (stream text, beyond bigint, upto bigint) ON COMMIT DROP
"""
_AIM = """
TRUNCATE pg_temp.chatness_due;
INSERT INTO pg_temp.chatness_due
SELECT stream, coalesce(folded.version, 0), streams.version
FROM streams LEFT JOIN pg_temp.chatness_folded AS folded USING (stream)
WHERE split_part(stream, '-', 1) = ANY (:kinds) AND erased_at IS NULL AND archived_at IS NULL
AND streams.version > coalesce(folded.version, 0);
ANALYZE pg_temp.chatness_due
"""
_REMEMBER = """
INSERT INTO pg_temp.chatness_folded SELECT stream, upto FROM pg_temp.chatness_due
ON CONFLICT (stream) DO UPDATE SET version = excluded.version
"""
_WENT = """
SELECT stream FROM pg_temp.{among} JOIN streams USING (stream)
WHERE erased_at IS NOT NULL OR {archived_too} AND archived_at IS NOT NULL LIMIT 1
"""
