"""The arithmetic of periods and part periods, in whole cents and whole seconds. Pure."""

import calendar
from datetime import UTC, datetime


def prorated_cents(amount: int, *, start: int, end: int, at: int) -> int:
    """
    What is left of `amount` for the time from `at` to the end of the period, rounded half up.

    :param at: unix seconds; outside the period it counts as its nearest edge
    """
    total = end - start
    left = min(max(end - at, 0), total)
    return (2 * amount * left + total) // (2 * total)


def months_after(anchor: int, months: int) -> int:
    """The same time of day, `months` later; a day that the month lacks is its last (31 January, 28 February)."""
    moment = datetime.fromtimestamp(anchor, UTC)
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last_day = calendar.monthrange(year, month + 1)[1]
    later = moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))
    return int(later.timestamp())


def next_period_end(anchor: int, current_end: int) -> int:
    """The end of the period that begins at `current_end`: counted from the anchor, so that its day is kept."""
    first, last = (datetime.fromtimestamp(each, UTC) for each in (anchor, current_end))
    months = (last.year - first.year) * 12 + last.month - first.month
    return months_after(anchor, months + 1)
