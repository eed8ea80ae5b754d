"""quota's doors for whoever looks: the month and its forecast, days and bots, the statement. They count nothing."""

import re
from typing import Any

from sqlalchemy.orm import Session

from services.quota import boundary, erasing, reports, statement
from shared import doors, errors, rpc

PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
MOST_ORGS = 250


class Reading(doors.Service):
    """Its methods are doors of the quota service."""

    @doors.query("usage:read")
    def get_usage(self, session: Session, period: str = "") -> dict[str, Any]:
        """
        A month in numbers; without a period the open one. Looking opens a month in which nobody has sent anything.

        :param period: the calendar month in UTC, as `2026-11`
        :returns: `{"period", "used", "limit", "credits_remaining", "remaining", "resets_at", "blocked", "forecast",
            "plan", "resets_left", "subscription_version", "bot_limit"}`; of a month that is over the last is absent
            and the two before it are 0. `forecast` is `{"runs_out_at"}`: when the messages run out at the pace of the
            last days, null if they last or none is left
        :raises Invalid: `invalid_period`
        :raises NotFound: `unknown_period`: nothing was counted in it, or it has not begun
        :raises Unavailable: `org_not_ready` for an org of which quota has not heard, yet or ever
        """
        org_id = self.actor.org_id
        if period and _checked(period) != self._looked_at(session).month.period:
            return reports.closed_month(session, org_id, period)
        page = erasing.open_page(session, org_id)
        boundary.write(session, [page])
        return {**reports.open_months(session, [page.month])[org_id], "bot_limit": page.bot_limit}

    @doors.query("usage:watch")
    def watch_usage(self, session: Session, org_ids: list[str]) -> dict[str, dict[str, Any]]:
        """
        The open months of many orgs, looked at without a lock, for those who want to see them change.

        :param org_ids: 250 at most
        :returns: by org what `get_usage` gives; orgs of which quota has not heard are left out
        :raises Invalid: `invalid_items` if there are more
        """
        if len(org_ids) > MOST_ORGS:
            raise errors.Invalid("invalid_items", f"At most {MOST_ORGS} orgs are looked at together.")
        pages = boundary.look(session, org_ids)
        return reports.open_months(
            session, [page.month for page in pages.values() if page.month.subscription_version]
        )

    @doors.query("usage:read")
    def list_daily_usage(
        self, session: Session, period: str = "", after: str = "", limit: rpc.PageSize = 50
    ) -> dict[str, Any]:
        """
        How many messages each bot sent on each day, in the order of days and bots.

        :param period: the calendar month in UTC, as `2026-11`; without one the open one
        :param after: `day/bot_id` of the last item of the page before
        :returns: `{"period", "items"}`, of each item `{"day", "bot_id", "messages", "refunded"}`. Days are in UTC; a
            refund stands on the day on which it was made, and is not taken off `messages`
        :raises Invalid: `invalid_period`
        :raises NotFound: `unknown_period`
        :raises Unavailable: `org_not_ready`
        """
        period = self._period(session, period)
        day, _, bot_id = after.partition("/")
        found = reports.days(session, self.actor.org_id, period, after=(day, bot_id), limit=limit)
        return {"period": period, "items": found}

    @doors.query("usage:read")
    def get_usage_summary(self, session: Session, period: str = "") -> dict[str, Any]:
        """
        A month by day and by bot, for people.

        :param period: the calendar month in UTC, as `2026-11`; without one the open one
        :returns: `{"period", "days", "bots", "periods"}`: of each day and bot `messages` and `refunded`, of a bot
            its `name` too; at most 100 bots, the busiest first. `periods` are the months that there are, the newest
            first, at most 24
        :raises Invalid: `invalid_period`
        :raises NotFound: `unknown_period`
        :raises Unavailable: `org_not_ready`
        """
        period = self._period(session, period)
        return {"period": period, **reports.summary(session, self.actor.org_id, period)}

    @doors.query("usage:read")
    def list_statement(
        self, session: Session, period: str = "", after: int = 0, used: int = 0, limit: rpc.PageSize = 50
    ) -> dict[str, Any]:
        """
        Every entry of a month's ledger in order, and why it is there.

        :param period: the calendar month in UTC, as `2026-11`; without one the open one
        :param after: `entry` of the last item of the page before
        :param used: its `used`, from which the count goes on
        :returns: `{"period", "items"}`, of each item `{"entry", "at", "kind", "change", "used", "message_id",
            "bot_id", "credit_id", "plan", "limit", "action", "why"}`. `kind` is `period_opened`, `message`, `refund`,
            `limit_changed`, `usage_reset`, `credit_granted`, `credit_carried`, `credit_returned`, `credit_expired`,
            and may become others; `used` is the count of the plan's messages after it, and `change` what it did to
            that
        :raises Invalid: `invalid_period`
        :raises NotFound: `unknown_period`
        :raises Conflict: `month_archived`: its entries are in a file
        :raises Unavailable: `org_not_ready`
        """
        period = self._period(session, period)
        statement.check(session, self.actor.org_id, period)
        items = statement.entries(session, self.actor.org_id, period, after=after, used=used, limit=limit)
        return {"period": period, "items": items}

    def _period(self, session: Session, period: str) -> str:
        """
        The month that is meant, opened if it is the one that it is by now.

        :raises Unavailable: `org_not_ready`
        """
        wanted = _checked(period) if period else ""
        page = self._looked_at(session)
        if page.facts and wanted in ("", page.month.period):
            boundary.write(session, [erasing.open_page(session, self.actor.org_id)])
        return wanted or page.month.period

    def _looked_at(self, session: Session) -> boundary.Page:
        page = boundary.look(session, [self.actor.org_id]).get(self.actor.org_id)
        if page is None:
            raise erasing.absent(session, self.actor.org_id)
        return page


def _checked(period: str) -> str:
    if not PERIOD.fullmatch(period):
        raise errors.Invalid("invalid_period", "A period is a calendar month, as 2026-11.")
    return period
