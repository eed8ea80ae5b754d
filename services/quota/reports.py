"""What is read from the tallies: a month that is over, days and bots, and how long the open one will last."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from services.quota import forecast, ledger, models, projections
from shared import clock, database, errors, personal

MOST_BOTS = 100
MOST_MONTHS = 24

Month, Day = models.UsageMonth, models.UsageDay


def open_months(session: Session, months: Collection[ledger.Month]) -> dict[str, dict[str, Any]]:
    """By org the month in numbers, and its forecast: in one statement for all of them."""
    now = database.now(session)
    counted = _counted_by_day(session, [month.org_id for month in months], since=forecast.since(now))
    return {
        month.org_id: {**projections.usage(month), "forecast": _forecast(month, counted[month.org_id], now)}
        for month in months
    }


def closed_month(session: Session, org_id: str, period: str) -> dict[str, Any]:
    """
    A month that is over, as it ended.

    :raises NotFound: `unknown_period`
    """
    row = _month(session, org_id, period)
    lasting = func.coalesce(func.sum(Day.messages - Day.given_back), 0).label("lasting")
    spent = func.coalesce(func.sum(Day.from_credits), 0).label("spent")
    sums = session.execute(select(lasting, spent).where(Day.org_id == org_id, Day.period == period)).one()
    month = ledger.Month(
        org_id=org_id,
        period=period,
        plan=row.plan,
        limit=row.message_limit,
        generation=row.resets,
        used=int(sums.lasting - sums.spent) - row.reset_used,
    )
    credits_remaining = row.credits - int(sums.spent)
    remaining = month.remaining + credits_remaining
    return {
        **projections.usage(month),
        "credits_remaining": credits_remaining,
        "remaining": remaining,
        "blocked": remaining == 0,
        "forecast": {"runs_out_at": None},
    }


def days(session: Session, org_id: str, period: str, *, after: tuple[str, str], limit: int) -> list[dict[str, Any]]:
    """
    Each bot's messages of each day, in that order, beyond a day and bot.

    :raises NotFound: `unknown_period`
    """
    _month(session, org_id, period)
    ours = select(Day).where(Day.org_id == org_id, Day.period == period)
    wanted = ours.where(tuple_(Day.day, Day.bot_id) > tuple_(*after))
    rows = session.scalars(wanted.order_by(Day.day, Day.bot_id).limit(limit))
    return [
        {"day": row.day, "bot_id": row.bot_id, "messages": row.messages, "refunded": row.refunded} for row in rows
    ]


def summary(session: Session, org_id: str, period: str) -> dict[str, Any]:
    """
    The same, added up by day and by bot; and the months that there are, the newest first.

    :raises NotFound: `unknown_period`
    """
    _month(session, org_id, period)
    sums = func.sum(Day.messages).label("messages"), func.sum(Day.refunded).label("refunded")
    ours = (Day.org_id == org_id, Day.period == period)
    by_day = select(Day.day, *sums).where(*ours).group_by(Day.day).order_by(Day.day)
    by_bot = select(Day.bot_id, *sums).where(*ours).group_by(Day.bot_id).order_by(sums[0].desc(), Day.bot_id)
    bots = session.execute(by_bot.limit(MOST_BOTS)).all()
    names = personal.get_many(session, [bot.bot_id for bot in bots])
    return {
        "days": [
            {"day": row.day, "messages": int(row.messages), "refunded": int(row.refunded)}
            for row in session.execute(by_day)
        ],
        "bots": [
            {
                "bot_id": bot.bot_id,
                "name": names.get(bot.bot_id, {}).get("name", ""),
                "messages": int(bot.messages),
                "refunded": int(bot.refunded),
            }
            for bot in bots
        ],
        "periods": _periods(session, org_id),
    }


def check(session: Session, org_id: str, period: str) -> None:
    """:raises NotFound: `unknown_period`"""
    _month(session, org_id, period)


def _periods(session: Session, org_id: str) -> list[str]:
    known = select(Month.period).where(Month.org_id == org_id)
    return [*session.scalars(known.order_by(Month.period.desc()).limit(MOST_MONTHS))]


def _month(session: Session, org_id: str, period: str) -> models.UsageMonth:
    row = session.get(Month, (org_id, period))
    if row is None:
        raise errors.NotFound("unknown_period", f"Nothing was counted in {period}, or it has not begun.")
    return row


def _counted_by_day(session: Session, org_ids: list[str], *, since: str) -> defaultdict[str, dict[str, int]]:
    """By org and day, less what was refunded on it; across the turn of the month."""
    wanted = (
        select(Day.org_id, Day.day, func.sum(Day.messages - Day.refunded).label("number"))
        .where(Day.org_id.in_(org_ids), Day.period >= since[: len("yyyy-mm")], Day.day >= since)
        .group_by(Day.org_id, Day.day)
    )
    counted: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in session.execute(wanted):
        counted[row.org_id][row.day] = int(row.number)
    return counted


def _forecast(month: ledger.Month, counted: dict[str, int], now: datetime) -> dict[str, Any]:
    resets_at = clock.parse(projections.resets_at(month.period))
    moment = forecast.runs_out_at(remaining=month.remaining, counted=counted, now=now, resets_at=resets_at)
    return {"runs_out_at": clock.rfc3339(moment) if moment else None}
