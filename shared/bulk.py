"""
Many rows in one statement and one parameter: a JSON document that PostgreSQL takes apart.

A parameter for each value costs three times as much here, and twice as much there.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, Table, TextClause, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def insert(session: Session, table: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """
    :param table: the mapped class
    :param rows: each with a value for every column of the table
    """
    if rows:
        session.execute(_statement(table.__table__), {"rows": _encode(rows)})


@functools.cache
def _statement(table: Table) -> TextClause:
    columns = [(column.name, column.type) for column in table.columns]
    names = ", ".join(f'"{name}"' for name, _ in columns)
    values = ", ".join(
        f"decode(\"{name}\", 'hex')" if isinstance(kind, LargeBinary) else f'"{name}"' for name, kind in columns
    )
    sent = ", ".join(
        f'"{name}" {"text" if isinstance(kind, LargeBinary) else kind.compile(_DIALECT)}' for name, kind in columns
    )
    return text(f"INSERT INTO {table.name} ({names}) SELECT {values} FROM json_to_recordset(:rows) AS sent ({sent})")


def _plain(value: Any) -> str:
    """What JSON has no form for. :raises TypeError: for what no column holds"""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"no column holds a {type(value).__name__}")


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=_plain).encode
