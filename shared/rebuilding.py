"""
Read models made again from a service's own events: in shadow tables, compared with what stands, and mended.

The shadow of a table is a temporary one of the same name, which this session sees in its place: `project` writes
there unchanged, and nothing is left of it when the transaction ends, however it ends. What stands is mended row by
row where it differs; tables that are not in `ReadModels.tables` are never touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Table, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from shared import database, read_models, refolding, tables

MAX_PASSES = 20
LOCK_TRIES = 10
LOCK_TIMEOUT = "1s"  # while we wait for the lock, those wait who come after us

Kind = Literal["missing", "extra", "changed"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """
    A row that is not as the events have it.

    :param columns: for each column that differs, what stands and what should stand
    """

    table: str
    key: dict[str, Any]
    kind: Kind
    columns: dict[str, tuple[Any, Any]]


@dataclass(kw_only=True)
class Report:
    """
    :param rows: by table, how many rows follow from the events
    :param differing: by table, how many rows are not as the events have them
    :param differences: the first of them
    """

    events: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    differing: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return not any(self.differing.values())


def diff(home: database.Database, models: read_models.ReadModels, *, limit: int) -> Report:
    """
    Compare, as it all stands at one moment, whoever writes meanwhile. No lock is taken and nothing changed.

    :param limit: how many differences of each table are given in full
    :raises CannotProject: if an event cannot be projected
    """
    with home.begin() as session:
        session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        shadow = _Shadow(session, models)
        report = Report(events=shadow.fold())
        shadow.compare(report, limit)
        session.rollback()
        return report


def rebuild(home: database.Database, service: str, models: read_models.ReadModels, *, limit: int) -> Report:
    """
    Mend what differs, while the service works: writers wait only for what is done behind the lock, which is to fold
    what they wrote last, to compare, and to write what differs. Readers do not wait at all.

    :raises CannotProject: if an event cannot be projected
    :raises OperationalError: if writers did not let us have the lock, or a stream was erased meanwhile
    """
    with home.begin() as session:
        shadow = _Shadow(session, models)
        report = Report(events=shadow.fold())
        for _again in range(MAX_PASSES):
            folded = shadow.fold()
            report.events += folded
            if folded < refolding.FEW:  # so many events are left for the time behind the lock
                break
        report.events += shadow.lock_out_writers()
        shadow.compare(report, limit)
        shadow.mend(report)
        _note_version(session, service, models.version)
        return report


def standing_version(session: Session, service: str) -> int | None:
    """The version that the read models were last made by."""
    row = session.get(tables.ReadModels, service)
    return None if row is None else row.version


def begin_version(home: database.Database, service: str, models: read_models.ReadModels) -> None:
    """Note the version where nobody has: a new database begins with this release's, any other had the first."""
    with home.begin() as session:
        is_new = session.scalar(select(tables.Stream.stream).limit(1)) is None
        fresh = postgresql.insert(tables.ReadModels).values(service=service, version=models.version if is_new else 1)
        session.execute(fresh.on_conflict_do_nothing())


def _note_version(session: Session, service: str, version: int) -> None:
    fresh = postgresql.insert(tables.ReadModels).values(service=service, version=version)
    session.execute(fresh.on_conflict_do_update(index_elements=["service"], set_={"version": version}))


class _Shadow:
    """The shadow tables of one transaction, and how far each stream is folded into them."""

    def __init__(self, session: Session, models: read_models.ReadModels) -> None:
        self.session = session
        self.models = models
        self.tables = models.tables.sorted_tables
        self.schema = session.scalars(text("SELECT quote_ident(current_schema)")).one()
        for one in self.tables:
            like = f"LIKE {self._standing(one)} INCLUDING ALL"
            session.execute(text(f"CREATE TEMPORARY TABLE {_quoted(one.name)} ({like}) ON COMMIT DROP"))
        self.refolding = refolding.Refolding(session, models)

    def fold(self) -> int:
        """Project what is committed by now and was not projected yet; gives how many events that were."""
        folded = self.refolding.fold()
        if folded >= refolding.FEW:
            for one in self.tables:
                self.session.execute(text(f"ANALYZE pg_temp.{_quoted(one.name)}"))
        return folded

    def lock_out_writers(self) -> int:
        """
        EXCLUSIVE, since rows of read models are locked by writers before they write: so they wait here with nothing
        in their hands. Then what they committed last is folded, and nothing more comes. Gives how many events.
        """
        names = ", ".join(self._standing(one) for one in self.tables)
        folded = 0
        self.session.execute(text(f"SET LOCAL lock_timeout TO '{LOCK_TIMEOUT}'"))
        for attempt in range(1, LOCK_TRIES + 1):
            try:
                with self.session.begin_nested():
                    self.session.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
                break
            except database.TRANSIENT:
                if attempt == LOCK_TRIES:
                    raise
                folded += self.fold()
        folded += self.fold()
        self.refolding.refuse_what_went()
        return folded

    def compare(self, report: Report, limit: int) -> None:
        for one in self.tables:
            name = _quoted(one.name)
            self.session.execute(text(_sql(_DIFFERING, one, self._standing(one)) + self._kept(one)))
            report.rows[one.name] = self.session.scalars(text(f"SELECT count(*) FROM pg_temp.{name}")).one()
            found = self.session.scalars(text(f"SELECT count(*) FROM {_differing(one)}")).one()
            report.differing[one.name] = found
            report.differences += self._differences(one, limit) if found else []

    def mend(self, report: Report) -> None:
        """Take away what differs, all of it first, so that a value that must be unique can change its row."""
        for one in self.tables:
            if report.differing[one.name]:
                self.session.execute(text(_sql(_TAKE_AWAY, one, self._standing(one))))
                self.session.execute(text(_sql(_PUT_THERE, one, self._standing(one))))

    def _differences(self, one: Table, limit: int) -> Iterator[Difference]:
        found = text(_sql(_BOTH, one, self._standing(one)))
        columns, keys = [column.name for column in one.columns], [column.name for column in one.primary_key]
        for key, stands, rebuilt in self.session.execute(found, {"limit": limit}):
            kind: Kind = "missing" if stands is None else "extra" if rebuilt is None else "changed"
            both = {name: ((stands or {}).get(name), (rebuilt or {}).get(name)) for name in columns}
            changed = {name: pair for name, pair in both.items() if kind == "changed" and pair[0] != pair[1]}
            yield Difference(table=one.name, key={name: key[name] for name in keys}, kind=kind, columns=changed)

    def _kept(self, one: Table) -> str:
        stream = self.models.stream_of.get(one.name)
        return _NOT_ARCHIVED.format(stream=stream) if stream else ""

    def _standing(self, one: Table) -> str:
        return f"{self.schema}.{_quoted(one.name)}"


_DIFFERING = """
CREATE TEMPORARY TABLE {differing} ON COMMIT DROP AS
SELECT {keys} FROM {standing} AS s FULL JOIN pg_temp.{name} AS r USING ({keys})
WHERE ROW({s_columns}) IS DISTINCT FROM ROW({r_columns})
"""
_NOT_ARCHIVED = """
AND NOT EXISTS (SELECT 1 FROM streams WHERE stream = {stream} AND archived_at IS NOT NULL)
"""
_BOTH = """
SELECT to_jsonb(d) AS key, to_jsonb(s) AS stands, to_jsonb(r) AS rebuilt
FROM (SELECT * FROM {differing} ORDER BY {keys} LIMIT :limit) AS d
LEFT JOIN {standing} AS s USING ({keys}) LEFT JOIN pg_temp.{name} AS r USING ({keys}) ORDER BY {keys}
"""
_TAKE_AWAY = """
DELETE FROM {standing} AS s USING {differing} AS d WHERE ({s_keys}) = ({d_keys})
"""
_PUT_THERE = """
INSERT INTO {standing} ({columns}) SELECT {columns} FROM pg_temp.{name} JOIN {differing} USING ({keys})
ORDER BY {keys}
"""


def _sql(template: str, one: Table, standing: str) -> str:
    columns = [_quoted(column.name) for column in one.columns]
    keys = [_quoted(column.name) for column in one.primary_key]
    return template.format(
        standing=standing,
        name=_quoted(one.name),
        differing=_differing(one),
        keys=", ".join(keys),
        columns=", ".join(columns),
        s_columns=", ".join(f"s.{name}" for name in columns),
        r_columns=", ".join(f"r.{name}" for name in columns),
        s_keys=", ".join(f"s.{name}" for name in keys),
        d_keys=", ".join(f"d.{name}" for name in keys),
    )


def _differing(one: Table) -> str:
    return _quoted(f"chatness_differing_{one.name}")


def _quoted(name: str) -> str:
    return f'"{name}"'
