"""
What a full ledger costs: admissions with ten million events in the ledger against none.

Two whole stacks on this machine, 64 connections on one org of each, turn by turn in one run. The ledger of one has
nothing but what the run itself brings. In the other a tenth of the events are the sending org's own, all in the open
month; the others' are spread over 1,000 orgs, each with the open month and the two before it, so that every message
is remembered by its id too. They are made inside PostgreSQL with valid chains (see `ledgers`), then vacuumed.

While both are loaded, PostgreSQL counts the rows that it reads: no table that grows with the messages may be read
from one end to the other, or the run fails. LEDGER_EVENTS sets another number of events for a quick look.
"""

import os
import time
from typing import Any

from benchmarks import ledgers, orgs, stack, turns
from benchmarks.results import Result

NAME = "admission_full_vs_empty"

EVENTS = int(os.environ.get("LEDGER_EVENTS", "10_000_000"))
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
        loads = turns.take({"full": filled.message(full.port), "empty": org.message(empty.port)})
        time.sleep(2)  # a backend tells what it has read a second later
        scans = {table: count - before[table] for table, count in _rows_read(full).items()}
        sizes = _sizes(full)
    if any(scans.values()):
        raise RuntimeError(f"rows that were read by going through a whole table: {scans}")
    return [
        Result(
            name=NAME,
            value=round(turns.per_second(loads["full"]) / turns.per_second(loads["empty"]), 3),
            unit="of its requests/s",
            against="a ledger without events",
            detail=turns.detail(loads)
            | {"events": EVENTS, "seconds_to_fill": round(seconds), "megabytes": sizes, "rows_scanned": scans},
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
    """How many rows of each table were read by going through all of it, ever."""
    rows = _ask(standing, "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname = ANY (:tables)")
    return {name: int(count) for name, count in rows}


def _sizes(standing: stack.Standing) -> dict[str, int]:
    """With their indexes."""
    sizes = "SELECT relname, pg_total_relation_size(relid) / 1000000 FROM pg_stat_user_tables"
    rows = _ask(standing, f"{sizes} WHERE relname = ANY (:tables)")
    return {name: int(megabytes) for name, megabytes in rows}


def _ask(standing: stack.Standing, sql: str) -> list[Any]:
    from sqlalchemy import text

    with orgs.houses(standing) as houses, houses["quota"].database.begin() as session:
        return list(session.execute(text(sql), {"tables": list(GROWING)}))
