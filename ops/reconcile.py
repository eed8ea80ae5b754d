"""`chatness billing reconcile`: the nightly comparison with Stripe, now, and what it finds line by line."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import click

from ops import exits, reach
from services.billing import errands, missed_events, models, reconciling, stripe_api
from services.billing.events import SubscriptionChanged
from services.billing.parts import Parts
from services.billing.reconciling import Finding
from shared import context


@dataclasses.dataclass(kw_only=True)
class Tally:
    compared: int = 0
    differ: int = 0
    taken_over: int = 0
    not_compared: int = 0


def run(org_id: str, *, actor: str, execute: bool, as_json: bool) -> int:
    """
    Gives 1 if something differs that was not taken over, or could not be compared.

    :raises NotThere, Refused, Away: as it ends
    """
    tally = Tally()
    with reach.needing_databases(), context.use(actor=context.Actor(kind="operator", id=actor)):
        parts = Parts(database=reach.open_database("billing"), settings=reach.service_settings("billing"))
        try:
            for finding in _one(parts, org_id, execute=execute) if org_id else _all(parts, execute=execute):
                _count(tally, finding, execute=execute)
                if finding.differs or finding.trouble:
                    _say(finding, execute=execute, as_json=as_json)
        except stripe_api.Away as error:
            raise exits.Away(f"Stripe {error}; {tally.compared} compared. Try again{_goes_on(execute)}") from error
        except errands.Lost as error:
            raise exits.Refused(f"{error}; {tally.compared} compared") from error
    if tally.differ > tally.taken_over:
        click.echo(exits.NO_CHANGE, err=True)
    _say_end(tally, as_json)
    return exits.FAILED if tally.differ > tally.taken_over or tally.not_compared else exits.OK


def _one(parts: Parts, org_id: str, *, execute: bool) -> Iterator[Finding]:
    with parts.database.begin() as session:
        if session.get(models.Subscription, org_id) is None and session.get(models.Customer, org_id) is None:
            raise exits.NotThere(f"billing knows no org {org_id}")
    yield reconciling.compare(parts, org_id, execute=execute)


def _all(parts: Parts, *, execute: bool) -> Iterator[Finding]:
    if execute:
        _take_in_missed(parts)
    with errands.held(parts.database, reconciling.ERRAND, first_at=reconciling.next_night(parts.now())) as mine:
        if mine is None:
            raise exits.Refused("another reconcile is under way")
        if execute and mine.position:
            click.echo(f"goes on after {mine.position}, where the last one was interrupted", err=True)
        yield from reconciling.every(parts, mine, execute=execute, seconds=float("inf"))


def _take_in_missed(parts: Parts) -> None:
    first_at = missed_events.first_due(parts)
    with errands.held(parts.database, missed_events.ERRAND, first_at=first_at) as mine:
        if mine is None:
            click.echo("the missed events are being taken in by another", err=True)
            return
        try:
            taken = missed_events.take_in(parts, mine)
        except stripe_api.Refused as error:
            click.echo(f"Stripe does not list its events: {error}", err=True)
            return
    click.echo(f"{taken} events of Stripe's had not come, and are taken in", err=True)


def _count(tally: Tally, finding: Finding, *, execute: bool) -> None:
    tally.not_compared += bool(finding.trouble)
    tally.compared += not finding.trouble
    tally.differ += finding.differs
    tally.taken_over += finding.differs and execute


def _say(finding: Finding, *, execute: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_document(finding, execute=execute)))
        return
    if finding.trouble:
        click.echo(f"{finding.org_id}  not compared: {finding.trouble}")
        return
    for what in _words(finding):
        click.echo(f"{finding.org_id}  {what}: {'taken over' if execute else 'would be taken over'}")
    for one in finding.difference.duplicates:
        done = "is being refunded and canceled" if execute else "would be refunded and canceled"
        click.echo(f"{finding.org_id}  {one.subscription_id} ({one.plan}) runs beside another: {done}")


def _words(finding: Finding) -> list[str]:
    return [
        f"{fact.action}, {fact.plan_before} to {fact.plan} ({fact.status})"
        if isinstance(fact, SubscriptionChanged)
        else fact.name
        for fact in finding.difference.facts
    ]


def _document(finding: Finding, *, execute: bool) -> dict[str, Any]:
    facts = [{"name": fact.name, **vars(fact)} for fact in finding.difference.facts]
    return {
        "org_id": finding.org_id,
        "facts": facts,
        "duplicates": [one.subscription_id for one in finding.difference.duplicates],
        "trouble": finding.trouble,
        "taken_over": execute and finding.differs,
    }


def _say_end(tally: Tally, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(tally)))
        return
    verdict = f"{tally.differ} differ, {tally.taken_over} of them taken over" if tally.differ else "no difference"
    left = f", {tally.not_compared} not compared" if tally.not_compared else ""
    click.echo(f"{tally.compared} orgs compared with Stripe: {verdict}{left}")


def _goes_on(execute: bool) -> str:
    return ": it goes on where it stopped" if execute else ""
