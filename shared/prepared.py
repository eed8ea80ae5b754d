"""
Statements that PostgreSQL plans once on each connection, and not each time: for the few that everybody waits for.

They are prepared by SQL, since psycopg2 knows no other way, on the way to their first use. What is prepared belongs
to the connection and not to the transaction, so an undone transaction leaves it as it is. That is also why no pooler
may share a connection between transactions.

A plan is kept while the table it was made for grows. So in a transaction that plans once, none is made that reads a
whole table because that was short at the moment.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CursorResult
from sqlalchemy.orm import Session

from shared import dialect

MOST = 200  # for one connection; each takes about 50 KiB of the server's memory

_PARAMETER = re.compile(r"%\((\w+)\)s")


def plan_once(session: Session) -> None:
    """From here to the transaction's end, `execute` prepares. Nothing has been said in the transaction yet."""
    dialect.begin_with(session.connection().connection, "SET LOCAL enable_seqscan TO off")
    session.info["plans_once"] = True


def execute(session: Session, statements: Sequence[str], parameters: Mapping[str, Any]) -> CursorResult[Any]:
    """
    All in one round trip, prepared or as they are.

    :param statements: each with its parameters as `%(name)s`, and with the type of each as far as it is not plain
    :returns: the rows of the last
    """
    connection = session.connection()
    if not session.info.get("plans_once"):
        return connection.exec_driver_sql("; ".join(statements), dict(parameters))
    kept = dialect.prepared_on(connection.connection)
    prepared: dict[str, str] = {}
    sql: list[str] = []
    for statement in statements:
        name = kept.get(statement) or prepared.get(statement)
        if name is None and len(kept) + len(prepared) < MOST:
            name = prepared[statement] = dialect.new_name(connection.connection)
            sql.append(f"PREPARE {name} AS {_numbered(statement)}")
        sql.append(statement if name is None else _execution(name, statement))
    result = connection.exec_driver_sql("; ".join(sql), dict(parameters))
    kept.update(prepared)  # after an error nobody knows which came to be: the next has other names
    return result


def _names(statement: str) -> list[str]:
    """Its parameters in the order in which they first appear."""
    return list(dict.fromkeys(_PARAMETER.findall(statement)))


def _numbered(statement: str) -> str:
    numbers = {name: f"${number}" for number, name in enumerate(_names(statement), start=1)}
    return _PARAMETER.sub(lambda found: numbers[found[1]], statement)


@functools.cache
def _execution(name: str, statement: str) -> str:
    values = ", ".join(f"%({parameter})s" for parameter in _names(statement))
    return f"EXECUTE {name} ({values})" if values else f"EXECUTE {name}"
