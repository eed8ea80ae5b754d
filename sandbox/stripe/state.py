"""
What the sandbox remembers: one SQLite file, changed in one transaction at a time, so that a kill loses nothing.

Resources see a `Store`: the objects within one transaction, and the moment at which it happens.
"""

import json
import secrets
import sqlite3
import string
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.stripe import due, errors

Object = dict[str, Any]

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    position INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    customer TEXT, due_at INTEGER, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, customer, position);
CREATE INDEX IF NOT EXISTS objects_by_due ON objects (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
    request_id TEXT NOT NULL, answered_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, endpoint TEXT NOT NULL, status TEXT NOT NULL,
    attempts INTEGER NOT NULL, next_at REAL, give_up_at INTEGER NOT NULL, answer TEXT);
CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (next_at) WHERE status = 'pending';
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_COMPARISONS = {"is": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
TABLES = ("objects", "answers", "deliveries", "settings")


@dataclass
class Store:
    """
    The objects as one transaction sees and changes them.

    :param now: unix seconds of the test clock; while time catches up, the moment that is being caught up
    :param present: the test clock's time, also while the past is caught up
    :param public_url: where a person's browser finds the sandbox, without a slash at the end
    """

    connection: sqlite3.Connection
    now: int
    present: int
    public_url: str
    request_id: str | None = None
    idempotency_key: str | None = None

    def get(self, kind: str, object_id: str, *, param: str = "id", status: int = 404) -> Object:
        """:raises StripeError: `status` with code resource_missing if there is no such object"""
        found = self.lookup(object_id)
        if found is None or found["object"] != kind:
            raise errors.missing(kind, object_id, param=param, status=status)
        return found

    def lookup(self, object_id: str) -> Object | None:
        row = self.connection.execute("SELECT body FROM objects WHERE id = ?", (object_id,)).fetchone()
        return json.loads(row[0]) if row else None

    def find(
        self,
        kind: str,
        *,
        customer: str | None = None,
        created: int | dict[str, int] | None = None,
        **wanted: Any,
    ) -> list[Object]:
        """
        Objects of a kind, the newest first.

        :param created: only of this moment, or of a range (`gt`, `gte`, `lt`, `lte`)
        :param wanted: only with these values in these fields
        """
        conditions: list[str] = ["kind = ?"]
        values: list[Any] = [kind]
        if customer is not None:
            conditions.append("customer = ?")
            values.append(customer)
        for name, value in wanted.items():
            conditions.append(f"json_extract(body, '$.{name}') IS ?")
            values.append(value)
        for name, moment in _range(created).items():
            conditions.append(f"json_extract(body, '$.created') {_COMPARISONS[name]} ?")
            values.append(moment)
        query = f"SELECT body FROM objects WHERE {' AND '.join(conditions)} ORDER BY position DESC"
        return [json.loads(row[0]) for row in self.connection.execute(query, values)]

    def save(self, body: Object) -> Object:
        """Insert or replace an object; when time must look at it again is derived from what it says."""
        row = (body["id"], body["object"], body.get("customer"), due.due_at(body), json.dumps(body))
        self.connection.execute(
            "INSERT INTO objects (id, kind, customer, due_at, body) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, due_at = excluded.due_at,"
            " body = excluded.body",
            row,
        )
        return body

    def delete(self, object_id: str) -> None:
        self.connection.execute("DELETE FROM objects WHERE id = ?", (object_id,))

    def first_due(self, until: int) -> tuple[int, Object] | None:
        """The object that time must look at first, and the moment, if that is not after `until`."""
        row = self.connection.execute(
            "SELECT due_at, body FROM objects WHERE due_at <= ? ORDER BY due_at, position LIMIT 1", (until,)
        ).fetchone()
        return (row[0], json.loads(row[1])) if row else None

    def setting(self, name: str, default: Any) -> Any:
        row = self.connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_setting(self, name: str, value: Any) -> None:
        self.connection.execute(
            "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, json.dumps(value)),
        )


@dataclass
class State:
    """:param file: the SQLite file; made if it is not there"""

    file: Path
    public_url: str
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        self._connection = sqlite3.connect(self.file, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(
        self, now: int, *, request_id: str | None = None, idempotency_key: str | None = None
    ) -> Iterator[Store]:
        """One transaction at a time; it commits at the end, and not at all if an exception leaves it."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Store(self._connection, now, now, self.public_url, request_id, idempotency_key)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def new_id(prefix: str, length: int = 24) -> str:
    alphabet = string.ascii_letters + string.digits
    return f"{prefix}_{''.join(secrets.choice(alphabet) for _ in range(length))}"


def _range(created: int | dict[str, int] | None) -> dict[str, Any]:
    return created if isinstance(created, dict) else {} if created is None else {"is": created}
