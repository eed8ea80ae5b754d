"""`chatness jobs`: side effects that wait, failed or were given up. Their payloads are never shown."""

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

import click
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from ops import exits, reach
from shared import clock, database, errors, jobs, tables

OPEN = ("waiting", "running", "failed")

Change = Callable[[Session, str], None]
Homes = dict[str, database.Database]
Found = tuple[str, tables.Job]


def list_jobs(services: Iterable[str], states: Collection[str], limit: int, as_json: bool) -> int:
    """By default those that are not over, the one due first on top."""
    wanted = select(tables.Job).where(tables.Job.state.in_(states or OPEN)).order_by(tables.Job.due_at).limit(limit)
    found = False
    with reach.needing_databases():
        for name, home in reach.open_databases(services).items():
            with home.begin() as session:
                for job in session.scalars(wanted):
                    found = True
                    click.echo(json.dumps(_document(name, job)) if as_json else _text(name, job))
    if not found:
        click.echo(f"no job is {' or '.join(states or OPEN)}", err=True)
    return exits.OK


def retry(services: Iterable[str], ids: Collection[str], *, execute: bool, as_json: bool) -> int:
    """
    Let jobs begin anew at once: those named, or all that were given up.

    :raises NotThere, Refused: if there is none of that id, or it is running or over
    """
    with reach.needing_databases():
        homes = reach.open_databases(services)
        found = _found(homes, ids) if ids else _given_up(homes)
        _change(homes, found, jobs.retry, "retried", execute=execute, as_json=as_json)
    return exits.OK


def cancel(
    services: Iterable[str], ids: Collection[str], *, reason: str, actor: str, execute: bool, as_json: bool
) -> int:
    """:raises NotThere, Refused: if there is none of that id, or it is running or over"""

    def end(session: Session, job_id: str) -> None:
        jobs.cancel(session, job_id, reason=f"{actor}: {reason}")

    with reach.needing_databases():
        homes = reach.open_databases(services)
        _change(homes, _found(homes, ids), end, "cancelled", execute=execute, as_json=as_json)
    return exits.OK


def _found(homes: Homes, ids: Collection[str]) -> list[Found]:
    """The jobs of these ids and their services, before anything is changed."""
    found = _select(homes, tables.Job.id.in_(ids))
    missing = sorted(set(ids) - {job.id for _name, job in found})
    if missing:
        raise exits.NotThere(f"there is no job {', '.join(missing)}")
    for _name, job in found:
        if job.state not in jobs.AT_REST:
            raise exits.Refused(f"the job {job.id} is {job.state}")
    return found


def _given_up(homes: Homes) -> list[Found]:
    return _select(homes, tables.Job.state == "failed")


def _select(homes: Homes, condition: ColumnElement[bool]) -> list[Found]:
    found: list[Found] = []
    for name, home in homes.items():
        with home.begin() as session:
            found += [(name, job) for job in session.scalars(select(tables.Job).where(condition))]
    return found


def _change(homes: Homes, found: Iterable[Found], change: Change, word: str, *, execute: bool, as_json: bool) -> None:
    for name, job in found:
        if execute:
            try:
                with homes[name].begin() as session:
                    change(session, job.id)
            except errors.ServiceError as error:  # it was at rest a moment ago
                raise exits.Refused(error.message) from error
        document = {"id": job.id, "service": name, "kind": job.kind, word: execute}
        text = f"{job.id}  {name:<9} {job.kind:<18} {word if execute else f'would be {word}'}"
        click.echo(json.dumps(document) if as_json else text)
    if not execute:
        click.echo(exits.NO_CHANGE if found else "there is none", err=True)


def _document(name: str, job: tables.Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "service": name,
        "kind": job.kind,
        "state": job.state,
        "attempts": job.attempts,
        "due_at": clock.rfc3339(job.due_at),
        "created_at": clock.rfc3339(job.created_at),
        "last_error": job.last_error,
    }


def _text(name: str, job: tables.Job) -> str:
    tries = f"{job.attempts} tries"
    when = f"due {job.due_at:%Y-%m-%d %H:%M:%S}"
    return f"{job.id}  {name:<9} {job.kind:<18} {job.state:<9} {tries:>9}  {when}  {job.last_error}"
