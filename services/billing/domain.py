"""
An org's subscription: what it is, and what may be asked of it. Pure.

What follows from what Stripe says is in `sight`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, assert_never

from services.billing.catalogue import FREE, Catalogue
from services.billing.events import (
    ChangeRequested,
    ChangeScheduled,
    ChangeWithdrawn,
    CheckoutOpened,
    CustomerLinked,
    DuplicateSubscriptionEnded,
    PaymentDisputed,
    PaymentFailed,
    PaymentRecovered,
    PaymentRefunded,
    PeriodStarted,
    RequestGivenUp,
    SubscriptionChanged,
    SubscriptionErased,
    SubscriptionEvent,
)
from shared import clock, errors

At = Literal["now", "period_end"]


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
class Standing:
    """What the org has by what was seen."""

    plan: str
    status: str
    scheduled: Scheduled | None = None


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """
    :param version: of the last SubscriptionChanged; 0: the org's founding was not heard yet
    :param plan: what the org has now; Free while it is `unpaid`
    :param requested: the plan that a person asked for last, until it is there or was given up
    :param period_end: of the last period that was paid
    :param former_customers: Stripe's ids of those that it was before, which were deleted there
    :param ended_duplicates: Stripe's ids of second subscriptions that were canceled and refunded
    :param refunded: how much of each payment went back, in cents, by Stripe's id of the charge
    :param disputes: how far each dispute is, by Stripe's id
    """

    org_id: str = ""
    version: int = 0
    plan: str = FREE
    status: str = "active"
    customer_id: str = ""
    former_customers: tuple[str, ...] = ()
    subscription_id: str = ""
    period_start: datetime | None = None
    period_end: datetime | None = None
    requested: str = ""
    request_id: str = ""
    scheduled: Scheduled | None = None
    owing: Owing | None = None
    ended_duplicates: frozenset[str] = frozenset()
    refunded: Mapping[str, int] = field(default_factory=dict)
    disputes: Mapping[str, str] = field(default_factory=dict)
    is_erased: bool = False


def evolve(state: Subscription, fact: SubscriptionEvent) -> Subscription:
    match fact:
        case SubscriptionChanged():
            return _changed(state, fact)
        case PaymentFailed():
            owing = Owing(plan=fact.plan, since=clock.parse(fact.since), grace_until=clock.parse(fact.grace_until))
            return replace(state, owing=owing, status="past_due")
        case PaymentRecovered():
            return replace(state, owing=None)
        case DuplicateSubscriptionEnded() | PaymentRefunded() | PaymentDisputed():
            return _money_back(state, fact)
        case CustomerLinked():
            former = (*state.former_customers, state.customer_id) if state.customer_id else ()
            return replace(state, customer_id=fact.customer_id, former_customers=former)
        case ChangeRequested():
            return replace(state, requested=fact.plan, request_id=fact.intent_id)
        case RequestGivenUp():
            return replace(state, requested="", request_id="") if fact.intent_id == state.request_id else state
        case CheckoutOpened():
            return state
        case ChangeScheduled() | ChangeWithdrawn():
            return _rescheduled(state, fact)
        case PeriodStarted():
            return replace(
                state,
                subscription_id=fact.subscription_id,
                period_start=clock.parse(fact.starts_at),
                period_end=clock.parse(fact.ends_at),
            )
        case SubscriptionErased():
            return replace(state, is_erased=True)
        case _:
            assert_never(fact)


def _rescheduled(state: Subscription, fact: ChangeScheduled | ChangeWithdrawn) -> Subscription:
    match fact:
        case ChangeScheduled():
            scheduled = Scheduled(plan=fact.plan, at=clock.parse(fact.takes_effect_at))
            return replace(state, scheduled=scheduled, requested="", request_id="")
        case ChangeWithdrawn():
            return replace(state, scheduled=None)


def _money_back(
    state: Subscription, fact: DuplicateSubscriptionEnded | PaymentRefunded | PaymentDisputed
) -> Subscription:
    match fact:
        case DuplicateSubscriptionEnded():
            return replace(state, ended_duplicates=state.ended_duplicates | {fact.subscription_id})
        case PaymentRefunded():
            return replace(state, refunded={**state.refunded, fact.charge_id: fact.refunded_cents})
        case PaymentDisputed():
            return replace(state, disputes={**state.disputes, fact.dispute_id: fact.status})


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
    return [subscription_changed(nothing, "started", Standing(plan=FREE, status="active"), plans, now)]


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
        raise errors.Conflict("plan_unchanged", "The organization has this plan already.")
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


def end_duplicate(
    state: Subscription,
    *,
    subscription_id: str,
    plan: str,
    plan_kept: str,
    refunded_cents: int,
    currency: str,
    now: datetime,
) -> list[SubscriptionEvent]:
    """Record, once, that a second subscription is canceled and refunded."""
    if subscription_id in state.ended_duplicates:
        return []
    return [
        DuplicateSubscriptionEnded(
            org_id=state.org_id,
            subscription_id=subscription_id,
            plan=plan,
            plan_kept=plan_kept,
            refunded_cents=refunded_cents,
            currency=currency,
            ended_at=clock.rfc3339(now),
        )
    ]


def erase(state: Subscription) -> list[SubscriptionEvent]:
    """Once, and only what was there."""
    if state.version == 0 or state.is_erased:
        return []
    return [SubscriptionErased(org_id=state.org_id)]


def subscription_changed(
    state: Subscription, action: str, standing: Standing, plans: Catalogue, moment: datetime
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
