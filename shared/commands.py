"""
The memory of commands: the same id from the same actor on the same route answers the same, for 24 hours.

Only ids are kept. A refusal leaves no trace, since the transaction that would have remembered it is rolled back.
"""

import hashlib
import hmac
from typing import Any

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from shared import context, database, errors, events, tables

LONGEST_ID = 255


def fingerprint(key: bytes, arguments: dict[str, Any]) -> bytes:
    """Tells two bodies apart without keeping either: an HMAC, because bodies can be guessed."""
    return hmac.digest(key, events.encode(arguments), hashlib.sha256)


def recall(session: Session, *, route: str, command_id: str, fingerprint: bytes) -> dict[str, Any] | None:
    """
    The outcome of the first time, or None if this is the first; then nobody else is in it until this commits.

    :raises Conflict: `idempotency_in_progress` while the first is under way
    :raises Invalid: `idempotency_key_reused` for another body, `invalid_command_id` for what is no id
    """
    if not 1 <= len(command_id) <= LONGEST_ID or not command_id.isprintable():
        raise errors.Invalid("invalid_command_id", f"A command id has 1 to {LONGEST_ID} printable characters.")
    place = (_actor(), route, command_id)
    ours = "SELECT pg_try_advisory_xact_lock(hashtextextended(:place, 0))"
    if not session.scalar(text(ours), {"place": "\x1f".join(place)}):
        raise errors.Conflict("idempotency_in_progress", "The first request with this id is still under way.")
    row = session.scalar(
        select(tables.Command).where(
            tables.Command.actor == place[0], tables.Command.route == place[1], tables.Command.key == place[2]
        )
    )
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise errors.Invalid("idempotency_key_reused", "This id was used before with another content.")
    return row.outcome


def remember(session: Session, *, route: str, command_id: str, fingerprint: bytes, outcome: dict[str, Any]) -> None:
    session.execute(
        insert(tables.Command).values(
            actor=_actor(),
            route=route,
            key=command_id,
            fingerprint=fingerprint,
            outcome=outcome,
            created_at=database.now(session),
        )
    )


def _actor() -> str:
    actor = context.current().actor
    return f"{actor.kind}:{actor.id}:{actor.org_id}"
