"""Keeps the kernel's tables within their retention; every service's worker has its timer."""

from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_

from shared import database, tables, worker

COMMAND_LIFE = timedelta(hours=24)
OVER_JOB_LIFE = timedelta(days=7)
BATCH = 1000  # so that no statement runs long, and none holds many rows


def prune(home: database.Database) -> int:
    """
    Delete old commands and jobs that are over; gives how many rows that were.

    A failed job stays until operations look at it.
    """
    now = home.clock.now()
    old_commands = tables.Command.created_at <= now - COMMAND_LIFE
    old_jobs = tables.Job.state.in_(("done", "cancelled")) & (tables.Job.created_at <= now - OVER_JOB_LIFE)
    command_key = (tables.Command.actor, tables.Command.route, tables.Command.key)
    return delete_old(home, tables.Command, command_key, old_commands) + delete_old(
        home, tables.Job, (tables.Job.id,), old_jobs
    )


def delete_old(home: database.Database, table: Any, key: tuple[Any, ...], old: ColumnElement[bool]) -> int:
    """
    In batches; gives how many rows that was.

    :param key: the columns of the table's primary key
    """
    deleted = 0
    while True:
        with home.begin() as session:
            batch = select(*key).where(old).limit(BATCH)
            now_deleted = len(session.execute(delete(table).where(tuple_(*key).in_(batch)).returning(key[0])).all())
        deleted += now_deleted
        if now_deleted < BATCH:
            return deleted


TIMER = worker.Timer(name="prune", every_seconds=600.0, run=prune)
