"""
What a full ledger costs: admissions with ten million events in the ledger against none.

Two whole stacks on this machine, 64 connections on one org of each, turn by turn in one run. The ledger of one has
nothing but what the run itself brings. In the other a tenth of the events are the sending org's own, all in the open
month; the others' are spread over 1,000 orgs, each with the open month and the two before it, so that every message
is remembered by its id too. They are made inside PostgreSQL with valid chains (see `ledgers`), then vacuumed.

While both are loaded, PostgreSQL counts the rows that it reads without an index: if these are as many as one of the
tables has that grow with the messages, the run fails. (A few are: new pages of `messages` are entered in its index of
moments.) LEDGER_EVENTS sets another number of events for a quick look.
"""

import os
import time
from typing import Any

from benchmarks import ledgers, orgs, stack, turns
from benchmarks.results import Result

NAME = "admission_full_vs_empty"

EVENTS = int(os.environ.get("LEDGER_EVENTS", "10_000_000"))
ROUNDS = 9
WARM_UP_SECONDS = 10.0  # in which PostgreSQL writes the last of what was filled in
OTHERS = 1000
MONTHS = 3  # whose message ids are remembered
GROWING = ("events", "streams", "messages", "usage_months", "usage_days")


def run() -> list[Result]:
    with stack.running() as empty, stack.running() as full:
        began_at = time.monotonic()
        filled = _fill(full)
        seconds = time.monotonic() - began_at
        (org,) = orgs.make(empty, 1)
        before = _rows_read(full)
        requests = {"full": filled.message(full.port), "empty": org.message(empty.port)}
        loads = turns.take(requests, rounds=ROUNDS, warm_up_seconds=WARM_UP_SECONDS)
        time.sleep(2)  # a backend tells what it has read a second later
        scans = {table: count - before[table] for table, count in _rows_read(full).items()}
        rows, megabytes = _sizes(full)
    if any(0 < rows[table] <= count for table, count in scans.items()):
        raise RuntimeError(f"whole tables were read without an index: {scans} rows, of {rows}")
    return [
        Result(
            name=NAME,
            value=round(turns.ratio(loads, "full", "empty"), 3),
            unit="of its requests/s",
            against="a ledger without events",
            detail=turns.detail(loads)
            | {"events": EVENTS, "seconds_to_fill": round(seconds), "megabytes": megabytes, "rows_scanned": scans},
        )
    ]


def _fill(standing: stack.Standing) -> orgs.Org:
    from shared import clock, ids

    own, *others = sorted(ids.new("org") for _ in range(1 + OTHERS))
    with orgs.houses(standing) as houses:
        home = houses["quota"].database
        now = home.clock.now()
        periods = [f"{clock.months_before(now, ago):%Y-%m}" for ago in reversed(range(MONTHS))]
        months = [_month(own, periods[-1], EVENTS // 10, is_open=True)]
        for org_id in others:
            for period in periods:
                is_open = period == periods[-1]
                months.append(_month(org_id, period, EVENTS * 9 // 10 // OTHERS // MONTHS, is_open=is_open))
        ledgers.fill(home, months)
    (org,) = orgs.equip(standing, [own])
    return org


def _month(org_id: str, period: str, events: int, *, is_open: bool) -> ledgers.Month:
    return ledgers.Month(
        org_id=org_id, period=period, message_limit=orgs.MESSAGES, messages=max(0, events - 1), is_open=is_open
    )


def _rows_read(standing: stack.Standing) -> dict[str, int]:
    """How many rows of each table were read without an index, ever."""
    return {row.relname: row.seq_tup_read for row in _ask(standing, "SELECT relname, seq_tup_read")}


def _sizes(standing: stack.Standing) -> tuple[dict[str, int], dict[str, int]]:
    """Rows, and megabytes with all indexes, of each table."""
    found = _ask(standing, "SELECT relname, n_live_tup, pg_total_relation_size(relid) / 1000000 AS megabytes")
    return {row.relname: row.n_live_tup for row in found}, {row.relname: int(row.megabytes) for row in found}


def _ask(standing: stack.Standing, columns: str) -> list[Any]:
    from sqlalchemy import text

    growing = text(f"{columns} FROM pg_stat_user_tables WHERE relname = ANY (:tables)")
    with orgs.houses(standing) as houses, houses["quota"].database.begin() as session:
        return list(session.execute(growing, {"tables": list(GROWING)}))
