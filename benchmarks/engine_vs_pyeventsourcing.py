"""
What a batch is worth: quota's engine in process against the `eventsourcing` library (pyeventsourcing 9.5), both
adding one event for each message to an org's month, in turn on one PostgreSQL.

The engine is the door of other services, `QuotaService.admit_messages`, without RPC and HTTP: 256 messages at a time,
each authorised and decided by itself; their events with their hash chains, orgs' rows, message ids and tallies
in one transaction. The library does what it is made for: an aggregate held in memory decides, and `Application.save`
appends and commits, once for each message. Its event has the same three members; it keeps no id to ask for again, no
tally and no hash.

The library has its fastest settings that keep what it promises: psycopg in C, a connection for each thread that is
kept open and not tried before use, no cipher, no compression, no snapshots. Both sides are measured with one thread
and with four, and the faster of each is what counts; with more threads than orgs, each thread has an org of its own.
A commit waits for the disk on both sides.

The library's functions in the database are measured too and shown in the detail, but nothing is held against them: by
version 9.5.6 they leave out the lock of the table, without which a reader of its log can miss events. That lock is
what its default costs, and the sequencer is what ours costs instead.

Measured on one org and on 64 in turn; the figure is the worse of the two ratios. Every answer must be an admission,
and at the end each database must hold one event for each message.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import text

from benchmarks import databases
from benchmarks.results import Result
from services import access
from services.billing.events import SubscriptionChanged
from shared import context, database

NAME = "engine_vs_pyeventsourcing"

BATCH = 256
ORGS = (1, 64)
THREADS = (1, 4)
ROUNDS = 5
ROUND_SECONDS = 2.0
LIMIT = 1_000_000_000

BOT_RUNTIME = context.Actor(kind="service", id="bot-runtime")


def run() -> list[Result]:
    """:raises RuntimeError: if a message was not admitted, or a database does not hold what was"""
    from benchmarks.peers import pyeventsourcing

    with databases.running() as server:
        engines = [Engine(server.quota(f"engine_{threads}"), threads) for threads in THREADS]
        libraries = [
            pyeventsourcing.Library(server.postgres, functions=functions, threads=threads, limit=LIMIT)
            for functions in (False, True)
            for threads in THREADS
        ]
        measured = [_measure(orgs, engines, libraries) for orgs in ORGS]
        for side in (*engines, *libraries):
            if side.stored() != side.added:
                raise RuntimeError(f"{side.name}: {side.added} messages added, and {side.stored()} stored")
            side.close()
    return [
        Result(
            name=NAME,
            value=min(one["ratio"] for one in measured),
            unit="times its messages/s",
            against="pyeventsourcing, one commit a message",
            detail={"measured": measured},
        )
    ]


def _measure(orgs: int, engines: list["Engine"], libraries: list[Any]) -> dict[str, Any]:
    rates: dict[str, list[int]] = {side.name: [] for side in (*engines, *libraries)}
    for _ in range(1 + ROUNDS):
        for side in (*engines, *libraries):
            rates[side.name].append(_rate(side.work, orgs))
    medians = {name: statistics.median(those[1:]) for name, those in rates.items()}  # the first round warmed up
    ours = max((side.name for side in engines), key=medians.__getitem__)
    theirs = max((side.name for side in libraries if not side.functions), key=medians.__getitem__)
    return {
        "orgs": orgs,
        "ratio": round(medians[ours] / medians[theirs], 2),
        "fastest": [ours, theirs],
        "messages_per_second": {name: those[1:] for name, those in rates.items()},
    }


def _rate(work: Callable[[int, float], int], orgs: int) -> int:
    begun = time.monotonic()
    added = work(orgs, ROUND_SECONDS)
    return round(added / (time.monotonic() - begun))


class Engine:
    """
    quota's door, and orgs with one bot each and room for any number of messages.

    :param threads: so many ask at once, each for orgs of its own
    """

    def __init__(self, home: database.Database, threads: int) -> None:
        from services.quota import service
        from services.quota.settings import Settings
        from shared import doors

        self.name = f"engine, {threads} thread{'s' * (threads > 1)}"
        self.home = home
        self.door: Any = service.QuotaService()
        self.door.house = doors.House(
            database=home, authorise=access.check, fingerprint_key=b"k" * 32, settings=Settings(database_url="")
        )
        self.threads = threads
        self.orgs: list[dict[str, Any]] = []
        self.numbers = itertools.count()
        self.added = 0

    def work(self, orgs: int, seconds: float) -> int:
        """
        Add to so many orgs in turn; to one for each thread at least.

        :returns: how many messages were added
        """
        orgs = max(orgs, self.threads)
        self.orgs += [self._begun(number) for number in range(len(self.orgs), orgs)]
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(self.threads) as pool:
            shares = [self.orgs[first : orgs : self.threads] for first in range(self.threads)]
            done = sum(pool.map(lambda share: self._admit(share, until), shares))
        self.added += done
        return done

    def _admit(self, orgs: list[dict[str, Any]], until: float) -> int:
        done = 0
        while time.monotonic() < until:
            items = [self._item(orgs[number % len(orgs)]) for number in range(BATCH)]
            with context.use(actor=BOT_RUNTIME):
                answers = self.door.admit_messages(items=items)
            if refused := [answer for answer in answers if "admitted" not in answer]:
                raise RuntimeError(f"not admitted: {refused[0]}")
            done += len(answers)
        return done

    def stored(self) -> int:
        """How many messages the database has."""
        counted = "SELECT count(*) FROM events WHERE name = 'quota.MessageRecorded'"
        with self.home.begin() as session:
            return session.scalars(text(counted)).one()

    def close(self) -> None:
        self.home.close()

    def _item(self, org: dict[str, Any]) -> dict[str, Any]:
        return {"message_id": f"msg_{next(self.numbers)}", **org}

    def _begun(self, number: int) -> dict[str, Any]:
        from services.quota import worker

        owner = context.Actor(kind="person", id="acc_1", org_id=f"org_{number}", role="owner")
        subscribed = SubscriptionChanged(
            org_id=owner.org_id,
            version=1,
            plan_before="",
            plan="scale",
            action="started",
            status="active",
            message_limit=LIMIT,
            bot_limit=1,
            max_resets_per_month=2,
            effective_at="2026-11-22T12:00:00Z",
        )
        not_looked_at: Any = None
        with self.home.begin() as session:
            worker.on_subscription_changed(session, subscribed, not_looked_at)
        with context.use(actor=owner):
            bot = self.door.create_bot(f"cmd_{number}", name="Bench")
        return {"bot_id": bot["id"], "org_id": owner.org_id}
