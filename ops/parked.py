"""`chatness parked`: events that could not be applied, and what to do with them."""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import ColumnElement, func, select

from ops import exits, processes, reach
from shared import clock, database, envelope, inbox, parking, tables


@dataclass(frozen=True)
class Place:
    """Where an event is parked, written `quota/billing/12`: by whom, told by whom, and its place in that log."""

    service: str
    producer: str
    position: int

    def __str__(self) -> str:
        return f"{self.service}/{self.producer}/{self.position}"


@dataclass(frozen=True)
class Line:
    """What is parked of one stream: how many events, from which version to which."""

    service: str
    producer: str
    stream: str
    events: int
    first: int
    last: int


def list_parked(services: Iterable[str], producers: Collection[str], stream: str, limit: int, as_json: bool) -> int:
    """The first so many of each service, and on stderr whether there are more."""
    found = False
    with reach.needing_databases():
        for name, home in reach.open_databases(services).items():
            rows = _rows(home, producers, stream, limit + 1)
            found = found or bool(rows)
            if len(rows) > limit:
                click.echo(f"{name}: there are more than {limit}: --limit", err=True)
            for row in rows[:limit]:
                click.echo(json.dumps(_document(name, row)) if as_json else _text(name, row))
    if not found:
        click.echo("nothing is parked", err=True)
    return exits.OK


def show(id: str, *, reveal: bool, as_json: bool) -> int:
    """The envelope, without the event's data unless they are asked for."""
    place = _parse(id)
    with reach.needing_databases(), reach.open_database(place.service).begin() as session:
        row = session.get(tables.Parked, (place.producer, place.position))
    if row is None:
        raise exits.NotThere(f"nothing is parked at {id}")
    event = json.loads(row.envelope)
    shown = {**_document(place.service, row), "envelope": event if reveal else {**event, "data": "hidden: --reveal"}}
    click.echo(json.dumps(shown, indent=None if as_json else 2))
    return exits.OK


def redrive(services: Iterable[str], producers: Collection[str], stream: str, *, execute: bool, as_json: bool) -> int:
    """Gives 1 if an event of a stream still fails: it and what follows in that stream stay parked."""
    code, found = exits.OK, False
    with reach.needing_databases():
        for name, home in reach.open_databases(services).items():
            boxes = _boxes(name, home) if execute else {}
            for line in _lines(name, home, producers, stream):
                found = True
                done = _redriven(line, boxes.get(line.producer)) if execute else {"would_redrive": line.events}
                _say_line(line, done, as_json)
                code = exits.FAILED if done.get("reason") else code
    if stream and not found:
        raise exits.NotThere(f"nothing of {stream} is parked")
    _say_end(found, execute)
    return code


def discard(ids: Iterable[str], *, reason: str, actor: str, execute: bool, as_json: bool) -> int:
    """
    Pass over events for good.

    :raises NotThere: if one of them is not parked; then none is touched, unless it was redriven after we looked
    """
    places = [_parse(id) for id in ids]
    with reach.needing_databases():
        homes = reach.open_databases({place.service for place in places})
        for place in places:
            with homes[place.service].begin() as session:
                row = session.get(tables.Parked, (place.producer, place.position))
            if row is None:
                raise exits.NotThere(f"nothing is parked at {place}")
        for place in places:
            home = homes[place.service]
            if execute and not parking.discard(home, place.producer, place.position, reason=reason, actor=actor):
                raise exits.NotThere(f"nothing is parked at {place} any more")
            document = {"id": str(place), "discarded": execute, "reason": reason, "actor": actor}
            text = f"{place}  {'discarded' if execute else 'would be discarded'}"
            click.echo(json.dumps(document) if as_json else text)
    _say_end(True, execute)
    return exits.OK


def _redriven(line: Line, box: inbox.Inbox | None) -> dict[str, Any]:
    if box is None:
        return {"redriven": 0, "left": line.events, "reason": f"this release does not hear {line.producer}"}
    outcome = parking.redrive(box, line.stream)
    return {"redriven": outcome.redriven, "left": outcome.left, "reason": outcome.reason}


def _boxes(name: str, home: database.Database) -> dict[str, inbox.Inbox]:
    boxes = [inbox.Inbox(home, name, hears) for hears in reach.work_of(name, home).hears]
    return {box.producer: box for box in boxes}


def _rows(home: database.Database, producers: Collection[str], stream: str, limit: int) -> list[tables.Parked]:
    wanted = select(tables.Parked).where(*_chosen(producers, stream))
    with home.begin() as session:
        in_order = wanted.order_by(tables.Parked.producer, tables.Parked.position)
        return list(session.scalars(in_order.limit(limit)))


def _lines(name: str, home: database.Database, producers: Collection[str], stream: str) -> list[Line]:
    """The one that has waited longest first."""
    parked = tables.Parked
    spans = (func.count(), func.min(parked.version), func.max(parked.version))
    wanted = select(parked.producer, parked.stream, *spans).where(*_chosen(producers, stream))
    grouped = wanted.group_by(parked.producer, parked.stream).order_by(parked.producer, func.min(parked.position))
    with home.begin() as session:
        return [Line(name, *row) for row in session.execute(grouped)]


def _chosen(producers: Collection[str], stream: str) -> Iterator[ColumnElement[bool]]:
    if producers:
        yield tables.Parked.producer.in_(producers)
    if stream:
        yield tables.Parked.stream == stream


def _parse(id: str) -> Place:
    service, _, rest = id.partition("/")
    producer, _, position = rest.partition("/")
    if service not in processes.SERVICES or not position.isascii() or not position.isdigit():
        raise exits.NotThere(f"{id} is no parked event: they are called as `chatness parked list` shows them")
    return Place(service, producer, int(position))


def _document(name: str, row: tables.Parked) -> dict[str, Any]:
    event = envelope.decode(row.envelope)
    return {
        "id": str(Place(name, row.producer, row.position)),
        "event_id": event.id,
        "name": row.name,
        "stream": row.stream,
        "version": row.version,
        "parked_at": clock.rfc3339(row.parked_at),
        "reason": row.reason,
        "waits_for_a_release": row.unreadable,
    }


def _text(name: str, row: tables.Parked) -> str:
    place = Place(name, row.producer, row.position)
    return f"{place!s:<24} {row.parked_at:%Y-%m-%d %H:%M:%S}  {row.name:<28} {row.stream}@{row.version}  {row.reason}"


def _say_line(line: Line, done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        parts = {"service": line.service, "producer": line.producer, "stream": line.stream}
        click.echo(json.dumps({**parts, **done}))
        return
    what = f"{line.service} from {line.producer}, {line.stream}"
    if "would_redrive" in done:
        click.echo(f"{what}: {line.events} would be redriven, versions {line.first} to {line.last}")
    else:
        stopped = f", {done['left']} still parked: {done['reason']}" if done["reason"] else ""
        click.echo(f"{what}: {done['redriven']} redriven{stopped}")


def _say_end(found: bool, execute: bool) -> None:
    if not found:
        click.echo("nothing is parked", err=True)
    elif not execute:
        click.echo(exits.NO_CHANGE, err=True)
