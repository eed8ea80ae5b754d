"""
A table that only counts, summed by PostgreSQL: the events that are due are grouped by what their counting sees of
them, the rule is asked once for each fact and stream that differ, and the rows are the sums of its answers.
"""

import functools
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any

from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.orm import Session

from shared import bulk, read_models

ROWS_AT_ONCE = 5000
PLAIN: dict[str, Any] = {"name": Text, "schema": BigInteger, "data": LargeBinary, "stream": Text}

Decode = Callable[[str, int, bytes], Any]


def count(session: Session, counting: read_models.Counting, decode: Decode) -> int:
    """
    Add to the table what the events in `chatness_due` make of it; gives how many they were.

    :param decode: (name, schema, data) to the fact
    :raises CannotProject: if one cannot be decoded
    """
    session.execute(
        _ALIKE, {"names": [fact.name for fact in counting.facts], "marker": f'"{counting.blind_to}":"'.encode()}
    )
    number: int = session.scalars(text("SELECT coalesce(sum(number), 0)::bigint FROM pg_temp.chatness_alike")).one()
    if number:
        _keep(session, "chatness_shapes", counting, _shapes(session, counting, decode))
        _keep(session, "chatness_streams", counting, _streams(session, counting))
        session.execute(text(_sum(counting.table.__table__, counting.day)))
    session.execute(text("DROP TABLE IF EXISTS pg_temp.chatness_alike, chatness_shapes, chatness_streams"))
    return number


def _shapes(session: Session, counting: read_models.Counting, decode: Decode) -> Iterator[read_models.Row]:
    for name, schema, data in _rows(session, "SELECT DISTINCT name, schema, data FROM pg_temp.chatness_alike"):
        shape = {"name": name, "schema": schema, "data": bytes(data)}
        try:
            fact = decode(name, schema, shape["data"])
        except Exception:
            stream, version = session.execute(_FIRST, shape).one()
            with read_models.Projecting(stream, version, name):
                raise
        yield {**shape, **counting.of_fact(fact)}


def _streams(session: Session, counting: read_models.Counting) -> Iterator[read_models.Row]:
    for (stream,) in _rows(session, "SELECT DISTINCT stream FROM pg_temp.chatness_alike"):
        yield {"stream": stream, **counting.of_stream(stream)}


def _rows(session: Session, query: str) -> Iterator[Any]:
    return session.execute(text(query), execution_options={"stream_results": True, "max_row_buffer": ROWS_AT_ONCE})


def _keep(session: Session, name: str, counting: read_models.Counting, rows: Iterator[read_models.Row]) -> None:
    """Put the rows, of which there is one at least, into a temporary table."""
    first = next(rows)
    table = _table(name, counting.table.__table__, tuple(first))
    table.create(session.connection())
    rows = chain([first], rows)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        bulk.run(session, bulk.insert(table, batch))
    session.execute(text(f"ANALYZE pg_temp.{name}"))


@functools.cache
def _table(name: str, counted: Table, columns: tuple[str, ...]) -> Table:
    kinds = {column: PLAIN.get(column) or counted.columns[column].type for column in columns}
    made = [Column(column, kind) for column, kind in kinds.items()]
    return Table(name, MetaData(), *made, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


def _sum(counted: Table, day: str) -> str:
    keys = counted.primary_key.columns.keys()
    numbers = [column.name for column in counted.columns if not column.primary_key]
    values = ["to_char(day_in_utc, 'YYYY-MM-DD')" if key == day else key for key in keys]
    values += [f"sum(number * {name})" for name in numbers]
    return _SUM.format(
        table=counted.name,
        columns=", ".join((*keys, *numbers)),
        values=", ".join(values),
        keys=", ".join(keys),
        groups=", ".join("day_in_utc" if key == day else key for key in keys),
        more=", ".join(f"{name} = {counted.name}.{name} + excluded.{name}" for name in numbers),
    )


# By hash and not by sorting, which PostgreSQL would choose: it cannot know how many are alike, and takes each for
# another. The member is cut out of the bytes, for parsing them takes three times as long: where no backslash is in
# them, a quotation mark is the beginning or the end of a string, and nothing else.
_ALIKE = text("""
SET LOCAL enable_sort TO off;
CREATE TEMPORARY TABLE chatness_alike ON COMMIT DROP AS
SELECT stream, name, schema, day_in_utc,
    CASE WHEN closing = 0 OR position('\\x5c'::bytea IN data) > 0 THEN data
    ELSE substr(data, 1, opening - 1) || substr(data, opening - 1 + closing) END AS data,
    count(*) AS number, min(version) AS version
FROM (
    SELECT *, coalesce(position('"'::bytea IN substr(data, opening)), 0) AS closing
    FROM (
        SELECT events.stream, name, schema, version, data, (recorded_at AT TIME ZONE 'UTC')::date AS day_in_utc,
            nullif(position(:marker IN data), 0) + length(:marker) AS opening
        FROM events JOIN pg_temp.chatness_due AS due
        ON due.stream = events.stream AND version > beyond AND version <= upto AND name = ANY (:names)
    ) AS found OFFSET 0
) AS cut
GROUP BY 1, 2, 3, 4, 5;
SET LOCAL enable_sort TO DEFAULT;
ANALYZE pg_temp.chatness_alike
""")
_FIRST = text("""
SELECT stream, version FROM pg_temp.chatness_alike
WHERE name = :name AND schema = :schema AND data = :data ORDER BY stream, version LIMIT 1
""")
_SUM = """
INSERT INTO {table} ({columns})
SELECT {values}
FROM pg_temp.chatness_alike JOIN pg_temp.chatness_streams USING (stream)
JOIN pg_temp.chatness_shapes USING (name, schema, data)
GROUP BY {groups} ORDER BY {groups}
ON CONFLICT ({keys}) DO UPDATE SET {more}
"""
