"""`chatness erasure`: who leaves, and for whom it waits. Ids and moments only; the address is never shown."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from ops import exits, reach
from services.accounts import erasing, models
from services.accounts.events import OrgErased
from shared import clock, database, personal, tables

Homes = dict[str, database.Database]


@dataclass(frozen=True, kw_only=True)
class Wait:
    """
    One service and one org.

    :param reported_at: None while accounts waits for it
    :param stands: in a few words, where it stands in that service
    """

    org_id: str
    service: str
    reported_at: datetime | None
    stands: str


@dataclass(frozen=True, kw_only=True)
class Leaver:
    """
    :param state: `confirmed`, until `due_at`; `erasing`; or `erased`, when nothing is outstanding
    :param since: when it was confirmed, began or ended
    """

    account_id: str
    state: str
    since: datetime
    due_at: datetime | None = None
    waits: list[Wait] = field(default_factory=list)


def list_all(as_json: bool) -> int:
    with reach.needing_databases():
        homes = _homes()
        with homes["accounts"].begin() as session:
            found = [*_begun(session, homes), *_confirmed(session)]
    for one in found:
        _print(one, as_json, outstanding_only=True)
    if not found:
        click.echo("nothing is outstanding", err=True)
    return exits.OK


def show(id: str, as_json: bool) -> int:
    """
    :param id: of an account or an org
    :raises NotThere: if nothing is known of a deletion of it
    """
    with reach.needing_databases():
        homes = _homes()
        with homes["accounts"].begin() as session:
            account_id = session.scalar(select(models.ErasureOrg.account_id).where(models.ErasureOrg.org_id == id))
            wanted = account_id or id
            found = [one for one in (*_begun(session, homes), *_confirmed(session)) if one.account_id == wanted]
            gone = session.get(tables.Erased, id)
    if not found and gone is None:
        raise exits.NotThere(f"nothing is known of a deletion of {id}")
    for one in found:
        _print(one, as_json, outstanding_only=False)
    if not found and gone is not None:
        _print(Leaver(account_id=id, state="erased", since=gone.erased_at), as_json, outstanding_only=False)
    return exits.OK


def _homes() -> Homes:
    return reach.open_databases(("accounts", *erasing.WAITED_FOR))


def _confirmed(session: Session) -> Iterator[Leaver]:
    wanted = select(models.Deletion).where(models.Deletion.state == "confirmed")
    for wish in session.scalars(wanted.order_by(models.Deletion.erases_at)):
        since = wish.confirmed_at or wish.requested_at
        yield Leaver(account_id=wish.account_id, state="confirmed", since=since, due_at=wish.erases_at)


def _begun(session: Session, homes: Homes) -> Iterator[Leaver]:
    for erasure in session.scalars(select(models.Erasure).order_by(models.Erasure.begun_at)):
        ours = select(models.ErasureOrg.org_id).where(models.ErasureOrg.account_id == erasure.account_id)
        waits = [
            wait
            for org_id in session.scalars(ours.order_by(models.ErasureOrg.org_id))
            for wait in _waits(session, homes, org_id)
        ]
        yield Leaver(account_id=erasure.account_id, state="erasing", since=erasure.begun_at, waits=waits)


def _waits(session: Session, homes: Homes, org_id: str) -> Iterator[Wait]:
    reports = select(models.ErasureReport).where(models.ErasureReport.org_id == org_id)
    reported = {report.service: report.reported_at for report in session.scalars(reports)}
    for service in erasing.WAITED_FOR:
        at = reported.get(service)
        stands = "has nothing of it any more" if at else _stands(homes[service], service, org_id)
        yield Wait(org_id=org_id, service=service, reported_at=at, stands=stands)


def _stands(home: database.Database, service: str, org_id: str) -> str:
    """Where it stands in a service that has not reported."""
    with home.begin() as session:
        parked = select(tables.Parked).where(
            tables.Parked.producer == "accounts", tables.Parked.stream == f"org-{org_id}"
        )
        if any(event.name == OrgErased.name for event in session.scalars(parked)):
            return "has parked the event: chatness parked list"
        if not personal.is_erased(session, org_id):
            return "has not heard of it"
        ours = select(tables.Job).where(tables.Job.kind == f"{service}.erase_org", tables.Job.subject == org_id)
        job = session.scalars(ours.order_by(tables.Job.created_at.desc()).limit(1)).first()
    if job is None or job.state == "done":
        return "is done; accounts has not heard of it"
    last = f", last {job.last_error}" if job.last_error else ""
    due = f", due {clock.rfc3339(job.due_at)}" if job.state == "waiting" else ""
    return f"job {job.id} {job.state}, {job.attempts} tries{due}{last}"


def _print(one: Leaver, as_json: bool, *, outstanding_only: bool) -> None:
    waits = [wait for wait in one.waits if wait.reported_at is None or not outstanding_only]
    if as_json:
        click.echo(json.dumps(_document(one, waits)))
        return
    due = f", erased at {clock.rfc3339(one.due_at)}" if one.due_at else ""
    click.echo(f"{one.account_id}  {one.state} since {clock.rfc3339(one.since)}{due}")
    for wait in waits:
        click.echo(f"  {wait.org_id}  {wait.service:<8} {wait.stands}")


def _document(one: Leaver, waits: list[Wait]) -> dict[str, Any]:
    return {
        "id": one.account_id,
        "state": one.state,
        "since": clock.rfc3339(one.since),
        "due_at": one.due_at and clock.rfc3339(one.due_at),
        "waits": [
            {
                "org_id": wait.org_id,
                "service": wait.service,
                "reported_at": wait.reported_at and clock.rfc3339(wait.reported_at),
                "stands": wait.stands,
            }
            for wait in waits
        ],
    }
