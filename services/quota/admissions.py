"""
A batch of messages asking to be admitted, in one transaction: lock, decide one by one, write all, answer each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from services.quota import boundary, erasing, ledger, models, projections
from shared import bulk, database, errors, prepared, suspensions


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
    prepared.plan_once(session)
    pages, hindrances, suspended = _look(session, items, waits=waits)
    missing = {item.org_id for item in items} - pages.keys()
    locked = set() if waits else boundary.known(session, missing)
    known: dict[tuple[str, str], Any] = _known(session, items, hindrances)
    admitted: list[Message] = []
    answers: list[Answer | None] = []
    for index, item in enumerate(items):
        message, hindrance = known.get(item.key), hindrances.get(index, RUNS)
        if message is None and item.org_id in locked and hindrance.reasons is not None:
            answers.append(None)
            continue
        try:
            if message is None:
                if item.org_id in suspended and hindrance.reasons is not None:
                    raise suspensions.refusal()
                message = _admit_one(session, pages.get(item.org_id), item, hindrance)
                known[item.key] = message
                admitted.append(message)
            answers.append(_same(message, item))
        except errors.ServiceError as refusal:
            answers.append(refusal)
    boundary.write(session, pages.values(), messages=[vars(message) for message in admitted], last=True)
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
    if page is None:
        raise _why_absent(session, item)
    if page.month.subscription_version == 0:
        raise boundary.not_ready()
    if hindrance.reasons is None:
        raise _no_such_bot()
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


def _why_absent(session: Session, item: Item) -> errors.ServiceError:
    if boundary.known(session, [item.org_id]):
        return _no_such_bot()
    return erasing.absent(session, item.org_id)


def _no_such_bot() -> errors.NotFound:
    return errors.NotFound("unknown_bot", "There is no such bot.")


def _same(message: Any, item: Item) -> dict[str, Any]:
    if message.bot_id != item.bot_id:
        raise errors.Conflict("message_id_reused", "This message id was used before for another bot.")
    if message.refunded_at is not None:
        raise errors.Conflict("message_refunded", "This message was refunded; another needs an id of its own.")
    return projections.admission(message)


# One journey for both. The first statement takes the locks; only the second, whose view of the database begins behind
# them, can tell which messages those who held them before have counted. An org whose bots none of the messages names
# is not locked: bad input leaves no trace in the database, not even that of a lock.
#
# Whether an org is suspended is read along with its row, from a table of few rows or none.
#
# Of the messages only what is out of the ordinary comes back. Each is looked up in the index by a query of its own:
# as a join the planner would read a whole table wherever it believes that to be short.
_ORGS = """
FROM orgs WHERE org_id = ANY (CAST(%(org_ids)s AS text[])) AND EXISTS (
    SELECT FROM bots WHERE bots.org_id = orgs.org_id AND bots.bot_id = ANY (CAST(%(bot_ids)s AS text[]))
) ORDER BY org_id FOR UPDATE {how}
"""
_COLUMNS = [column.name for column in models.Org.__table__.columns]
_LOOK = f"""
WITH locked AS MATERIALIZED (SELECT * {_ORGS})
SELECT {", ".join(_COLUMNS)}, clock_timestamp() AS locked_at,
    EXISTS (SELECT FROM suspended WHERE suspended.org_id = locked.org_id) AS is_suspended,
    NULL::bigint AS place, NULL::boolean AS is_known, NULL::jsonb AS reasons
FROM locked
UNION ALL
SELECT {", ".join("NULL" for _ in _COLUMNS)}, NULL, NULL, place - 1, is_known, reasons
FROM (
    SELECT place,
        (SELECT true FROM messages
            WHERE messages.org_id = asked.org_id AND messages.message_id = asked.message_id LIMIT 1) AS is_known,
        (SELECT reasons FROM bots
            WHERE bots.org_id = asked.org_id AND bots.bot_id = asked.bot_id LIMIT 1) AS reasons
    FROM unnest(CAST(%(org_ids)s AS text[]), CAST(%(message_ids)s AS text[]), CAST(%(bot_ids)s AS text[]))
        WITH ORDINALITY AS asked (org_id, message_id, bot_id, place)
    OFFSET 0
) AS looked_up
WHERE is_known OR reasons IS NULL OR reasons <> '[]'
"""
_LOOK_AND_WAIT, _LOOK_AT_THE_FREE = (
    [f"SELECT {_ORGS.replace('{how}', how)}", _LOOK.replace("{how}", how)] for how in ("", "SKIP LOCKED")
)


def _look(
    session: Session, items: Sequence[Item], *, waits: bool
) -> tuple[dict[str, boundary.Page], dict[int, Hindrance], set[str]]:
    """Lock the orgs. And what is in the way of the items that have something, by their index; which are suspended."""
    org_ids, message_ids, bot_ids = (bulk.text_array(column) for column in zip(*items, strict=True))
    asked = {"org_ids": org_ids, "message_ids": message_ids, "bot_ids": bot_ids}
    rows = prepared.execute(session, _LOOK_AND_WAIT if waits else _LOOK_AT_THE_FREE, asked).all()
    orgs = [row for row in rows if row.place is None]
    hindrances = {row.place: Hindrance(bool(row.is_known), row.reasons) for row in rows if row.place is not None}
    return boundary.pages_of(session, orgs), hindrances, {row.org_id for row in orgs if row.is_suspended}


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
