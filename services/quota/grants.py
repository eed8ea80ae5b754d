"""Extra messages that operations grant an org, behind the lock of its row; `services.quota.credits` has the rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from services.quota import boundary, ledger
from shared import clock, database, errors, ids, personal


@dataclass(frozen=True, kw_only=True)
class Grant:
    """:param reason: free text, kept where it can be erased"""

    org_id: str
    messages: int
    expires_at: datetime
    reason: str


def grant(session: Session, wanted: Grant, *, again: bool, execute: bool) -> dict[str, Any]:
    """
    :param again: whether the same may be granted that a live credit has already
    :param execute: otherwise all is looked at, and nothing written
    :returns: `{"id", "messages", "expires_at", "limit", "used", "credits_remaining"}`, after it
    :raises NotFound: `unknown_org`, or `erased`
    :raises Invalid: `invalid_credit`
    :raises Conflict: `already_granted`, `too_many_credits`
    """
    page = boundary.open_pages(session, [wanted.org_id]).get(wanted.org_id)
    if page is None:
        if personal.is_erased(session, wanted.org_id):
            raise errors.NotFound("erased", f"{wanted.org_id} was erased.")
        raise errors.NotFound("unknown_org", f"Quota knows no org {wanted.org_id}.")
    if not again:
        _refuse_twin(session, page.month, wanted)
    credit_id = ids.new("credit")
    reason_version = 1
    if execute:
        reason_version = personal.put(session, credit_id, subject=wanted.org_id, reason=wanted.reason)
    page.add(
        ledger.grant(
            page.month,
            credit_id=credit_id,
            messages=wanted.messages,
            expires_at=wanted.expires_at,
            at=database.now(session),
            reason_version=reason_version,
        )
    )
    if execute:
        boundary.write(session, [page])
    return {
        "id": credit_id if execute else None,
        "messages": wanted.messages,
        "expires_at": clock.rfc3339(wanted.expires_at),
        "limit": page.month.limit,
        "used": page.month.used,
        "credits_remaining": page.month.credits_remaining,
    }


def _refuse_twin(session: Session, month: ledger.Month, wanted: Grant) -> None:
    """Whoever does not know whether the command was done, and gives it again, must not grant twice."""
    alike = [
        credit.id
        for credit in month.credits
        if (credit.messages, credit.expires_at) == (wanted.messages, wanted.expires_at)
    ]
    for credit_id in _for_the_same_reason(session, alike, wanted.reason):
        raise errors.Conflict("already_granted", f"{credit_id} has the same messages, end and reason.")


def _for_the_same_reason(session: Session, credit_ids: Sequence[str], reason: str) -> list[str]:
    reasons = personal.get_many(session, credit_ids)
    return [credit_id for credit_id in credit_ids if reasons.get(credit_id) == {"reason": reason}]
