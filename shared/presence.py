"""
Signs of life: every process that works on a service says so in its database every few seconds, and which parts it
finds away. A process that was killed or hangs falls silent; one that stops takes its row with it.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from sqlalchemy import delete, func, text
from sqlalchemy.dialects import postgresql

from shared import clock, database, ids, logs, tables

BEAT_SECONDS = 10.0
EAGER_SECONDS = 1.0  # while what connects at the start is still away: the doctor is not to take that for an illness
START_SECONDS = 10.0
LEAVE_SECONDS = 2.0
FORGOTTEN_AFTER = "1 hour"
log = logs.logger(__name__)


class Presence:
    """
    One process in the databases of the services it works on.

    :param role: as on its command line: `serve quota`, `worker accounts billing`
    :param away: gives what one service misses in this process at the moment
    """

    def __init__(self, role: str, homes: Mapping[str, database.Database], away: Callable[[str], list[str]]) -> None:
        self.role = role
        self.homes = dict(homes)
        self.away = away
        self.id = ids.new("prc")
        self.release = metadata.version("chatness")
        self.started_at = clock.machine_time()
        self._written: dict[str, bool] = {}
        self._stopping = threading.Event()
        self._threads = [  # one for each, so that a database that hangs silences us nowhere else
            threading.Thread(target=self._run, args=(service,), name=f"presence {service}", daemon=True)
            for service in self.homes
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Say goodbye, where the last beat was heard; a database that hangs is not waited for."""
        self._stopping.set()
        until = time.monotonic() + LEAVE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def beat(self, service: str) -> list[str]:
        """Say in its database that we live, and what we miss. One that is away is told at the next beat."""
        away = self.away(service)
        self._written[service] = self._try(service, lambda: self._say(self.homes[service], away))
        return away

    def _run(self, service: str) -> None:
        started = time.monotonic()
        while not self._stopping.is_set():
            away = self.beat(service)
            starts = away and time.monotonic() - started < START_SECONDS
            self._stopping.wait(EAGER_SECONDS if starts else BEAT_SECONDS)
        if self._written.get(service):
            self._try(service, lambda: self._leave(self.homes[service]))

    def _try(self, service: str, call: Callable[[], None]) -> bool:
        try:
            call()
        except database.TRANSIENT:  # whoever needs the database says so
            return False
        except Exception as error:  # noqa: BLE001  # it must not end the beating; a database may not be migrated yet
            if self._written.get(service) is not False:
                log.warning("no sign of life", service=service, error=type(error).__name__)
            return False
        return True

    def _say(self, home: database.Database, away: list[str]) -> None:
        signs: dict[str, Any] = {
            "beat_at": func.clock_timestamp(),
            "machine_at": clock.machine_time(),
            "away": away,
        }
        ours = postgresql.insert(tables.Process).values(
            id=self.id,
            role=self.role,
            host=socket.gethostname(),
            pid=os.getpid(),
            release=self.release,
            started_at=self.started_at,
            **signs,
        )
        forgotten = text(f"beat_at < clock_timestamp() - interval '{FORGOTTEN_AFTER}'")
        with home.begin(durable=False) as session:  # lost in a crash of PostgreSQL, it is said again
            session.execute(ours.on_conflict_do_update(index_elements=["id"], set_=signs))
            session.execute(delete(tables.Process).where(forgotten))

    def _leave(self, home: database.Database) -> None:
        with home.begin(durable=False) as session:
            session.execute(delete(tables.Process).where(tables.Process.id == self.id))
