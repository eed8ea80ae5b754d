"""`chatness quota credit`: extra messages for an org."""

import json
from datetime import datetime

import click

from ops import exits, reach
from services.quota import grants
from shared import context, errors


def order(org_id: str, *, messages: int, reason: str, expires_at: datetime) -> grants.Grant:
    return grants.Grant(org_id=org_id, messages=messages, reason=reason, expires_at=expires_at)


def grant(wanted: grants.Grant, *, again: bool, actor: str, execute: bool, as_json: bool) -> int:
    """:raises NotThere, Refused, Away: as it ends"""
    operator = context.Actor(kind="operator", id=actor, org_id=wanted.org_id)
    with reach.needing_databases(), context.use(actor=operator):
        try:
            with reach.open_database("quota").begin() as session:
                granted = grants.grant(session, wanted, again=again, execute=execute)
        except errors.NotFound as error:
            raise exits.NotThere(error.message) from error
        except errors.ServiceError as error:
            if error.code == "already_granted":
                raise exits.Refused(f"{error.message[:-1]}: add --again to grant as much once more") from error
            raise exits.Refused(error.message) from error
    document = {"org_id": wanted.org_id, **granted, "granted": execute}
    done = "granted" if execute else "would be granted"
    text = (
        f"{granted['id'] or wanted.org_id}  {wanted.messages:,} messages until {granted['expires_at']} {done}; "
        f"then it has {granted['credits_remaining']:,} besides its plan"
    )
    click.echo(json.dumps(document) if as_json else text)
    if not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return exits.OK
