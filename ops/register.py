"""
The register of erased ids: a file that no backup of a database holds, so that what was erased stays so after a
restore.

One JSON document a line, appended and synced, never changed. A worker of accounts writes down what was erased;
whoever serves or works for a service has it erased again, before its doors open, where a restored database does not
know.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from importlib import import_module
from pathlib import Path

from sqlalchemy import exc, func, select

from shared import clock, context, database, doors, logs, personal, tables, worker

WRITER = "accounts"  # where every erasure begins
AGAIN_SECONDS = 1.0
log = logs.logger(__name__)


class Register:
    """The file, as one process knows it; several may append at once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._known: set[str] | None = None
        self._noted = -1  # how many ids the database had at the last look

    def ids(self) -> list[str]:
        """In the order of their erasure, each once. A line that was cut off, by a crash, is passed over."""
        return [*dict.fromkeys(self._lines())]

    def append(self, erased: Mapping[str, datetime]) -> int:
        """
        Write down what is not there yet, and return when it is on the disk; gives how many that were.

        :param erased: when, by id
        """
        if self._known is None:
            self._known = set(self.ids())
        fresh = {id: at for id, at in erased.items() if id not in self._known}
        if fresh:
            lines = [json.dumps({"id": id, "erased_at": clock.rfc3339(at)}) for id, at in fresh.items()]
            self._write("".join(f"{line}\n" for line in lines))
            self._known |= set(fresh)
        return len(fresh)

    def timer(self) -> worker.Timer:
        return worker.Timer(name="register erased", every_seconds=2.0, run=self.note)

    def note(self, home: database.Database) -> int:
        """Whatever was erased and is not written down; gives how many that were."""
        with home.begin() as session:
            count = session.scalars(select(func.count()).select_from(tables.Erased)).one()
            if count == self._noted:
                return 0
            erased = {row.id: row.erased_at for row in session.scalars(select(tables.Erased))}
        fresh = self.append(erased)
        self._noted = len(erased)
        return fresh

    def _lines(self) -> Iterator[str]:
        if not self.file.exists():
            return
        for line in self.file.read_text(errors="replace").splitlines():
            try:
                yield str(json.loads(line)["id"])
            except (ValueError, KeyError, TypeError):
                log.warning("a line of the register of erased ids cannot be read", file=str(self.file))

    def _write(self, text: str) -> None:
        """In one piece. What a crash has left of a line before is ended first."""
        is_new = not self.file.exists()
        with self.file.open("a+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                text = text if file.read(1) == b"\n" else f"\n{text}"
            file.write(text.encode())
            os.fsync(file.fileno())
        if is_new:
            _sync_folder(self.file.parent)


def apply(register: Register, homes: Mapping[str, database.Database]) -> None:
    """
    Erase again what was erased and is there. A database that is away is waited for: no door opens before.

    :param homes: by service
    """
    ids = register.ids()
    for service, home in homes.items():
        while True:
            try:
                _apply(service, home, ids)
                break
            except (*database.TRANSIENT, exc.ProgrammingError) as error:  # the latter: it is not migrated yet
                log.warning("erased ids wait for a database", service=service, error=type(error).__name__)
                time.sleep(AGAIN_SECONDS)


def _apply(service: str, home: database.Database, ids: Iterable[str]) -> None:
    with home.begin() as session:
        known = set(session.scalars(select(tables.Erased.id)))
    again = import_module(f"services.{service}.erasing").again
    # Orgs first: then a person leaves none behind that has to go.
    for id in sorted((id for id in ids if id not in known), key=lambda id: not id.startswith("org_")):

        def erase(id: str = id) -> None:
            with context.use(actor=context.Actor(kind="service", id=service)), home.begin() as session:
                if not personal.is_erased(session, id):
                    again(session, id)

        doors.with_retries(erase)
        log.warning("erased again after a restore", service=service, id=id)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
