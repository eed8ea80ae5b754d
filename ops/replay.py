"""
`chatness replay`: what one consumer missed is applied, from the producer's log, and told to nobody else.

Both databases are reached directly, as the other commands here do: it must work while RabbitMQ or a service is away.
What the consumer's handlers decide is new: its worker publishes it.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from ops import exits, reach, selections
from ops.selections import Row
from shared import clock, database, envelope, errors, inbox, outbox, parking, replay, store

Advance = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """
    What is asked for.

    :param source: a file of envelopes in place of filters
    :param overtaken: apply discarded events, too, whose stream has gone on
    :param catch_up: apply, too, what the consumer has not reached
    """

    producer: str
    consumer: str
    filters: selections.Filters
    source: Path | None = None
    mode: replay.Mode = "missing"
    overtaken: bool = False
    catch_up: bool = False
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    What was found, and what follows from it.

    :param rows: the selection
    :param later: what is applied beside it: of the same streams, so that they end as they should; and what is behind
    :param todo: what would be applied, of both
    """

    order: Order
    box: inbox.Inbox
    log: database.Database
    standing: replay.Standing
    rows: Sequence[Row]
    later: Sequence[Row]
    todo: Sequence[Row]
    behind: int

    @property
    def size(self) -> int:
        """What `--max` is about."""
        return len(self.rows) + len(self.later) + (self.behind if self.order.catch_up else 0)


def write_file(producer: str, filters: selections.Filters, path: Path) -> int:
    with reach.needing_databases():
        log = reach.open_database(producer)
        rows = _select(log, filters)
        selections.write_file(path, log, producer, rows)
    click.echo(f"{path}: {_events(len(rows))} of {producer}", err=True)
    return exits.OK


def run(order: Order, *, execute: bool, most: int, as_json: bool) -> int:
    """
    Gives 1 if an event still fails.

    :param most: how many events may be selected, if it is to be done
    :raises Refused: before anything is done, if there are more, or the handlers do not bear it
    """
    with reach.needing_databases():
        plan = _plan(order)
        _say_plan(plan, as_json)
        if not execute:
            click.echo(exits.NO_CHANGE, err=True)
            return exits.OK
        if plan.size > most:
            raise exits.Refused(f"{_events(plan.size)} are selected, and --max is {most}")
        return _execute(plan, as_json)


def _plan(order: Order) -> Plan:
    log, home = reach.open_database(order.producer), reach.open_database(order.consumer)
    box = _box(order, home)
    behind = _behind(box, log)
    if order.source is not None:
        rows = selections.read_file(order.source, log, order.producer)
    else:
        rows = _select(log, order.filters)
    with home.begin() as session:
        standing = replay.standing(session, order.producer)
    later: list[Row] = []
    if order.mode == "again":
        todo, later = _again(order, box, log, standing, rows)
    else:
        left_out = frozenset() if order.overtaken else standing.overtaken
        todo = [row for row in rows if row.position in (standing.parked | standing.discarded) - left_out]
    return Plan(order=order, box=box, log=log, standing=standing, rows=rows, later=later, todo=todo, behind=behind)


def _box(order: Order, home: database.Database) -> inbox.Inbox:
    for hears in reach.work_of(order.consumer, home).hears:
        if hears.catalogue.service == order.producer:
            return inbox.Inbox(home, order.consumer, hears)
    raise exits.Refused(f"{order.consumer} does not hear {order.producer}")


def _behind(box: inbox.Inbox, log: database.Database) -> int:
    """How much of the log the consumer has not reached."""
    place = box.place()
    return int(_pull(box, log, place)["head"]) - place.position


def _pull(box: inbox.Inbox, log: database.Database, place: inbox.Place) -> dict[str, Any]:
    """:raises Refused: if what was applied is not in the log"""
    try:
        with log.begin() as session:
            return outbox.pull(session, box.producer, after=place.position, hash=place.hash, limit=replay.BATCH)
    except errors.Conflict as error:
        raise exits.Refused(f"diverged: {error.message}") from error


def _select(log: database.Database, filters: selections.Filters) -> list[Row]:
    rows = selections.select_rows(log, filters)
    if not rows and (filters.ids or filters.streams):
        raise exits.NotThere("the log has no such event")
    return rows


def _again(
    order: Order, box: inbox.Inbox, log: database.Database, standing: replay.Standing, rows: Sequence[Row]
) -> tuple[list[Row], list[Row]]:
    """All that is applied, and what of it was not selected: their streams from the first that was to the end."""
    heard = [row for row in rows if box.hears.catalogue.classes.get(row.name) in box.hears.handlers]
    for name in sorted({row.name for row in heard}):
        if box.hears.catalogue.classes[name] not in box.hears.repeatable:
            refused = f"{order.consumer}'s handler of {name} does more than write read models"
            raise exits.Refused(f"{refused}, so it is not run again; --mode missing applies what it has missed")
    waiting = standing.parked | standing.discarded
    selected = [row for row in heard if row.position <= standing.position and row.position not in waiting]
    firsts: dict[str, int] = {}
    for row in selected:
        firsts.setdefault(row.stream, row.position)
    after = min(firsts.values(), default=0)
    known = {row.position for row in rows}
    later = [
        row
        for row in selections.rows_of_streams(log, firsts, after=after, upto=standing.position)
        if row.position > firsts[row.stream] and row.position not in known | waiting
    ]
    return sorted([*selected, *later]), later


def _execute(plan: Plan, as_json: bool) -> int:
    order = plan.order
    record = replay.begin(
        plan.box,
        mode=order.mode,
        selection=selections.sum_of(plan.rows),
        events=len(plan.rows),
        actor=order.actor,
        reason=order.reason,
    )
    run = _run_again if order.mode == "again" else _run_missing
    code = run(plan, record, as_json)
    if order.catch_up:
        _catch_up(plan, as_json)
    replay.end(plan.box, record)
    return code


def _run_missing(plan: Plan, record: replay.Record, as_json: bool) -> int:
    """Stream by stream, the one that has waited longest first."""
    streams: dict[str, list[Row]] = defaultdict(list)
    for row in plan.todo:
        streams[row.stream].append(row)
    code = exits.OK
    with _progress(len(plan.todo)) as advance:
        for stream, rows in streams.items():
            applied, reason = _run_stream(plan, record, rows, advance)
            left = len(rows) - applied
            _say(plan, as_json, stream=stream, applied=applied, left=left, reason=reason)
            code = exits.FAILED if reason else code
    return code


def _run_stream(plan: Plan, record: replay.Record, rows: Sequence[Row], advance: Advance) -> tuple[int, str]:
    """How many were applied here, and why it stopped before the end."""
    applied = 0
    for event in _envelopes(plan, sorted(rows, key=lambda row: row.version)):
        try:
            done = replay.apply_missing(plan.box, event, record, overtaken=plan.order.overtaken)
        except parking.StillFails as failure:
            return applied, str(failure)
        if done in (replay.Done.BLOCKED, replay.Done.OVERTAKEN):
            return applied, done.value
        applied += done is replay.Done.APPLIED
        advance(1)
    return applied, ""


def _envelopes(plan: Plan, rows: Sequence[Row]) -> Iterator[envelope.Envelope]:
    """In the order of the rows, a few at a time."""
    for first in range(0, len(rows), replay.BATCH):
        positions = [row.position for row in rows[first : first + replay.BATCH]]
        with plan.log.begin() as session:
            found = {event.position: event for event in outbox.read_at(session, plan.order.producer, positions)}
        yield from (found[position] for position in positions)


def _run_again(plan: Plan, record: replay.Record, as_json: bool) -> int:
    if record.position:
        click.echo(f"goes on behind {record.position}, where the same replay stopped before", err=True)
    streams = {row.stream for row in plan.todo}
    positions = [row.position for row in plan.todo]
    applied, reason = 0, ""
    try:
        applied = replay.apply_again(plan.box, plan.log, streams, positions, record)
    except parking.StillFails as failure:
        reason = f"at {failure.position}: {failure}"
    except store.EffectRefused as error:
        raise exits.Refused(f"a handler was stopped: {error}") from error
    _say(plan, as_json, streams=len(streams), applied=applied, reason=reason)
    return exits.FAILED if reason else exits.OK


def _catch_up(plan: Plan, as_json: bool) -> None:
    """Up to where the log ended when we began, as the worker does it: what fails is parked."""
    head, applied = plan.standing.position + plan.behind, 0
    with _progress(plan.behind) as advance:
        while (place := plan.box.place()).position < head:
            answer = _pull(plan.box, plan.log, place)
            taken = plan.box.take([envelope.from_json(document) for document in answer["events"]], pulled=True)
            applied += taken
            advance(taken)
    _say(plan, as_json, caught_up_to=plan.box.place().position, applied=applied, reason="")


@contextmanager
def _progress(total: int) -> Iterator[Advance]:
    """A bar on a person's terminal, and nothing anywhere else."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("replay", total=total)
        yield lambda events: progress.advance(task, events)


def _say_plan(plan: Plan, as_json: bool) -> None:
    found = _found(plan)
    if as_json:
        click.echo(json.dumps(found))
        return
    where = f"{plan.order.consumer} from {plan.order.producer}"
    if not plan.rows:
        click.echo(f"{where}: nothing is selected; it is at {plan.standing.position}, {plan.behind} behind")
        return
    first, last = found["first"], found["last"]
    places = f"positions {first['position']} to {last['position']}, {first['time']} to {last['time']}"
    click.echo(f"{where}: {_events(len(plan.rows))}, {places}")
    for name, count in found["names"].items():
        click.echo(f"  {name:<32} {count}")
    overtaken = f", {found['overtaken']} of them overtaken" if found["overtaken"] else ""
    click.echo(
        f"  {found['applied']} applied, {found['parked']} parked, {found['discarded']} discarded{overtaken},"
        f" {found['not_reached']} not reached yet"
    )
    later = f", {len(plan.later)} of them later ones of the same streams" if plan.later else ""
    click.echo(f"  to apply: {len(plan.todo)}{later}")
    if found["overtaken"] and not plan.order.overtaken and plan.order.mode == "missing":
        click.echo("  what was overtaken is left: later events of its stream are applied (--overtaken)", err=True)
    if found["not_reached"] and not plan.order.catch_up:
        click.echo(f"  what is not reached yet its worker applies: chatness worker {plan.order.consumer}", err=True)


def _found(plan: Plan) -> dict[str, Any]:
    order, standing = plan.order, plan.standing
    counts = Counter(_state(standing, row.position) for row in plan.rows)
    ends = [{"position": row.position, "time": clock.rfc3339(row.time)} for row in (*plan.rows[:1], *plan.rows[-1:])]
    return {
        "producer": order.producer,
        "consumer": order.consumer,
        "mode": order.mode,
        "events": len(plan.rows),
        "names": dict(sorted(Counter(row.name for row in plan.rows).items())),
        "first": ends[0] if ends else None,
        "last": ends[1] if ends else None,
        **{state: counts[state] for state in ("applied", "parked", "discarded", "not_reached")},
        "overtaken": sum(row.position in standing.overtaken for row in plan.rows),
        "to_apply": len(plan.todo),
        "later": len(plan.later),
        "behind": plan.behind,
    }


def _state(standing: replay.Standing, position: int) -> str:
    if position in standing.parked:
        return "parked"
    if position in standing.discarded:
        return "discarded"
    return "applied" if position <= standing.position else "not_reached"


def _say(plan: Plan, as_json: bool, **done: Any) -> None:
    if as_json:
        click.echo(json.dumps({"producer": plan.order.producer, "consumer": plan.order.consumer, **done}))
        return
    where = f"{plan.order.consumer} from {plan.order.producer}"
    place = done.get("stream") or (f"{done['streams']} streams" if "streams" in done else "")
    place = place or f"caught up to {done['caught_up_to']}"
    stopped = f", stopped: {done['reason']}" if done["reason"] else ""
    left = f", {done['left']} left" if done.get("left") else ""
    click.echo(f"{where}, {place}: {done['applied']} applied{left}{stopped}")


def _events(number: int) -> str:
    return f"{number} event" if number == 1 else f"{number} events"
