"""
What a service says of its read models: which tables they are, and which rules make their rows from its events.

A rule is one for a command's event and for the millions of a rebuild, which gives it many at a time.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import Session

from shared import bulk, database, events

Project = Callable[[Session, events.Recorded, Any], None]
Added = Sequence[tuple[events.Recorded, Any]]
Row = dict[str, Any]
Key = tuple[Hashable, ...]


class CannotProject(Exception):
    """An event cannot be read or projected; the message names it without its content."""


class Projecting:
    """
    A block that projects one event: what fails in it is CannotProject, but for what the database does to us.

    :param of: the event is the first of so many, and any of them may be the one
    """

    def __init__(self, stream: str, version: int, name: str, *, of: int = 1) -> None:
        self.named = f"{stream}@{version} ({name})" + (f" or another of {of}" if of > 1 else "")

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: Any, error: BaseException | None, _traceback: Any) -> None:
        if not isinstance(error, Exception) or isinstance(error, database.TRANSIENT):
            return
        reason = str(error) if isinstance(error, events.Unreadable) else type(error).__name__
        raise CannotProject(f"{self.named}: {reason}") from error


@dataclass(frozen=True, kw_only=True)
class Counting:
    """
    A table that only counts: a row's numbers are the sums of what each fact adds, in whatever order they come. So a
    rebuild lets PostgreSQL sum them, and decodes one fact for all that are alike (`shared.counting`).

    :param facts: the classes of these facts; nothing else writes the table
    :param blind_to: the member of their data, a string, that makes no difference to a row
    :param table: the mapped class; all its columns but the key's are numbers
    :param of_stream: from a stream's name the columns of the key that it says
    :param day: the column of the key that holds a fact's day in UTC, as `2026-11-22`
    :param of_fact: from a fact the rest of the key, and the numbers that it adds
    """

    facts: tuple[type[events.Event], ...]
    blind_to: str
    table: Any
    of_stream: Callable[[str], Row]
    day: str
    of_fact: Callable[[Any], Row]


@dataclass(frozen=True, kw_only=True)
class ReadModels:
    """
    What a service's own events alone can make again. Each row must follow from one stream.

    :param version: raised when the rules give other rows than before for the same events
    :param tables: these and no others are rebuilt
    :param projects: for each kind of stream (what stands before its first `-`) what writes its rows
    :param batches: the same for many events at once, each stream's in order, where a kind has that
    :param countings: the tables among them that only count
    :param stream_of: for a table whose streams can be archived, from which of them a row follows: SQL over its
        columns. Rows of an archived stream stay as they are, for its events cannot make them again
    """

    version: int
    tables: MetaData
    catalogue: events.Catalogue
    projects: Mapping[str, Project]
    batches: Mapping[str, Callable[[Session, Added], None]] = field(default_factory=dict)
    countings: Sequence[Counting] = ()
    stream_of: Mapping[str, str] = field(default_factory=dict)


def fold(
    session: Session,
    table: Any,
    added: Added,
    *,
    key: Callable[[events.Recorded, Any], Key],
    evolve: Callable[[Row | None, events.Recorded, Any], Row | None],
) -> None:
    """
    Bring the rows that facts are about to what these make of them: load, fold and write, whatever their number, in
    three statements at most.

    :param table: the mapped class
    :param key: which row a fact is about, by the values of the primary key in the order of its columns
    :param evolve: (row, event, fact) to the new row, another dict; None: there is no such row
    """
    names = table.__table__.primary_key.columns.keys()
    keyed = [(key(event, fact), event, fact) for event, fact in added]
    wanted = [dict(zip(names, one, strict=True)) for one in {one: None for one, _, _ in keyed}]
    stood: dict[Key, Row] = {tuple(row[name] for name in names): row for row in bulk.select(session, table, wanted)}
    rows: dict[Key, Row | None] = dict(stood)
    for one, event, fact in keyed:
        rows[one] = evolve(rows.get(one), event, fact)
    changed = [row for one, row in rows.items() if row is not None and row is not stood.get(one)]
    gone = [dict(zip(names, one, strict=True)) for one, row in rows.items() if row is None and one in stood]
    bulk.run(session, bulk.delete(table, gone), bulk.upsert(table, changed))
