"""
A batch of messages asking to be admitted, in one transaction: lock, decide one by one, write all, answer each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, text, tuple_
from sqlalchemy.orm import Session

from services.quota import boundary, ledger, models, projections
from shared import bulk, database, errors


class Item(NamedTuple):
    """One message that asks."""

    org_id: str
    message_id: str
    bot_id: str

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
    :param answers: one per item, in order: what was counted, or why not; None: its org is locked, and nothing decided
    :param admitted: how many were counted now, and not before
    """

    answers: list[Answer | None]
    admitted: int


def admit(session: Session, items: Sequence[Item], *, waits: bool = True) -> Decided:
    """
    Nothing is written for a refusal.

    :param waits: for orgs that somebody else has locked; else these are left out
    """
    if not items:
        return Decided(answers=[], admitted=0)
    org_ids = {item.org_id for item in items}
    pages = boundary.open_pages(session, org_ids, skip_locked=not waits)
    locked = set() if waits else boundary.known(session, org_ids - pages.keys())
    hindrances = _hindrances(session, items)
    known: dict[tuple[str, str], Any] = _known(session, items, hindrances)
    admitted: list[Message] = []
    answers: list[Answer | None] = []
    for index, item in enumerate(items):
        if item.org_id in locked:
            answers.append(None)
            continue
        try:
            message = known.get(item.key)
            if message is None:
                message = _admit_one(session, pages.get(item.org_id), item, hindrances.get(index, RUNS))
                known[item.key] = message
                admitted.append(message)
            answers.append(_same(message, item))
        except errors.ServiceError as refusal:
            answers.append(refusal)
    boundary.write(session, pages.values(), messages=[vars(message) for message in admitted])
    return Decided(answers=answers, admitted=len(admitted))


class Hindrance(NamedTuple):
    """
    What may keep a message from being counted.

    :param is_known: it was counted before
    :param reasons: why its bot is paused; None: there is no such bot
    """

    is_known: bool
    reasons: list[str] | None


RUNS = Hindrance(is_known=False, reasons=[])


def _admit_one(session: Session, page: boundary.Page | None, item: Item, hindrance: Hindrance) -> Message:
    if page is None or page.month.subscription_version == 0:
        raise boundary.not_ready()
    if hindrance.reasons is None:
        raise errors.NotFound("unknown_bot", "There is no such bot.")
    if hindrance.reasons:
        reasons = sorted(hindrance.reasons)
        raise errors.Conflict("bot_paused", "This bot is paused.", {"pause_reasons": reasons})
    credit_id = page.month.next_credit
    try:
        page.add(ledger.admit(page.month, message_id=item.message_id, bot_id=item.bot_id))
    except errors.LimitReached as refusal:
        resets_at = projections.resets_at(page.month.period)
        raise errors.LimitReached(
            refusal.code, refusal.message, {**refusal.details, "resets_at": resets_at}
        ) from None
    month = page.month
    return Message(
        org_id=item.org_id,
        message_id=item.message_id,
        bot_id=item.bot_id,
        period=month.period,
        generation=month.generation,
        used=month.used,
        message_limit=month.limit,
        credit_id=credit_id,
        credits_remaining=month.credits_remaining,
        recorded_at=database.now(session),
    )


def _same(message: Any, item: Item) -> dict[str, Any]:
    if message.bot_id != item.bot_id:
        raise errors.Conflict("message_id_reused", "This message id was used before for another bot.")
    if message.refunded_at is not None:
        raise errors.Conflict("message_refunded", "This message was refunded; another needs an id of its own.")
    return projections.admission(message)


# Only what is out of the ordinary comes back. Joined and not `IN`: a list of keys is compared one by one where a join
# looks each up in the index.
_HINDRANCES = text("""
SELECT asked.place - 1, messages.message_id IS NOT NULL, bots.reasons
FROM unnest(CAST(:org_ids AS text[]), CAST(:message_ids AS text[]), CAST(:bot_ids AS text[]))
    WITH ORDINALITY AS asked (org_id, message_id, bot_id, place)
LEFT JOIN messages ON (messages.org_id, messages.message_id) = (asked.org_id, asked.message_id)
LEFT JOIN bots ON (bots.org_id, bots.bot_id) = (asked.org_id, asked.bot_id)
WHERE messages.message_id IS NOT NULL OR bots.bot_id IS NULL OR bots.reasons <> '[]'
""")


def _hindrances(session: Session, items: Sequence[Item]) -> dict[int, Hindrance]:
    """By the item's index, of those that have one."""
    org_ids, message_ids, bot_ids = (bulk.text_array(column) for column in zip(*items, strict=True))
    asked = {"org_ids": org_ids, "message_ids": message_ids, "bot_ids": bot_ids}
    return {index: Hindrance(is_known, reasons) for index, is_known, reasons in session.execute(_HINDRANCES, asked)}


def _known(
    session: Session, items: Sequence[Item], hindrances: dict[int, Hindrance]
) -> dict[tuple[str, str], models.Message]:
    """Those that were counted before, which are few."""
    keys = {items[index].key for index, hindrance in hindrances.items() if hindrance.is_known}
    if not keys:
        return {}
    rows = session.scalars(
        select(models.Message).where(tuple_(models.Message.org_id, models.Message.message_id).in_(sorted(keys)))
    )
    return {(row.org_id, row.message_id): row for row in rows}
