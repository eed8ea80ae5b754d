"""The month in numbers, by day and by bot; months that are over; and the statement as a file."""

import calendar
from dataclasses import dataclass
from typing import Any

import flask
from flask import g

from services.gateway import statements
from services.gateway.pages import shell, views

pages = views.Pages("pages_usage", __name__)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """
    One day in the picture.

    :param height: in percent of the busiest day's; what is not nothing can be seen
    """

    day: str
    messages: int
    refunded: int
    height: int


@pages.view("/usage", permission="usage:read")
def show_usage() -> str:
    period = flask.request.args.get("period", "")
    usage = g.services.quota.get_usage(period=period) if period else shell.usage()
    summary = g.services.quota.get_usage_summary(period=usage["period"])
    is_open = usage["period"] == summary["periods"][0]
    return flask.render_template(
        "pages/usage.html",
        usage=usage,
        used_percent=shell.percent_of(usage),
        is_open=is_open,
        credits=g.services.quota.list_credits() if is_open and usage["credits_remaining"] else [],
        bars=bars(usage["period"], summary["days"]),
        bots=summary["bots"],
        periods=summary["periods"],
    )


@pages.view("/usage/statement.csv", permission="usage:read")
def download_statement() -> flask.Response:
    """As the API gives it; that one never reads the cookie."""
    return statements.answer(flask.request.args.get("period", ""))


def bars(period: str, days: list[dict[str, Any]]) -> list[Bar]:
    """Each day of the month; and those beside it on which, by a clock set back, something was counted in it."""
    year, month = map(int, period.split("-"))
    whole: dict[str, dict[str, Any]] = {
        f"{period}-{day:02}": {} for day in range(1, calendar.monthrange(year, month)[1] + 1)
    }
    found: dict[str, dict[str, Any]] = {**whole, **{day["day"]: day for day in days}}
    most = max((day["messages"] for day in days), default=0)
    return [
        Bar(
            day=name,
            messages=day.get("messages", 0),
            refunded=day.get("refunded", 0),
            height=-(-100 * day.get("messages", 0) // most) if most else 0,
        )
        for name, day in sorted(found.items())
    ]
