"""What an operator may look up of people and orgs, and do to sessions. Whoever looks for a person leaves a row."""

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.accounts import addresses, credentials, models, sessions
from shared import clock, database, errors, ids


def find(session: Session, email: str, *, operator: str) -> dict[str, Any]:
    """
    Whose address it is, and which orgs they are in; the look is recorded, whatever it finds.

    :returns: `{"account_id", "orgs"}`, of each org `{"id", "role"}`; the account is None if it is nobody's address
    :raises Invalid: `invalid_email`
    """
    known = credentials.of_address(session, addresses.parse(email).key)
    account_id = known.account_id if known else ""
    _record(session, "find_org", account_id, operator=operator)
    wanted = select(models.Member).where(models.Member.account_id == account_id)
    rows = session.scalars(wanted.order_by(models.Member.joined_at, models.Member.org_id))
    return {"account_id": account_id or None, "orgs": [{"id": row.org_id, "role": row.role} for row in rows]}


def show(session: Session, org_id: str) -> dict[str, Any]:
    """
    :returns: `{"id", "owner_id", "founded_at", "members"}`, of each member `{"account_id", "role", "joined_at"}`;
        no names
    :raises NotFound: `unknown_org`
    """
    row = session.get(models.Org, org_id)
    if row is None:
        raise errors.NotFound("unknown_org", f"Accounts knows no org {org_id}.")
    wanted = select(models.Member).where(models.Member.org_id == org_id).order_by(models.Member.account_id)
    members = [
        {"account_id": one.account_id, "role": one.role, "joined_at": clock.rfc3339(one.joined_at)}
        for one in session.scalars(wanted)
    ]
    return {"id": org_id, "owner_id": row.owner_id, "founded_at": clock.rfc3339(row.founded_at), "members": members}


def end_sessions(session: Session, account_id: str, *, operator: str, reason: str, execute: bool) -> int:
    """
    Sign the person out everywhere.

    :param execute: otherwise all is looked at, and nothing written
    :returns: how many sessions that are
    :raises NotFound: `unknown_account`
    """
    if credentials.lock(session, account_id) is None:  # before their erasure, or not at all
        raise errors.NotFound("unknown_account", f"Accounts knows no account {account_id}.")
    theirs = select(func.count()).where(models.SignedIn.account_id == account_id)
    ended = session.scalars(theirs).one()
    if execute:
        sessions.end_all(session, account_id)
        _record(session, "end_sessions", account_id, operator=operator, reason=reason)
    return ended


def _record(session: Session, act: str, account_id: str, *, operator: str, reason: str = "") -> None:
    at, id = database.now(session), ids.new("act")
    session.add(models.OperatorAct(id=id, act=act, account_id=account_id, operator=operator, reason=reason, at=at))
