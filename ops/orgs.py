"""`chatness org` and `chatness account`: by id, without names; accounts records who looked and who acted."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import click
from sqlalchemy.orm import Session

from ops import exits, reach
from services.accounts import operators
from shared import context, errors


def find(email: str, *, actor: str, as_json: bool) -> int:
    """:raises NotThere, Refused, Away: as it ends"""
    found = _ask(lambda session: operators.find(session, email, operator=actor))
    if found["account_id"] is None:
        raise exits.NotThere("it is no account's address; that you looked is recorded")
    if as_json:
        click.echo(json.dumps(found))
        return exits.OK
    click.echo(found["account_id"])
    for org in found["orgs"]:
        click.echo(f"  {org['id']}  {org['role']}")
    return exits.OK


def show(org_id: str, *, as_json: bool) -> int:
    """:raises NotThere, Away: as it ends"""
    shown = _ask(lambda session: operators.show(session, org_id))
    if as_json:
        click.echo(json.dumps(shown))
        return exits.OK
    click.echo(f"{shown['id']}  since {shown['founded_at']}")
    if shown["suspension"]:
        click.echo(f"  {_words(shown['suspension'])}")
    for member in shown["members"]:
        click.echo(f"  {member['account_id']}  {member['role']:<6}  since {member['joined_at']}")
    return exits.OK


def suspend(org_id: str, *, cause: str, reason: str, actor: str, execute: bool, as_json: bool) -> int:
    """:raises NotThere, Refused, Away: as it ends"""
    decide = partial(operators.suspend, cause=cause, reason=reason, operator=actor, execute=execute)
    done = _ask_as(actor, org_id, lambda session: decide(session, org_id))
    if done["changed"]:
        said = "is suspended" if execute else "would be suspended"
    else:
        said = f"was suspended before, and nothing was changed: {_words(done['suspension'])}"
    return _told(org_id, done, said, execute=execute, as_json=as_json)


def restore(org_id: str, *, reason: str, actor: str, execute: bool, as_json: bool) -> int:
    """:raises NotThere, Refused, Away: as it ends"""
    decide = partial(operators.restore, reason=reason, operator=actor, execute=execute)
    done = _ask_as(actor, org_id, lambda session: decide(session, org_id))
    if done["changed"]:
        said = "is restored" if execute else "would be restored"
    else:
        said = "is not suspended, and nothing was changed"
    return _told(org_id, done, said, execute=execute, as_json=as_json)


def _told(org_id: str, done: dict[str, Any], said: str, *, execute: bool, as_json: bool) -> int:
    document = {"org_id": org_id, **done, "executed": execute}
    click.echo(json.dumps(document) if as_json else f"{org_id}  {said}")
    if done["changed"] and not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return exits.OK


def _words(suspension: dict[str, str]) -> str:
    since, cause, by = suspension["suspended_at"], suspension["cause"], suspension["by"]
    return f"suspended since {since} by {by}  {cause}: {suspension['reason']}"


def end_sessions(account_id: str, *, reason: str, actor: str, execute: bool, as_json: bool) -> int:
    """:raises NotThere, Away: as it ends"""
    ended = _ask(
        lambda session: operators.end_sessions(session, account_id, operator=actor, reason=reason, execute=execute)
    )
    document = {"account_id": account_id, "sessions": ended, "ended": execute}
    done = "ended" if execute else "would be ended"
    click.echo(json.dumps(document) if as_json else f"{account_id}  {ended} sessions {done}")
    if not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return exits.OK


def _ask_as(actor: str, org_id: str, question: Callable[[Session], Any]) -> Any:
    """The event names who decided so."""
    with context.use(actor=context.Actor(kind="operator", id=actor, org_id=org_id)):
        return _ask(question)


def _ask(question: Callable[[Session], Any]) -> Any:
    with reach.needing_databases():
        try:
            with reach.open_database("accounts").begin() as session:
                return question(session)
        except errors.NotFound as error:
            raise exits.NotThere(error.message) from error
        except errors.ServiceError as error:
            raise exits.Refused(error.message) from error
