"""When the month's messages run out, if it goes on like this. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

DAYS = 7


def runs_out_at(*, remaining: int, counted: Mapping[str, int], now: datetime, resets_at: datetime) -> datetime | None:
    """
    At the pace of the last days, rounded up to the hour; None if the messages last, or none is left.

    The pace is what was counted today and in the seven days before, over the time since the first of these days on
    which anything was. That time is taken for a day at least: a burst in an org's first hour foretells nothing.

    :param remaining: of the plan and of credits together
    :param counted: messages by day in UTC, as 2026-11-24, less refunds
    """
    first = since(now)
    recent = {day: number for day, number in counted.items() if first <= day <= f"{now:%Y-%m-%d}" and number > 0}
    if not recent or remaining <= 0:
        return None
    elapsed = max(now - datetime.fromisoformat(min(recent)).replace(tzinfo=UTC), timedelta(days=1))
    seconds = elapsed.total_seconds() * remaining / sum(recent.values())
    if seconds >= (resets_at - now).total_seconds():
        return None
    hour = _next_hour(now + timedelta(seconds=seconds))
    return hour if hour < resets_at else None


def since(now: datetime) -> str:
    """The first day that counts."""
    return f"{now - timedelta(days=DAYS):%Y-%m-%d}"


def _next_hour(moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    return hour if hour == moment else hour + timedelta(hours=1)
