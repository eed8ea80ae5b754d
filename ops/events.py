"""`chatness events`: what the services have recorded, read from their databases."""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from importlib import import_module
from typing import Any

import click
from sqlalchemy import func, select

from ops import exits, reach
from shared import clock, database, events, outbox, store, tables, verification

TAIL_SECONDS = 0.3


def list_events(services: Iterable[str], stream: str, name: str, limit: int, as_json: bool) -> int:
    wanted = select(tables.Event).order_by(tables.Event.recorded_at.desc(), tables.Event.version.desc()).limit(limit)
    if stream:
        wanted = wanted.where(tables.Event.stream == stream)
    if name:
        wanted = wanted.where(tables.Event.name == name)
    found: list[events.Recorded] = []
    with reach.needing_databases():
        for home in reach.open_databases(services).values():
            with home.begin() as session:
                found += [store.recorded(row) for row in session.scalars(wanted)]
    newest = sorted(found, key=lambda event: (event.recorded_at, event.version))[-limit:]
    for event in newest:
        click.echo(json.dumps(as_document(event)) if as_json else line(event))
    return exits.OK


def show_event(services: Iterable[str], event_id: str, as_json: bool) -> int:
    """Gives 3 if there is no such event."""
    wanted = select(tables.Event).where(tables.Event.id == event_id)
    with reach.needing_databases():
        for home in reach.open_databases(services).values():
            with home.begin() as session:
                row = session.scalar(wanted)
            if row is not None:
                click.echo(json.dumps(as_document(store.recorded(row)), indent=None if as_json else 2))
                return exits.OK
    click.echo(f"no event {event_id}", err=True)
    return exits.NOT_FOUND


def tail(services: Iterable[str], as_json: bool) -> int:
    """From now on. A database that goes away meanwhile is waited for: nothing of its log is left out."""
    with reach.needing_databases():
        homes = reach.open_databases(services)
        places = {name: head(home) for name, home in homes.items()}
    away: set[str] = set()
    try:
        while True:
            for name, home in homes.items():
                places[name] = _follow(name, home, places[name], away, as_json)
            time.sleep(TAIL_SECONDS)
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def verify(services: Iterable[str], as_json: bool) -> int:
    """Gives 1 unless every service's history is whole."""
    whole = True
    with reach.needing_databases():
        for name, home in reach.open_databases(services).items():
            report = verification.verify(home, import_module(f"services.{name}.events").CATALOGUE)
            whole = whole and not report.faults
            click.echo(json.dumps({"service": name, **asdict(report)}) if as_json else _verdict(name, report))
    return exits.OK if whole else exits.FAILED


def as_document(event: events.Recorded) -> dict[str, Any]:
    return {
        "id": event.id,
        "name": event.name,
        "schema": event.schema,
        "stream": event.stream,
        "version": event.version,
        "recorded_at": clock.rfc3339(event.recorded_at),
        "data": json.loads(event.data),
        "meta": json.loads(event.meta),
        "hash": event.hash.hex(),
    }


def line(event: events.Recorded) -> str:
    when = f"{event.recorded_at:%Y-%m-%d %H:%M:%S.%f}"[:-3]
    return f"{when}  {event.name:<28} {event.stream}@{event.version}  {event.data.decode()}"


def head(home: database.Database) -> int:
    """The last position of a service's log."""
    with home.begin() as session:
        return session.scalar(select(func.coalesce(func.max(tables.Log.position), 0))) or 0


def inbox_places(home: database.Database) -> dict[str, int]:
    """How far this service has applied each producer's log."""
    with home.begin() as session:
        return {row.producer: row.position for row in session.scalars(select(tables.Inbox))}


def _follow(name: str, home: database.Database, place: int, away: set[str], as_json: bool) -> int:
    """
    The place behind what is new, which is printed.

    :param away: the services whose databases did not answer the last time; kept up to date, so that it is said once
    """
    try:
        reached = _print_new(name, home, place, as_json)
    except database.TRANSIENT:
        if name not in away:
            click.echo(f"{name}: its database does not answer; trying again", err=True)
        away.add(name)
        return place
    if name in away:
        click.echo(f"{name}: its database answers again", err=True)
    away.discard(name)
    return reached


def _print_new(name: str, home: database.Database, place: int, as_json: bool) -> int:
    with home.begin() as session:
        found = outbox.read_log(session, name, after=place, limit=100)
    for event in found:
        data = json.dumps(event.data, separators=(",", ":"))
        text = f"{event.time:%H:%M:%S}  {event.name:<28} {event.stream}@{event.version}  {data}"
        click.echo(json.dumps(event.to_json()) if as_json else text)
    return found[-1].position if found else place


def _verdict(name: str, report: verification.Report) -> str:
    verdict = "whole" if not report.faults else "NOT WHOLE"
    lines = [f"{kind}: {words}" for kind, words in report.faults.items()]
    archived = f", {report.archived} streams archived" if report.archived else ""
    counted = f"{report.events} events in {report.streams} streams{archived}, log at {report.position} {report.hash}"
    return "\n  ".join([f"{name}: {verdict}: {counted}", *lines])
