"""Rows as CSV (RFC 4180), in which a spreadsheet finds nothing but texts and numbers."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def heading(columns: Sequence[str]) -> str:
    return lines(columns, [dict(zip(columns, columns, strict=True))])


def lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([_cell(row[column]) for column in columns] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """What a spreadsheet would take for a formula begins with an apostrophe; numbers are numbers."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
