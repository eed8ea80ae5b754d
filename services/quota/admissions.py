"""
A batch of messages asking to be admitted, in one transaction: lock, decide one by one, write all, answer each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.orm import Session
from sqlalchemy.types import ARRAY, Text

from services.quota import boundary, ledger, projections
from shared import context, database, errors


@dataclass(frozen=True, kw_only=True)
class Item:
    """:param deadline: when its caller stops waiting, seconds since the epoch"""

    message_id: str
    bot_id: str
    actor: context.Actor
    deadline: float | None = None

    @property
    def org_id(self) -> str:
        return self.actor.org_id

    @property
    def key(self) -> tuple[str, str]:
        return self.org_id, self.message_id


@dataclass(kw_only=True)
class Message:
    """A row of `models.Message` to be: many are made in a batch, and the mapped class takes its time."""

    org_id: str
    message_id: str
    bot_id: str
    period: str
    generation: int
    used: int
    message_limit: int
    credit_id: str
    credits_remaining: int
    recorded_at: datetime
    refunded_at: None = None


Answer = dict[str, Any] | errors.ServiceError


@dataclass(frozen=True, kw_only=True)
class Decided:
    """
    :param answers: one per item, in order: what was counted, or why not
    :param admitted: how many were counted now, and not before
    """

    answers: list[Answer]
    admitted: int


def admit(session: Session, items: Sequence[Item]) -> Decided:
    """Nothing is written for a refusal."""
    if not items:
        return Decided(answers=[], admitted=0)
    pages = boundary.open_pages(session, {item.org_id for item in items})
    known: dict[tuple[str, str], Any] = _known(session, items)
    reasons = _pause_reasons(session, items)
    admitted: list[Message] = []
    answers: list[Answer] = []
    for item in items:
        try:
            message = known.get(item.key)
            if message is None:
                message = _admit_one(session, pages.get(item.org_id), item, reasons.get((item.org_id, item.bot_id)))
                known[item.key] = message
                admitted.append(message)
            answers.append(_same(message, item))
        except errors.ServiceError as refusal:
            answers.append(refusal)
    boundary.write(session, pages.values(), messages=[vars(message) for message in admitted])
    return Decided(answers=answers, admitted=len(admitted))


def _admit_one(session: Session, page: boundary.Page | None, item: Item, reasons: list[str] | None) -> Message:
    if page is None or page.month.subscription_version == 0:
        raise boundary.not_ready()
    if reasons is None:
        raise errors.NotFound("unknown_bot", "There is no such bot.")
    if reasons:
        raise errors.Conflict("bot_paused", "This bot is paused.", {"pause_reasons": sorted(reasons)})
    credit_id = page.month.next_credit
    try:
        page.add(ledger.admit(page.month, message_id=item.message_id, bot_id=item.bot_id))
    except errors.LimitReached as refusal:
        resets_at = projections.resets_at(page.month.period)
        raise errors.LimitReached(
            refusal.code, refusal.message, {**refusal.details, "resets_at": resets_at}
        ) from None
    return Message(
        org_id=item.org_id,
        message_id=item.message_id,
        bot_id=item.bot_id,
        period=page.month.period,
        generation=page.month.generation,
        used=page.month.used,
        message_limit=page.month.limit,
        credit_id=credit_id,
        credits_remaining=page.month.credits_remaining,
        recorded_at=database.now(session),
    )


def _same(message: Any, item: Item) -> dict[str, Any]:
    if message.bot_id != item.bot_id:
        raise errors.Conflict("message_id_reused", "This message id was used before for another bot.")
    if message.refunded_at is not None:
        raise errors.Conflict("message_refunded", "This message was refunded; another needs an id of its own.")
    return projections.admission(message)


# Joined and not `IN`: a list of pairs is compared one by one where a join looks each up in the key.
_KNOWN = text("""
SELECT messages.* FROM unnest(:org_ids, :ids) AS asked (org_id, message_id)
JOIN messages USING (org_id, message_id)
""").bindparams(bindparam("org_ids", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Text)))

_REASONS = text("""
SELECT bots.org_id, bots.bot_id, bots.reasons FROM unnest(:org_ids, :ids) AS asked (org_id, bot_id)
JOIN bots USING (org_id, bot_id)
""").bindparams(bindparam("org_ids", type_=ARRAY(Text)), bindparam("ids", type_=ARRAY(Text)))


def _known(session: Session, items: Sequence[Item]) -> dict[tuple[str, str], Any]:
    wanted = _pairs({item.key for item in items})
    return {(row.org_id, row.message_id): row for row in session.execute(_KNOWN, wanted)}


def _pause_reasons(session: Session, items: Sequence[Item]) -> dict[tuple[str, str], list[str]]:
    wanted = _pairs({(item.org_id, item.bot_id) for item in items})
    return {(row.org_id, row.bot_id): row.reasons for row in session.execute(_REASONS, wanted)}


def _pairs(keys: set[tuple[str, str]]) -> dict[str, list[str]]:
    return {"org_ids": [org_id for org_id, _ in keys], "ids": [id for _, id in keys]}
