"""
How many events a second read models are made from: `chatness projections rebuild quota --execute`, the command as it
is, from its start to its end, on a database that has all events and no row of a read model.

There are a million messages of a thousand orgs with one to three bots in four months, refunds, credits and upgrades
among them, written with their hash chains as quota writes them (`benchmarks/histories.py`). The time holds all that a
rebuild does: starting Python, summing and folding the events, comparing with what stands, which is nothing, and
writing every row behind the lock. Afterwards every row is held against what was counted while the events were made
up, and `projections diff` must find nothing.

The second figure says what that is worth on this machine: the same command against a plain pass over the same events
in Python, `SELECT stream, name, data, recorded_at` through a server's cursor and `json.loads`, which projects none.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import psycopg2

from benchmarks import databases, histories
from benchmarks.results import Result
from shared import database

NAME = "rebuild_events_per_second"

ORGS, MESSAGES = 1000, 1_000_000
ROUNDS = 3
BAR = "100,000 events/s"

ROWS = {
    "days": "SELECT org_id, period, day, bot_id, messages, from_credits, refunded, given_back FROM usage_days",
    "months": "SELECT org_id, period, plan, message_limit, resets, reset_used, credits FROM usage_months",
    "bots": "SELECT org_id, bot_id, reasons FROM bots",
}


def run() -> list[Result]:
    with databases.running() as server:
        home = server.quota()
        expected = histories.write(home, orgs=ORGS, messages=MESSAGES)
        rates: list[float] = []
        passes: list[float] = []
        for _ in range(ROUNDS):
            passes.append(expected.events / _seconds_of_a_pass(home))
            _forget_rows(home)
            rates.append(expected.events / _seconds_of("rebuild", home, "--execute"))
            _check(home, expected)
        _seconds_of("diff", home)
    detail = {
        "events": expected.events,
        "rows": len(expected.days) + len(expected.months) + len(expected.bots),
        "rebuild_events_per_second": [round(rate) for rate in rates],
        "plain_pass_events_per_second": [round(rate) for rate in passes],
    }
    rate = statistics.median(rates)
    return [
        Result(name=NAME, value=round(rate), unit="events/s", against=BAR, detail=detail),
        Result(
            name="rebuild_vs_plain_pass",
            value=round(rate / statistics.median(passes), 2),
            unit="of its events/s",
            against="a pass over the same events in Python that projects nothing",
            detail=detail,
        ),
    ]


def _seconds_of(command: str, home: database.Database, *options: str) -> float:
    """:raises RuntimeError: if the command does not end well"""
    words = [sys.executable, "-m", "ops.cli", "projections", command, "quota", *options]
    begun = time.monotonic()
    done = subprocess.run(
        words, env={**os.environ, "QUOTA_DATABASE_URL": home.url}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"projections {command}: {done.returncode} {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return time.monotonic() - begun


def _seconds_of_a_pass(home: database.Database) -> float:
    begun = time.monotonic()
    with psycopg2.connect(databases.plain(home.url)) as connection, connection.cursor("events") as cursor:
        cursor.itersize = 10_000
        cursor.execute("SELECT stream, name, data, recorded_at FROM events")
        for _stream, _name, data, _recorded_at in cursor:
            json.loads(bytes(data))
    return time.monotonic() - begun


def _forget_rows(home: database.Database) -> None:
    with home.engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE usage_days, usage_months, bots")


def _check(home: database.Database, expected: histories.Expected) -> None:
    """:raises RuntimeError: if a row is not what was counted while the events were made up"""
    with psycopg2.connect(databases.plain(home.url)) as connection, connection.cursor() as cursor:
        for name, query in ROWS.items():
            cursor.execute(query)
            found = sorted(map(list, cursor.fetchall()))
            wanted = sorted(
                [*key, *(value if name != "bots" else [value])] for key, value in vars(expected)[name].items()
            )
            if found != wanted:
                raise RuntimeError(
                    f"{name}: {len(found)} rows, and they are not the {len(wanted)} that there should be"
                )
