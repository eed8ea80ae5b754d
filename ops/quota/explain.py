"""`chatness quota explain`: an org's month told from its events, beside what is stored."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from ops import exits, reach
from ops.quota import ledgers, narrative
from ops.quota.ledgers import Step, Walk
from services.quota import boundary, models
from services.quota.events import MessageRecorded, MessageRefunded
from shared import clock, database, tables


@dataclass(frozen=True, kw_only=True)
class Question:
    """
    :param period: empty for the open month
    :param archive: the folder with the files of archived months
    """

    org_id: str
    period: str = ""
    message_id: str = ""
    archive: Path | None = None


def run(question: Question, *, as_json: bool) -> int:
    """
    Gives 1 if the events are not what is stored.

    :raises NotThere: for an unknown or erased org, a month that it does not have, a message that was not counted
    :raises Refused: for a month whose events are in an archive that was not named, or does not fit
    """
    with reach.needing_databases(), ledgers.snapshot(reach.open_database("quota")) as session:
        streams = ledgers.known_streams(session, question.org_id)
        if question.message_id:
            return _explain_message(session, question, streams, as_json)
        period = question.period or ledgers.open_period(session, question.org_id, streams)
        head = ledgers.one_of(streams, question.org_id, period)
        return _explain_month(session, question, period, head, as_json)


def _explain_month(session: Session, question: Question, period: str, head: tables.Stream, as_json: bool) -> int:
    walk, steps = ledgers.month(session, question.org_id, period, ledgers.own_events(session, head, question.archive))
    faults: list[str] = []
    if not as_json:
        click.echo(f"{question.org_id}, {period}:")
    for line in narrative.lines(_noting(steps, faults)):
        click.echo(json.dumps(_document(line)) if as_json else _text(line))
    if walk.head(head.stream) != (head.version, head.hash):
        faults.append(f"{head.stream} does not end as its head says")
    row = ledgers.org_row(session, question.org_id)
    differing = _differing(row, walk, head.stream) if row and row.period == period else None
    _say_end(question.org_id, walk, differing, faults, as_json)
    now = boundary.period_of(database.read_clock(session))
    if differing is not None and period < now and not as_json:
        click.echo(f"it is open still, because nobody has sent or looked since: the next to do so opens {now}")
    return exits.FAILED if differing or faults else exits.OK


def _noting(steps: Iterable[Step], faults: list[str]) -> Iterator[Step]:
    """The steps, and the first of them whose event was changed afterwards."""
    for step in steps:
        if not step.whole and not faults:
            faults.append(f"{step.event.stream}@{step.event.version} is not what was recorded")
        yield step


def _differing(row: models.Org, walk: Walk, stream: str) -> dict[str, tuple[Any, Any]]:
    folded = boundary.Page(walk.month, row.bot_limit, *walk.head(stream))
    return ledgers.differing(boundary.page_of(row), folded)


def _document(line: narrative.Line) -> dict[str, Any]:
    return {
        "at": clock.rfc3339(line.at),
        "fact": line.fact,
        "text": line.words,
        "data": line.data,
        "used": line.month.used,
        "limit": line.month.limit,
        "credits_remaining": line.month.credits_remaining,
        "remaining": line.month.remaining,
    }


def _text(line: narrative.Line) -> str:
    month = line.month
    extra = f", {month.credits_remaining} of credits left" if month.credits else ""
    return f"{line.at:%Y-%m-%d %H:%M:%S}  {line.words}  [used {month.used} of {month.limit}{extra}]"


def _say_end(
    org_id: str, walk: Walk, differing: dict[str, tuple[Any, Any]] | None, faults: list[str], as_json: bool
) -> None:
    month = walk.month
    if as_json:
        names = ("used", "limit", "credits_remaining", "remaining")
        numbers = {name: getattr(month, name) for name in names}
        pairs = {
            name: {"stored": stored, "from_events": folded} for name, (stored, folded) in (differing or {}).items()
        }
        agrees = not differing and not faults
        end = {"org": org_id, "period": month.period, **numbers, "open": differing is not None, "agrees": agrees}
        click.echo(json.dumps({**end, "differs": pairs, "faults": faults}, default=str))
        return
    extra = f", credits {month.credits_remaining}" if month.credits else ""
    click.echo(f"used {month.used}, limit {month.limit}{extra}, remaining {month.remaining}")
    if differing is None:
        click.echo("the month is over: only its events are stored, and how they end")
    elif not differing:
        click.echo("stored: the same")
    for name, (stored, folded) in (differing or {}).items():
        click.echo(f"stored: {name} {stored}, and from the events {folded}")
    for fault in faults:
        click.echo(f"NOT WHOLE: {fault}")


def _explain_message(session: Session, question: Question, streams: ledgers.Streams, as_json: bool) -> int:
    """In the month that was named, or in all that are at hand, the newest first."""
    asked = [question.period] if question.period else sorted(streams, reverse=True)
    passed_over: list[str] = []
    for period in asked:
        head = ledgers.one_of(streams, question.org_id, period)
        if head.archived_at is not None and question.archive is None and not question.period:
            passed_over.append(period)
            continue
        found = _message_in(session, question, period, head)
        if found:
            return _say_message(session, question, found, as_json)
    left = f"; archived and not looked at: {', '.join(sorted(passed_over))}" if passed_over else ""
    raise exits.NotThere(
        f"{question.message_id} was not counted{left}. What was refused or never asked for leaves no trace"
    )


def _message_in(session: Session, question: Question, period: str, head: tables.Stream) -> dict[str, Any]:
    _walk, steps = ledgers.month(
        session, question.org_id, period, ledgers.own_events(session, head, question.archive)
    )
    found: dict[str, Any] = {}
    number = 0
    for step in steps:
        fact, at = step.fact, clock.rfc3339(step.event.recorded_at)
        number += isinstance(fact, MessageRecorded)
        if getattr(fact, "message_id", "") != question.message_id:
            continue
        if isinstance(fact, MessageRecorded):
            found = {"message": fact.message_id, "bot": fact.bot_id, "credit": fact.credit_id}
            found |= {"period": period, "recorded_at": at}
            found |= {"number": number, "used": step.month.used, "limit": step.month.limit, "refunded_at": None}
        elif isinstance(fact, MessageRefunded):
            found |= {"refunded_at": at, "gave_back": fact.gives_back}
    return found


def _say_message(session: Session, question: Question, found: dict[str, Any], as_json: bool) -> int:
    row = session.get(models.Message, (question.org_id, question.message_id))
    stored = (
        {
            "bot": row.bot_id,
            "credit": row.credit_id,
            "period": row.period,
            "recorded_at": clock.rfc3339(row.recorded_at),
            "used": row.used,
            "limit": row.message_limit,
            "refunded_at": row.refunded_at and clock.rfc3339(row.refunded_at),
        }
        if row
        else None
    )
    agrees = stored is None or all(found[name] == value for name, value in stored.items())
    if as_json:
        click.echo(json.dumps({"org": question.org_id, **found, "stored": stored, "agrees": agrees}))
        return exits.OK if agrees else exits.FAILED
    taken = f", taken from {found['credit']}" if found["credit"] else ""
    click.echo(
        f"{found['message']} was counted at {found['recorded_at']} for {found['bot']}: message {found['number']} of"
        f" {found['period']}, used {found['used']} of {found['limit']}{taken}"
    )
    if found["refunded_at"]:
        click.echo(f"refunded at {found['refunded_at']}, {_effect(found)}")
    words = "nothing: its id is no longer remembered" if stored is None else "the same" if agrees else f"{stored}"
    click.echo(f"stored: {words}")
    return exits.OK if agrees else exits.FAILED


def _effect(found: dict[str, Any]) -> str:
    """Of its refund. What a credit got back stands in the month in which that was done, which may be the next."""
    if found["credit"]:
        return "and given back to that credit, unless it had expired"
    return "and counts no more" if found["gave_back"] else "too late for its count, which was over"
