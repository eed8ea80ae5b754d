"""
The rules of an org's month: how many messages are left, and what changes that. Pure.

The help page: "The message limit resets every first day of the month. If you reach this limit, your bots will stop
working", and "When you take action on your subscription, your limits reset".
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.quota import credits
from services.quota.credits import Credits
from services.quota.events import (
    BotsRestarted,
    BotsStopped,
    CreditCarried,
    CreditExpired,
    CreditGranted,
    CreditReturned,
    LedgerEvent,
    LimitChanged,
    MessageRecorded,
    MessageRefunded,
    Notice,
    PeriodOpened,
    QuotaReset,
    UsageReset,
    UsageThresholdReached,
)
from shared import errors
from shared.frozen import changed

RESETTING = frozenset({"started", "upgraded", "downgraded", "canceled"})  # what a person does to a subscription
THRESHOLDS = (100, 80)  # percent of the limit, the highest first


@dataclass(frozen=True, kw_only=True)
class Month:
    """
    One org's month as its ledger tells it.

    :param period: the calendar month in UTC, `2026-11`; empty before the first
    :param generation: how often usage was reset in this month; `used` counts within it
    :param used: how many of the plan's messages; what was taken from a credit is not among them
    :param stopped: the others were told that no message is left
    :param threshold: the highest that was told of this month and limit, in percent
    """

    org_id: str = ""
    period: str = ""
    plan: str = ""
    limit: int = 0
    max_resets: int = 0
    subscription_version: int = 0
    generation: int = 0
    used: int = 0
    stopped: bool = False
    threshold: int = 0
    credits: Credits = ()

    @property
    def remaining(self) -> int:
        """Of the plan and of credits together."""
        return max(0, self.limit - self.used) + self.credits_remaining

    @property
    def credits_remaining(self) -> int:
        return credits.remaining(self.credits)

    @property
    def next_credit(self) -> str:
        """The id of the credit that the next message is taken from; empty while the plan has one left."""
        return credits.next_to_spend(self.credits) if self.used >= self.limit else ""

    @property
    def resets_left(self) -> int:
        return max(0, self.max_resets - self.generation)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """
    A message that was admitted: `used` counted it in this period and generation, unless it came from a credit.

    :param credit_id: the credit that it was taken from; empty: from the plan's own messages
    """

    message_id: str
    bot_id: str
    period: str
    generation: int
    recorded_at: datetime
    refunded: bool
    credit_id: str = ""


Facts = list[LedgerEvent | Notice]


def admit(month: Month, *, message_id: str, bot_id: str) -> Facts:
    """
    Count one message, the plan's first and then a credit's, and say so if it was the last.

    :raises LimitReached: if the month has no message left, and no credit has
    """
    if month.remaining == 0:
        raise errors.LimitReached(
            "message_limit_reached",
            f"All {month.limit} messages of {month.period} are used.",
            {"used": month.used, "limit": month.limit, "credits_remaining": 0},
        )
    credit_id = month.next_credit
    facts: Facts = [MessageRecorded(message_id=message_id, bot_id=bot_id, credit_id=credit_id)]
    facts += _threshold(month, used=month.used + (not credit_id))
    if month.remaining == 1:
        facts.append(BotsStopped(org_id=month.org_id, period=month.period, reason="limit"))
    return facts


def refund(month: Month, *, message: Counted, at: datetime, window: timedelta) -> Facts:
    """
    Take a message back, once; and say so if there are messages again.

    It gives back to the count that it is part of, and to no later one: a month or a reset began that one at zero.
    What came from a credit goes back to it, whatever the month, unless it has expired.

    :raises Conflict: `refund_window_over`
    """
    if message.refunded:
        return []
    if at >= message.recorded_at + window:
        raise errors.Conflict("refund_window_over", f"A message can be refunded for {_minutes(window)} only.")
    in_count = (message.period, message.generation) == (month.period, month.generation)
    gives_back = in_count and not message.credit_id
    facts: Facts = [
        MessageRefunded(message_id=message.message_id, bot_id=message.bot_id, gives_back=gives_back),
    ]
    if any(credit.id == message.credit_id for credit in month.credits):
        facts.append(CreditReturned(credit_id=message.credit_id, message_id=message.message_id))
    if month.stopped and after(month, facts).remaining > 0:
        facts.append(BotsRestarted(org_id=month.org_id, period=month.period, reason="refund"))
    return facts


def turn(month: Month, *, period: str) -> Facts:
    """Open the calendar month that it is by now. A month never goes back: a clock set back counts in the open one."""
    if period <= month.period:
        return []
    facts: Facts = [
        PeriodOpened(
            period=period,
            plan=month.plan,
            limit=month.limit,
            max_resets=month.max_resets,
            subscription_version=month.subscription_version,
        ),
        *credits.carry(month.credits),
    ]
    if month.stopped and month.limit > 0:
        facts.append(BotsRestarted(org_id=month.org_id, period=period, reason="month"))
    return facts


def grant(
    month: Month, *, credit_id: str, messages: int, expires_at: datetime, at: datetime, reason_version: int
) -> Facts:
    """
    Take extra messages, and say so if there are messages again.

    :raises Invalid, Conflict: as `credits.grant`
    """
    granted = credits.grant(
        month.credits,
        credit_id=credit_id,
        messages=messages,
        expires_at=expires_at,
        at=at,
        reason_version=reason_version,
    )
    return [granted, *_told(after(month, [granted]), reason="credit")]


def expire(month: Month, *, at: datetime) -> Facts:
    """Drop the credits whose time is over, and say so if nothing is left then."""
    facts: Facts = [*credits.expire(month.credits, at=at)]
    return facts + _told(after(month, facts), reason="credit") if facts else []


def follow_subscription(
    month: Month,
    *,
    version: int,
    plan: str,
    limit: int,
    max_resets: int,
    action: str,
    effective_period: str,
) -> Facts:
    """
    Take over the limits of a subscription, and begin the count anew where a person's action asks for it.

    :param version: the subscription's; what is not newer than the known one changes nothing
    :param effective_period: the calendar month in which the change took effect
    """
    if version <= month.subscription_version:
        return []
    carried_over = _why_not_reset(month, action=action, max_resets=max_resets, effective_period=effective_period)
    facts: Facts = [
        LimitChanged(
            plan=plan,
            limit=limit,
            max_resets=max_resets,
            subscription_version=version,
            action=action,
            carried_over=carried_over,
        )
    ]
    # An org's first subscription has nothing to reset, and must not use up one of the month's resets.
    if action in RESETTING and not carried_over and month.subscription_version > 0:
        facts += _reset(month, version=version, limit=limit, action=action)
    then = after(month, facts)
    return facts + _threshold(then, used=then.used) + _told(then, reason="subscription")


def evolve(month: Month, fact: Any) -> Month:
    match fact:
        case PeriodOpened():
            return changed(
                month,
                period=fact.period,
                plan=fact.plan,
                limit=fact.limit,
                max_resets=fact.max_resets,
                subscription_version=fact.subscription_version,
                generation=0,
                used=0,
                threshold=0,
                credits=(),
            )
        case MessageRecorded(credit_id=""):
            return changed(month, used=month.used + 1)
        case MessageRecorded():
            return changed(month, credits=credits.spend(month.credits, fact.credit_id))
        case MessageRefunded():
            return changed(month, used=month.used - 1) if fact.gives_back else month
        case LimitChanged():
            return changed(
                month,
                plan=fact.plan,
                limit=fact.limit,
                max_resets=fact.max_resets,
                subscription_version=fact.subscription_version,
                threshold=0 if fact.limit > month.limit else month.threshold,
            )
        case UsageReset():
            return changed(month, generation=fact.generation, used=0, threshold=0)
        case CreditGranted() | CreditCarried() | CreditReturned() | CreditExpired():
            return changed(month, credits=credits.evolve(month.credits, fact))
        case UsageThresholdReached():
            return changed(month, threshold=fact.threshold)
        case BotsStopped():
            return changed(month, stopped=True)
        case BotsRestarted():
            return changed(month, stopped=False)
        case _:
            return month


def after(month: Month, facts: Facts) -> Month:
    for fact in facts:
        month = evolve(month, fact)
    return month


def _minutes(window: timedelta) -> str:
    minutes, seconds = divmod(int(window.total_seconds()), 60)
    return f"{minutes} minutes" if not seconds else f"{int(window.total_seconds())} seconds"


def _why_not_reset(month: Month, *, action: str, max_resets: int, effective_period: str) -> str:
    if action not in RESETTING:
        return ""
    if effective_period < month.period:
        return "earlier_month"
    return "max_resets" if month.generation >= max_resets else ""


def _reset(month: Month, *, version: int, limit: int, action: str) -> Facts:
    generation = month.generation + 1
    return [
        UsageReset(generation=generation, used_before=month.used, action=action, subscription_version=version),
        QuotaReset(
            org_id=month.org_id,
            period=month.period,
            generation=generation,
            limit=limit,
            used_before=month.used,
            action=action,
        ),
    ]


def _threshold(month: Month, *, used: int) -> Facts:
    """
    The highest threshold that is reached and not yet told; one that was passed on the way to it is not told.

    :param used: of the plan's messages, with the one that is being counted
    """
    if used * 100 < month.limit * THRESHOLDS[-1] or month.limit == 0:
        return []
    reached = next((one for one in THRESHOLDS if used * 100 >= month.limit * one), 0)
    if reached <= month.threshold:
        return []
    return [
        UsageThresholdReached(
            org_id=month.org_id,
            period=month.period,
            threshold=reached,
            used=used,
            limit=month.limit,
            credits_remaining=month.credits_remaining,
        )
    ]


def _told(month: Month, *, reason: str) -> Facts:
    """Tell the others where what has changed begins or ends the standstill."""
    if month.remaining == 0 and not month.stopped:
        return [BotsStopped(org_id=month.org_id, period=month.period, reason=reason)]
    if month.remaining > 0 and month.stopped:
        return [BotsRestarted(org_id=month.org_id, period=month.period, reason=reason)]
    return []
