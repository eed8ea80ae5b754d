# ruff: noqa: E402 - green threads first, everything else after
"""
A process of green threads, some of which are killed while PostgreSQL works for them.

    python -m tests.shared.green_database DATABASE_URL

Prints one line of JSON: what others were answered afterwards, and what is left in the pool and at the server.
"""

from shared import serve

serve.green()

import json
import sys
from collections.abc import Callable

import eventlet
from sqlalchemy import text

from shared import clock, database

VICTIMS = 4


def main(url: str) -> None:
    # PostgreSQL notices only by the time limit that nobody is there any more.
    home = database.Database(url, clock.Clock(), pool_size=VICTIMS, statement_timeout_seconds=2)

    def at_work() -> None:
        with home.begin() as session:
            session.execute(text("CREATE TABLE half_done (number integer)"))
            session.execute(text("SELECT 'victim', pg_sleep(60)"))

    def timed_out() -> None:
        with eventlet.Timeout(0.2, False), home.begin() as session:
            session.execute(text("SELECT 'victim', pg_sleep(60)"))

    victims = [eventlet.spawn(at_work)]
    await_at_server(home, lambda count: count == 1)
    victims += [eventlet.spawn(timed_out) for _ in range(VICTIMS - 1)]
    await_at_server(home, lambda count: count == VICTIMS)
    victims[0].kill()
    for victim in victims[1:]:
        victim.wait()
    answers = list(eventlet.GreenPool().imap(lambda number: echo(home, number), range(5 * VICTIMS)))
    await_at_server(home, lambda count: count == 0)
    pool = home.engine.pool
    print(json.dumps({"answers": answers, "checked_out": pool.checkedout(), "tables": tables(home)}))  # noqa: T201


def echo(home: database.Database, number: int) -> int:
    with home.begin() as session:
        return int(session.scalars(text("SELECT CAST(:number AS integer)"), {"number": number}).one())


def tables(home: database.Database) -> list[str]:
    with home.begin() as session:
        return list(session.scalars(text("SELECT relname FROM pg_class WHERE relname = 'half_done'")))


def await_at_server(home: database.Database, holds: Callable[[int], bool]) -> None:
    """Until it holds of the number of statements that the server still works on for somebody."""
    counting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%victim%'"
    with eventlet.Timeout(20):
        while True:
            with home.begin() as session:
                if holds(session.scalars(text(f"{counting} AND state = 'active' AND pid <> pg_backend_pid()")).one()):
                    return
            eventlet.sleep(0.01)


if __name__ == "__main__":
    main(*sys.argv[1:])
