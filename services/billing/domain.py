"""
An org's subscription: what it is, what may be asked of it, and what follows from what Stripe says. Pure.

`follow` is the heart: our state and Stripe's object in, what has changed out. It says nothing when nothing changed.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, assert_never

from services.billing.catalogue import FREE, Catalogue
from services.billing.events import (
    ChangeRequested,
    ChangeScheduled,
    ChangeWithdrawn,
    CheckoutOpened,
    CustomerLinked,
    PaymentFailed,
    PaymentRecovered,
    PeriodStarted,
    RequestGivenUp,
    SubscriptionChanged,
    SubscriptionEvent,
)
from shared import clock, errors

At = Literal["now", "period_end"]
Call = Literal[
    "checkout",
    "upgrade",
    "downgrade",
    "downgrade_at_period_end",
    "cancel",
    "cancel_at_period_end",
    "withdraw_downgrade",
    "withdraw_cancellation",
]

PAID = frozenset({"active", "trialing"})
OWING = frozenset({"past_due", "unpaid"})


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """:param at: the end of the period that is paid"""

    plan: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Owing:
    """An invoice is unpaid. `plan` is what the org comes back to when it pays."""

    plan: str
    since: datetime
    grace_until: datetime


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """
    :param version: of the last SubscriptionChanged; 0: the org's founding was not heard yet
    :param plan: what the org has now; Free while it is `unpaid`
    :param requested: the plan that a person asked for last, until it is there or was given up
    :param period_end: of the last period that was paid
    """

    org_id: str = ""
    version: int = 0
    plan: str = FREE
    status: str = "active"
    customer_id: str = ""
    subscription_id: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None
    requested: str = ""
    request_id: str = ""
    scheduled: Scheduled | None = None
    owing: Owing | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """
    What Stripe says of an org's subscription at the moment of looking; as it stands, if there is none.

    :param status: Stripe's own word
    :param plan: that of the price
    :param kept_plan: what was paid for until `kept_until`, where the price was lowered ahead for the next period
    :param pending_plan: a change that waits for a payment
    :param changed_at: when it began, was last charged for, or ended
    :param payment_url: where the open invoice can be paid
    """

    subscription_id: str = ""
    item_id: str = ""
    status: str = "none"
    plan: str = FREE
    kept_plan: str = ""
    kept_until: datetime | None = None
    cancel_at_period_end: bool = False
    pending_plan: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None
    changed_at: datetime | None = None
    invoice_id: str = ""
    payment_url: str = ""

    @property
    def exists(self) -> bool:
        return self.status in PAID | OWING


def evolve(state: Subscription, fact: SubscriptionEvent) -> Subscription:
    match fact:
        case SubscriptionChanged():
            return _changed(state, fact)
        case PaymentFailed():
            owing = Owing(plan=fact.plan, since=clock.parse(fact.since), grace_until=clock.parse(fact.grace_until))
            return replace(state, owing=owing, status="past_due")
        case PaymentRecovered():
            return replace(state, owing=None)
        case CustomerLinked():
            return replace(state, customer_id=fact.customer_id)
        case ChangeRequested():
            return replace(state, requested=fact.plan, request_id=fact.intent_id)
        case RequestGivenUp():
            return replace(state, requested="", request_id="") if fact.intent_id == state.request_id else state
        case CheckoutOpened():
            return state
        case ChangeScheduled():
            scheduled = Scheduled(plan=fact.plan, at=clock.parse(fact.takes_effect_at))
            return replace(state, scheduled=scheduled, requested="", request_id="")
        case ChangeWithdrawn():
            return replace(state, scheduled=None)
        case PeriodStarted():
            return replace(
                state,
                subscription_id=fact.subscription_id,
                period_start=clock.parse(fact.starts_at),
                period_end=clock.parse(fact.ends_at),
            )
        case _:
            assert_never(fact)


def _changed(state: Subscription, fact: SubscriptionChanged) -> Subscription:
    state = replace(state, org_id=fact.org_id, version=fact.version, status=fact.status)
    if fact.status == "active":
        state = replace(state, owing=None)
    if fact.plan != state.plan:
        state = replace(state, plan=fact.plan, scheduled=None, requested="", request_id="")
    if fact.plan == FREE and fact.status == "active":
        state = replace(state, subscription_id="", period_start=None, period_end=None, scheduled=None)
    return state


def begin(state: Subscription, *, org_id: str, plans: Catalogue, now: datetime) -> list[SubscriptionEvent]:
    """Put a new org on Free, once."""
    if state.version > 0:
        return []
    nothing = replace(state, org_id=org_id, plan="")
    return [_subscription_changed(nothing, "started", _Standing(plan=FREE, status="active"), plans, now)]


def link(state: Subscription, *, org_id: str, customer_id: str) -> list[SubscriptionEvent]:
    if state.customer_id == customer_id:
        return []
    return [CustomerLinked(org_id=org_id, customer_id=customer_id)]


def request(
    state: Subscription, *, intent_id: str, plan: str, at: str | None, plans: Catalogue
) -> list[SubscriptionEvent]:
    """
    A person wants another plan.

    :raises Invalid: `unknown_plan`, `invalid_at`, or `upgrade_is_immediate`
    :raises Conflict: `plan_unchanged`; `change_scheduled` if another change waits; `payment_due` before that is paid
    """
    when = timing(state, plan=plan, at=at, plans=plans)
    if state.owing and plan != FREE:
        raise errors.Conflict("payment_due", "Pay the open invoice first; then the plan can be changed.")
    if state.scheduled and not (plan == FREE and when == "now"):
        raise errors.Conflict("change_scheduled", "A change is scheduled already; withdraw it first.")
    if plan == state.plan and state.status != "unpaid":
        raise errors.Conflict("plan_unchanged", "The organisation has this plan already.")
    return [ChangeRequested(org_id=state.org_id, intent_id=intent_id, plan=plan, at=when)]


def timing(state: Subscription, *, plan: str, at: str | None, plans: Catalogue) -> At:
    """
    When a change takes effect: an upgrade now, a downgrade now unless asked otherwise, a cancellation at the end of
    the period unless asked otherwise.

    :raises Invalid: `unknown_plan`, `invalid_at`, or `upgrade_is_immediate`
    """
    is_upgrade = plans.rank(plan) > plans.rank(state.plan)
    match at:
        case None:
            return "period_end" if plan == FREE and state.status != "unpaid" else "now"
        case "now":
            return "now"
        case "period_end" if is_upgrade:
            raise errors.Invalid("upgrade_is_immediate", "An upgrade takes effect now; leave out `at`.")
        case "period_end":
            return "period_end"
        case _:
            raise errors.Invalid("invalid_at", "`at` is now or period_end.")


def withdraw(state: Subscription) -> list[SubscriptionEvent]:
    """
    Only whether it may be asked; that it happened is for Stripe to say.

    :raises Conflict: `nothing_scheduled`
    """
    if state.scheduled is None:
        raise errors.Conflict("nothing_scheduled", "No change is scheduled.")
    return []


def open_checkout(
    state: Subscription, *, session_id: str, plan: str, expires_at: datetime
) -> list[SubscriptionEvent]:
    until = clock.rfc3339(expires_at)
    return [CheckoutOpened(org_id=state.org_id, session_id=session_id, plan=plan, expires_at=until)]


def give_up(state: Subscription, *, intent_id: str) -> list[SubscriptionEvent]:
    if state.request_id != intent_id:
        return []
    return [RequestGivenUp(org_id=state.org_id, intent_id=intent_id)]


def call_for(seen: Seen, *, plan: str, at: str, plans: Catalogue) -> Call | None:
    """
    What must be asked of Stripe so that its subscription becomes what a person wants; None if it is so already.

    Asked anew before each call, so that a change that was interrupted goes on where it stopped.
    """
    if plan == FREE:
        if not seen.exists or (at == "period_end" and seen.cancel_at_period_end):
            return None
        return "cancel" if at == "now" else "cancel_at_period_end"
    if not seen.exists:
        return "checkout"
    if at == "period_end":
        return None if seen.plan == plan else "downgrade_at_period_end"
    current = entitled_plan(seen, plans)
    if current == plan:
        return None
    return "upgrade" if plans.rank(plan) > plans.rank(current) else "downgrade"


def call_to_withdraw(seen: Seen, *, plans: Catalogue) -> Call | None:
    if seen.exists and seen.cancel_at_period_end:
        return "withdraw_cancellation"
    if seen.exists and entitled_plan(seen, plans) != seen.plan:
        return "withdraw_downgrade"
    return None


def entitled_plan(seen: Seen, plans: Catalogue) -> str:
    """The plan that is paid for: a price that was lowered ahead counts only from the next period on."""
    waits = seen.kept_plan in plans.ids and seen.kept_until is not None and seen.kept_until == seen.period_end
    if waits and plans.rank(seen.kept_plan) > plans.rank(seen.plan):
        return seen.kept_plan
    return seen.plan


@dataclass(frozen=True, kw_only=True)
class _Standing:
    """What the org has by what was seen."""

    plan: str
    status: str
    scheduled: Scheduled | None = None


def follow(state: Subscription, *, seen: Seen, plans: Catalogue, now: datetime) -> list[SubscriptionEvent]:
    """
    Take over what Stripe says: at most one SubscriptionChanged, with what belongs to it; nothing if it is known.
    """
    standing = _standing(state, seen, plans, now)
    action = _action(state, seen, standing, plans)
    facts = _payment(state, seen, plans, now)
    if action is not None:
        moment = _effective_at(state, seen, standing, action, now)
        facts.append(_subscription_changed(state, action, standing, plans, moment))
    return [*facts, *_schedule(state, standing), *_period(state, seen)]


def _standing(state: Subscription, seen: Seen, plans: Catalogue, now: datetime) -> _Standing:
    if not seen.exists:
        return _Standing(plan=FREE, status="active")
    plan, scheduled = entitled_plan(seen, plans), _scheduled(seen, plans)
    if seen.status in PAID:
        return _Standing(plan=plan, status="active", scheduled=scheduled)
    grace_until = state.owing.grace_until if state.owing else now + plans.grace_period
    if now < grace_until and state.status != "unpaid":
        return _Standing(plan=plan, status="past_due", scheduled=scheduled)
    return _Standing(plan=FREE, status="unpaid", scheduled=scheduled)


def _scheduled(seen: Seen, plans: Catalogue) -> Scheduled | None:
    if seen.period_end is None:
        return None
    if seen.cancel_at_period_end:
        return Scheduled(plan=FREE, at=seen.period_end)
    if entitled_plan(seen, plans) != seen.plan:
        return Scheduled(plan=seen.plan, at=seen.period_end)
    return None


def _action(state: Subscription, seen: Seen, standing: _Standing, plans: Catalogue) -> str | None:
    """The one word for the change. Whose doing it was decides between a person's words and `corrected`."""
    if standing.status == "unpaid":
        if state.status != "unpaid":
            return "fell_back"
    elif state.owing and seen.status in PAID:
        return "recovered"
    elif standing.plan != state.plan or state.status == "unpaid":
        return _change_of_plan(state, standing, plans)
    if standing.scheduled != state.scheduled:
        return "scheduled" if standing.scheduled else "withdrawn"
    return "renewed" if _is_renewed(state, seen) else None


def _change_of_plan(state: Subscription, standing: _Standing, plans: Catalogue) -> str:
    if standing.plan != state.requested and not _came_due(state, standing):
        return "corrected"
    if standing.plan == FREE:
        return "canceled"
    return "upgraded" if plans.rank(standing.plan) > plans.rank(state.plan) else "downgraded"


def _came_due(state: Subscription, standing: _Standing) -> bool:
    return state.scheduled is not None and state.scheduled.plan == standing.plan


def _is_renewed(state: Subscription, seen: Seen) -> bool:
    if seen.status not in PAID or seen.subscription_id != state.subscription_id:
        return False
    return state.period_end is not None and seen.period_end is not None and seen.period_end > state.period_end


def _effective_at(state: Subscription, seen: Seen, standing: _Standing, action: str, now: datetime) -> datetime:
    """When it took effect, which may be a while before we heard of it."""
    moment = now
    if action == "fell_back" and state.owing:
        moment = state.owing.grace_until
    elif action in ("upgraded", "downgraded", "canceled"):
        if state.scheduled and _came_due(state, standing):
            moment = state.scheduled.at
        elif seen.changed_at:
            moment = seen.changed_at
    return min(moment, now)


def _payment(state: Subscription, seen: Seen, plans: Catalogue, now: datetime) -> list[SubscriptionEvent]:
    if seen.status in OWING and state.owing is None:
        return [
            PaymentFailed(
                org_id=state.org_id,
                plan=entitled_plan(seen, plans),
                since=clock.rfc3339(now),
                grace_until=clock.rfc3339(now + plans.grace_period),
            )
        ]
    if seen.status in PAID and state.owing is not None:
        return [
            PaymentRecovered(org_id=state.org_id, plan=entitled_plan(seen, plans), recovered_at=clock.rfc3339(now))
        ]
    return []


def _schedule(state: Subscription, standing: _Standing) -> list[SubscriptionEvent]:
    known = state.scheduled if standing.plan == state.plan else None  # a change of plan has emptied the schedule
    if standing.scheduled == known:
        return []
    if standing.scheduled is None:
        return [ChangeWithdrawn(org_id=state.org_id)]
    return [
        ChangeScheduled(
            org_id=state.org_id,
            plan=standing.scheduled.plan,
            takes_effect_at=clock.rfc3339(standing.scheduled.at),
        )
    ]


def _period(state: Subscription, seen: Seen) -> list[SubscriptionEvent]:
    if seen.status not in PAID or seen.period_start is None or seen.period_end is None:
        return []
    known = (state.subscription_id, state.period_start, state.period_end)
    if known == (seen.subscription_id, seen.period_start, seen.period_end):
        return []
    return [
        PeriodStarted(
            org_id=state.org_id,
            subscription_id=seen.subscription_id,
            starts_at=clock.rfc3339(seen.period_start),
            ends_at=clock.rfc3339(seen.period_end),
        )
    ]


def _subscription_changed(
    state: Subscription, action: str, standing: _Standing, plans: Catalogue, moment: datetime
) -> SubscriptionChanged:
    limits = plans.plan(standing.plan)
    return SubscriptionChanged(
        org_id=state.org_id,
        version=state.version + 1,
        plan_before=state.plan,
        plan=standing.plan,
        action=action,
        status=standing.status,
        message_limit=limits.messages,
        bot_limit=limits.bots,
        max_resets_per_month=limits.max_resets_per_month,
        effective_at=clock.rfc3339(moment),
    )
