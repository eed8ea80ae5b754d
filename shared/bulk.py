"""
Many rows in one statement, and several such statements in one round trip.

A column in which all rows agree is sent once, each other one as a JSON array: a parameter for each value, or an
object for each row, costs twice as much and more, here and in PostgreSQL.
"""

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Never

from sqlalchemy import LargeBinary, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from shared import prepared

Rows = Sequence[Mapping[str, Any]]
Write = Callable[[Table, tuple[str, ...], str], str]

KNOWN = (str, int, float, bytes, datetime)

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Statement:
    """
    :param write: (table, names, query) to the SQL that stores what the query selects
    :param names: the columns, in the query's order
    :param rows: each with a value for every one of these
    :param texts: the binary columns that hold text in UTF-8
    """

    table: Table
    write: Write
    names: tuple[str, ...]
    rows: Rows
    texts: Collection[str] = ()


def insert(table: Any, rows: Rows, *, texts: Collection[str] = ()) -> Statement:
    """
    :param table: the mapped class, or a table that has none
    :param rows: each with a value for every column that may not be null; all name the same columns
    :param texts: the binary columns that hold text in UTF-8, which is sent as it is
    """
    return Statement(getattr(table, "__table__", table), _insert, _named(rows), rows, texts)


def upsert(table: Any, rows: Rows) -> Statement:
    """Insert, or replace in the row of the same key the columns that the rows name."""
    return Statement(table.__table__, _upsert, _named(rows), rows)


def add(table: Any, rows: Rows) -> Statement:
    """
    Insert, or add to the numbers in the row of the same key: all columns but the key's are numbers.

    :param rows: each with a value for every column, and no two of the same key
    """
    return Statement(table.__table__, _add, _named(rows), rows)


def update(table: Any, rows: Rows) -> Statement:
    """Replace, in the row of the same key, the columns that the rows name."""
    return Statement(table.__table__, _update, _named(rows), rows)


def delete(table: Any, keys: Rows) -> Statement:
    """Take away the rows of these keys, where there are any."""
    return Statement(table.__table__, _delete, _named(keys), keys)


def select(session: Session, table: Any, keys: Rows) -> list[dict[str, Any]]:
    """The rows of these keys, as many as there are, in no order. No key may be there twice."""
    if not keys:
        return []
    parameters: dict[str, Any] = {}
    sql = _sql(Statement(table.__table__, _select, _named(keys), keys), "p", parameters)
    return [dict(row) for row in session.connection().exec_driver_sql(sql, parameters).mappings()]


def run(session: Session, *statements: Statement) -> None:
    """In their order, but for those without a row."""
    sql: list[str] = []
    parameters: dict[str, Any] = {}
    for index, statement in enumerate(statements):
        if statement.rows:
            sql.append(_sql(statement, f"p{index}", parameters))
    if sql:
        prepared.execute(session, sql, parameters)


def text_array(values: Sequence[str]) -> str:
    """An array of texts as PostgreSQL writes it, in which a quoted text is what it is in JSON."""
    return f"{{{_encode(values)[1:-1]}}}"


def _named(rows: Rows) -> tuple[str, ...]:
    return tuple(rows[0]) if rows else ()


def _sql(statement: Statement, prefix: str, parameters: dict[str, Any]) -> str:
    """The statement with its parameters, which are added to those of the others under this prefix."""
    varying = []
    for index, name in enumerate(statement.names):
        values = [row[name] for row in statement.rows]
        agreed = values.count(values[0]) == len(values)
        if not agreed:
            varying.append(name)
        parameters[f"{prefix}_{index}"] = _sent(values[0]) if agreed else _array(values, name in statement.texts)
    query = _query(statement.table, statement.names, tuple(varying), tuple(statement.texts), prefix)
    return statement.write(statement.table, statement.names, query)


@functools.cache
def _query(
    table: Table, names: tuple[str, ...], varying: tuple[str, ...], texts: tuple[str, ...], prefix: str
) -> str:
    """A SELECT of the rows as the parameters hold them."""
    values, arrays = [], []
    for index, name in enumerate(names):
        kind, parameter = table.columns[name].type, f"%({prefix}_{index})s"
        if name not in varying:
            value = f"CAST({parameter} AS {kind.compile(_DIALECT)})"
        else:
            elements = "json_array_elements" if isinstance(kind, JSONB) else "json_array_elements_text"
            arrays.append((name, f"{elements}({parameter})"))
            value = _read(f'sent."{name}"', kind, is_text=name in texts)
        values.append(f'{value} AS "{name}"')
    source = f" FROM ROWS FROM ({', '.join(array for _, array in arrays)}) AS sent ({_listed(varying)})"
    return f"SELECT {', '.join(values)}{source if arrays else ''}"


def _read(element: str, kind: Any, *, is_text: bool) -> str:
    if isinstance(kind, LargeBinary):
        return f"convert_to({element}, 'UTF8')" if is_text else f"decode({element}, 'hex')"
    return f"{element}::{kind.compile(_DIALECT)}"


@functools.cache
def _insert(table: Table, names: tuple[str, ...], query: str) -> str:
    return f"INSERT INTO {table.name} ({_listed(names)}) {query}"


@functools.cache
def _upsert(table: Table, names: tuple[str, ...], query: str) -> str:
    keys = table.primary_key.columns.keys()
    replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
    return f"{_insert(table, names, query)} ON CONFLICT ({_listed(keys)}) DO UPDATE SET {replaced}"


@functools.cache
def _add(table: Table, names: tuple[str, ...], query: str) -> str:
    keys = table.primary_key.columns.keys()
    more = ", ".join(f'"{name}" = {table.name}."{name}" + excluded."{name}"' for name in names if name not in keys)
    return f"{_insert(table, names, query)} ON CONFLICT ({_listed(keys)}) DO UPDATE SET {more}"


@functools.cache
def _update(table: Table, names: tuple[str, ...], query: str) -> str:
    replaced = ", ".join(f'"{name}" = new."{name}"' for name in names if name not in table.primary_key.columns)
    return f"UPDATE {table.name} SET {replaced} FROM ({query}) AS new WHERE {_same_key(table)}"


@functools.cache
def _delete(table: Table, _names: tuple[str, ...], query: str) -> str:
    return f"DELETE FROM {table.name} USING ({query}) AS new WHERE {_same_key(table)}"


@functools.cache
def _select(table: Table, _names: tuple[str, ...], query: str) -> str:
    return f"SELECT {table.name}.* FROM ({query}) AS new JOIN {table.name} ON {_same_key(table)}"


def _same_key(table: Table) -> str:
    return " AND ".join(f'{table.name}."{key.name}" = new."{key.name}"' for key in table.primary_key.columns)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _sent(value: Any) -> Any:
    """A single value as a parameter. :raises TypeError: for what no column holds"""
    if isinstance(value, dict | list):
        return _encode(value)
    return value if value is None or isinstance(value, KNOWN) else _refuse(value)


def _array(values: list[Any], is_text: bool) -> str:
    """A column's values as a JSON array. :raises TypeError: for what no column holds"""
    first = next(value for value in values if value is not None)
    if isinstance(first, bytes):
        values = [value if value is None else value.decode() if is_text else value.hex() for value in values]
    elif isinstance(first, datetime):
        values = [value if value is None else value.isoformat() for value in values]
    return _encode(values)


def _refuse(value: Any) -> Never:
    raise TypeError(f"no column holds a {type(value).__name__}")


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=_refuse).encode
