"""A month's ledger as the `eventsourcing` library would have it, saved after each message."""

import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from benchmarks import databases
from sandbox.postgres import PostgresServer


class Ledger(Aggregate):
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    class MessageRecorded(Aggregate.Event):
        message_id: str
        bot_id: str
        credit_id: str

        def apply(self, aggregate: Any) -> None:
            aggregate.used += 1

    def admit(self, *, message_id: str, bot_id: str) -> None:
        if self.used >= self.limit:
            raise RuntimeError("no message left")
        self.trigger_event(self.MessageRecorded, message_id=message_id, bot_id=bot_id, credit_id="")


class Library:
    """
    An application on a database of its own.

    :param functions: whether the library appends by functions in the database
    :param threads: so many append at once, each to ledgers of its own, since a ledger in memory is one thread's
    """

    def __init__(self, postgres: PostgresServer, *, functions: bool, threads: int, limit: int) -> None:
        self.name = f"{threads} thread{'s' * (threads > 1)}{', functions in the database' * functions}"
        self.url = postgres.create_database(f"library_{threads}{'_functions' * functions}")
        self.application = _application(self.url, functions, threads)
        self.functions = functions
        self.limit = limit
        self.ledgers: list[list[Ledger]] = [[] for _ in range(threads)]
        self.numbers = itertools.count()
        self.added = 0

    def work(self, orgs: int, seconds: float) -> int:
        """
        Add to so many ledgers in turn; to one for each thread at least.

        :returns: how many messages were added
        """
        for index in range(max(orgs, len(self.ledgers))):
            mine = self.ledgers[index % len(self.ledgers)]
            if len(mine) <= index // len(self.ledgers):
                mine.append(self._begun())
        until, done = time.monotonic() + seconds, [0] * len(self.ledgers)
        share = max(1, orgs // len(self.ledgers))
        crowd = [
            threading.Thread(target=self._append, args=(mine[:share], until, done, index))
            for index, mine in enumerate(self.ledgers)
        ]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        self.added += sum(done)
        return sum(done)

    def stored(self) -> int:
        """How many messages the database has."""
        topic = f"%:{Ledger.MessageRecorded.__qualname__}"
        with psycopg.connect(databases.plain(self.url)) as connection:
            counted = SQL("SELECT count(*) FROM {} WHERE topic LIKE %s").format(Identifier("ledgers_events"))
            row = connection.execute(counted, [topic]).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        self.application.close()

    def _begun(self) -> Ledger:
        ledger = Ledger(limit=self.limit)
        self.application.save(ledger)
        return ledger

    def _append(self, ledgers: Sequence[Ledger], until: float, done: list[int], index: int) -> None:
        for ledger in itertools.cycle(ledgers):
            if time.monotonic() > until:
                return
            ledger.admit(message_id=f"msg_{next(self.numbers)}", bot_id="bot_01m82kped67c6q1ct3db3gtb4j")
            self.application.save(ledger)
            done[index] += 1


class Ledgers(Application):
    pass


def _application(url: str, functions: bool, threads: int) -> Ledgers:
    place = make_url(url)
    settings = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_HOST": place.host,
        "POSTGRES_PORT": str(place.port),
        "POSTGRES_DBNAME": place.database,
        "POSTGRES_USER": place.username,
        "POSTGRES_PASSWORD": place.password,
        "POSTGRES_SCHEMA": "public",
        "POSTGRES_POOL_SIZE": str(threads),
        "POSTGRES_PRE_PING": "no",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "yes" if functions else "no",
    }
    return Ledgers(env={name: value or "" for name, value in settings.items()})
