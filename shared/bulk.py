"""
Many rows in one statement and one parameter, a JSON document that PostgreSQL takes apart; and several such statements
in one round trip.

A parameter for each value costs three times as much here, and twice as much there.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, Table, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

Rows = Sequence[Mapping[str, Any]]

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Statement:
    """:param sql: with one parameter, `:rows`"""

    sql: str
    rows: Rows


def insert(table: Any, rows: Rows) -> Statement:
    """
    :param table: the mapped class, or a table that has none
    :param rows: each with a value for every column that may not be null
    """
    return Statement(_insert(getattr(table, "__table__", table)), rows)


def upsert(table: Any, rows: Rows) -> Statement:
    """Insert, or replace in the row of the same key the columns that the first row names."""
    return Statement(_upsert(table.__table__, tuple(rows[0]) if rows else ()), rows)


def add(table: Any, rows: Rows) -> Statement:
    """
    Insert, or add to the numbers in the row of the same key: all columns but the key's are numbers.

    :param rows: each with a value for every column, and no two of the same key
    """
    return Statement(_add(table.__table__), rows)


def update(table: Any, rows: Rows) -> Statement:
    """Replace, in the row of the same key, the columns that the first row names."""
    return Statement(_update(table.__table__, tuple(rows[0]) if rows else ()), rows)


def delete(table: Any, keys: Rows) -> Statement:
    """Take away the rows of these keys, where there are any."""
    return Statement(_delete(table.__table__), keys)


def select(session: Session, table: Any, keys: Rows) -> list[dict[str, Any]]:
    """The rows of these keys, as many as there are, in no order."""
    if not keys:
        return []
    found = session.execute(text(_select(table.__table__)), {"rows": _encode(keys)})
    return [dict(row) for row in found.mappings()]


def run(session: Session, *statements: Statement) -> None:
    """In their order, but for those without a row."""
    wanted = [statement for statement in statements if statement.rows]
    if not wanted:
        return
    sql = "; ".join(statement.sql.replace(":rows", f":rows_{index}") for index, statement in enumerate(wanted))
    session.execute(text(sql), {f"rows_{index}": _encode(each.rows) for index, each in enumerate(wanted)})


@functools.cache
def _insert(table: Table) -> str:
    names = [column.name for column in table.columns]
    values = ", ".join(_read(table, name) for name in names)
    return f"INSERT INTO {table.name} ({_listed(names)}) SELECT {values} FROM {_sent(table, names)}"


@functools.cache
def _upsert(table: Table, names: tuple[str, ...]) -> str:
    values = ", ".join(_read(table, name) for name in names)
    replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in names if not table.columns[name].primary_key)
    return (
        f"INSERT INTO {table.name} ({_listed(names)}) SELECT {values} FROM {_sent(table, names)}"
        f" ON CONFLICT ({_listed(table.primary_key.columns.keys())}) DO UPDATE SET {replaced}"
    )


@functools.cache
def _add(table: Table) -> str:
    keys = table.primary_key.columns.keys()
    numbers = [column.name for column in table.columns if not column.primary_key]
    more = ", ".join(f'"{name}" = {table.name}."{name}" + excluded."{name}"' for name in numbers)
    return f"{_insert(table)} ON CONFLICT ({_listed(keys)}) DO UPDATE SET {more}"


@functools.cache
def _update(table: Table, names: tuple[str, ...]) -> str:
    keys = table.primary_key.columns.keys()
    replaced = ", ".join(f'"{name}" = {_read(table, name)}' for name in names if name not in keys)
    same = " AND ".join(f'{table.name}."{name}" = sent."{name}"' for name in keys)
    return f"UPDATE {table.name} SET {replaced} FROM {_sent(table, names)} WHERE {same}"


@functools.cache
def _delete(table: Table) -> str:
    keys = table.primary_key.columns.keys()
    same = " AND ".join(f'{table.name}."{name}" = sent."{name}"' for name in keys)
    return f"DELETE FROM {table.name} USING {_sent(table, keys)} WHERE {same}"


@functools.cache
def _select(table: Table) -> str:
    keys = table.primary_key.columns.keys()
    return f"SELECT {table.name}.* FROM {_sent(table, keys)} JOIN {table.name} USING ({_listed(keys)})"


def _sent(table: Table, names: Sequence[str]) -> str:
    columns = ", ".join(f'"{name}" {_kind(table, name)}' for name in names)
    return f"json_to_recordset(:rows) AS sent ({columns})"


def _kind(table: Table, name: str) -> str:
    kind = table.columns[name].type
    return "text" if isinstance(kind, LargeBinary) else kind.compile(_DIALECT)


def _read(table: Table, name: str) -> str:
    is_binary = isinstance(table.columns[name].type, LargeBinary)
    return f"decode(sent.\"{name}\", 'hex')" if is_binary else f'sent."{name}"'


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _plain(value: Any) -> str:
    """What JSON has no form for. :raises TypeError: for what no column holds"""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no column holds a {type(value).__name__}")


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=_plain).encode
