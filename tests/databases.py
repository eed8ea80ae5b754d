"""Looking into a whole database."""

from collections.abc import Sequence
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, String, inspect, text

from shared import database


def everything_in(home: database.Database) -> str:
    """Every row of every table as text, bytes both in hexadecimal and as the characters they may be."""
    with home.begin() as session:
        tables = inspect(session.connection()).get_table_names()
        rows = [row for table in tables for row in session.execute(text(f'SELECT * FROM "{table}"'))]
    return "\n".join(_as_text(value) for row in rows for value in row)


def differences(home: database.Database, *models: MetaData) -> Sequence[Any]:
    """What Alembic would have to do to make the migrated tables those of the models."""
    ours = {name for metadata in models for name in metadata.tables}

    def is_ours(thing: Any, name: str | None, kind: str, _reflected: bool, _compared_to: Any) -> bool:
        return (name if kind == "table" else thing.table.name) in ours

    with home.engine.connect() as connection:
        options = {"include_object": is_ours, "compare_type": _differs_in_type}
        context = MigrationContext.configure(connection, opts=options)
        return [step for metadata in models for step in _compared(context, metadata)]


def _differs_in_type(_context: Any, _found: Any, _wanted: Any, found_type: Any, wanted_type: Any) -> bool | None:
    """PostgreSQL's text is what we write where SQLAlchemy says String; None: let Alembic compare."""
    return False if isinstance(found_type, String) and isinstance(wanted_type, String) else None


def _compared(context: MigrationContext, metadata: MetaData) -> list[Any]:
    return [
        step
        for step in compare_metadata(context, metadata)
        if not (step[0] == "remove_table" and step[1].name not in metadata.tables)
        and not (step[0] == "remove_index" and step[1].table.name not in metadata.tables)
    ]


def _as_text(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        raw = bytes(value)
        return f"{raw.hex()} {raw.decode(errors='replace')}"
    return repr(value)
