"""
What an operator may look up of people and orgs, and do to sessions and orgs. Whoever looks for a person leaves a row;
who suspends an org, and why, goes with the org.
"""

from functools import partial
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from services.accounts import addresses, credentials, models, org, projections, sessions
from shared import clock, database, errors, ids, personal, store


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
    :returns: `{"id", "owner_id", "founded_at", "suspension", "members"}`, of each member `{"account_id", "role",
        "joined_at"}`; no names. The suspension is `{"suspended_at", "cause", "reason", "by"}`, or None
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
    return {
        "id": org_id,
        "owner_id": row.owner_id,
        "founded_at": clock.rfc3339(row.founded_at),
        "suspension": _suspension(session, org_id),
        "members": members,
    }


def suspend(
    session: Session, org_id: str, *, cause: str, reason: str, operator: str, execute: bool
) -> dict[str, Any]:
    """
    Stop an org. One that is suspended stays so, with the cause and the reason that it was suspended for.

    :param cause: one of `org.CAUSES`
    :param execute: otherwise all is looked at, and nothing written
    :returns: `{"changed", "suspension"}`, the last as `show` gives it, after it
    :raises NotFound: `unknown_org`
    """
    return _decide(session, org_id, partial(org.suspend, cause=cause), reason, operator=operator, execute=execute)


def restore(session: Session, org_id: str, *, reason: str, operator: str, execute: bool) -> dict[str, Any]:
    """
    Let an org go on as it was.

    :returns: as `suspend`
    :raises NotFound: `unknown_org`
    """
    return _decide(session, org_id, org.restore, reason, operator=operator, execute=execute)


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


def _decide(session: Session, org_id: str, rule: Any, reason: str, *, operator: str, execute: bool) -> dict[str, Any]:
    """:param rule: of `org`, which gets the version of the reason"""
    projections.lock_org(session, org_id)
    loaded = store.load(session, projections.org_stream(org_id), projections.ORG)
    changes = bool(rule(loaded.state, reason_version=1))
    if changes and execute:
        version = personal.put(session, _reasons(org_id), subject=org_id, reason=reason, by=operator)
        store.append(session, loaded, projections.ORG, rule(loaded.state, reason_version=version))
    return {"changed": changes, "suspension": _suspension(session, org_id)}


def _suspension(session: Session, org_id: str) -> dict[str, Any] | None:
    row = session.get(models.Suspended, org_id, populate_existing=True)
    if row is None:
        return None
    why = personal.get(session, _reasons(org_id))
    return {
        "suspended_at": clock.rfc3339(row.suspended_at),
        "cause": row.cause,
        "reason": why.get("reason", ""),
        "by": why.get("by", ""),
    }


def _reasons(org_id: str) -> str:
    """Under which id of `personal` it stands who suspended and restored the org, and why; each time a version."""
    return f"suspension-{org_id}"


def _record(session: Session, act: str, account_id: str, *, operator: str, reason: str = "") -> None:
    at, id = database.now(session), ids.new("act")
    session.add(models.OperatorAct(id=id, act=act, account_id=account_id, operator=operator, reason=reason, at=at))
