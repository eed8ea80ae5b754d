"""
What Stripe says of a subscription, and what follows from it. Pure.

`follow` is the heart of billing: our state and Stripe's object in, what has changed out. It says nothing when nothing
changed, so it does not matter why we looked, how often, or in which order the occasions came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.billing import domain
from services.billing.catalogue import FREE, Catalogue
from services.billing.domain import Scheduled, Standing, Subscription
from services.billing.events import (
    ChangeScheduled,
    ChangeWithdrawn,
    PaymentFailed,
    PaymentRecovered,
    PeriodStarted,
    SubscriptionEvent,
)
from shared import clock

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
class Seen:
    """
    What Stripe says of an org's subscription at the moment of looking; as it stands, if there is none.

    :param status: Stripe's own word
    :param plan: that of the price; empty if the price is of no plan
    :param kept_plan: what was paid for until `kept_until`, where the price was lowered ahead for the next period
    :param pending_plan: a change that waits for a payment
    :param changed_at: when it began, was last charged for, or ended
    :param unpaid_since: of what owes: when the first bill was drawn up that is not paid yet
    :param draft_id: of what owes: the last bill, where nobody can pay it as it is
    :param payment_url: where the last bill can be paid
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
    unpaid_since: datetime | None = None
    draft_id: str = ""
    payment_url: str = ""

    @property
    def exists(self) -> bool:
        return self.status in PAID | OWING

    def entitled_plan(self, plans: Catalogue) -> str:
        """The plan that is paid for: a price that was lowered ahead counts only from the next period on."""
        waits = self.kept_plan in plans.ids and self.kept_until is not None and self.kept_until == self.period_end
        if waits and plans.rank(self.kept_plan) > plans.rank(self.plan):
            return self.kept_plan
        return self.plan


def chosen(found: Sequence[Seen], *, known: str) -> Seen:
    """
    The one of a customer's subscriptions that counts: of those that run one that is paid, then the one that we have
    followed, then the oldest. If none runs, the last.

    :param found: the newest first
    :param known: the id of the one that we have followed; empty if there is none
    """
    running = [each for each in reversed(found) if each.exists]
    if not running:
        return found[0] if found else Seen()
    return min(running, key=lambda each: (each.status not in PAID, each.subscription_id != known))


def duplicates(found: Sequence[Seen], counts: Seen) -> tuple[Seen, ...]:
    """What runs beside the one that counts: somebody paid twice."""
    return tuple(each for each in found if each.exists and each.subscription_id != counts.subscription_id)


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
    current = seen.entitled_plan(plans)
    if current == plan:
        return None
    return "upgrade" if plans.rank(plan) > plans.rank(current) else "downgrade"


def call_to_withdraw(seen: Seen, *, plans: Catalogue) -> Call | None:
    if seen.exists and seen.cancel_at_period_end:
        return "withdraw_cancellation"
    if seen.exists and seen.entitled_plan(plans) != seen.plan:
        return "withdraw_downgrade"
    return None


def follow(state: Subscription, *, seen: Seen, plans: Catalogue, now: datetime) -> list[SubscriptionEvent]:
    """
    Take over what Stripe says: at most one SubscriptionChanged, with what belongs to it; nothing if it is known.
    """
    settled = _settled(state, seen, now)
    state = domain.evolve(state, settled[0]) if settled else state
    standing = _standing(state, seen, plans, now)
    action = _action(state, seen, standing, plans)
    facts = [*settled, *_payment(state, seen, plans, now)]
    if action is not None:
        moment = _effective_at(state, seen, standing, action, now)
        facts.append(domain.subscription_changed(state, action, standing, plans, moment))
    return [*facts, *_schedule(state, standing), *_period(state, seen)]


def _settled(state: Subscription, seen: Seen, now: datetime) -> list[SubscriptionEvent]:
    """The debt that we know was paid while nobody looked, if the bill that is open now is a later one."""
    if state.owing is None or seen.status not in OWING or seen.unpaid_since is None:
        return []
    if not state.owing.since < seen.unpaid_since <= now:
        return []
    return [_recovered(state, state.owing.plan, now)]


def _standing(state: Subscription, seen: Seen, plans: Catalogue, now: datetime) -> Standing:
    if not seen.exists:
        return Standing(plan=FREE, status="active")
    plan, scheduled = seen.entitled_plan(plans), _scheduled(seen, plans)
    if seen.status in PAID:
        return Standing(plan=plan, status="active", scheduled=scheduled)
    grace_until = state.owing.grace_until if state.owing else now + plans.grace_period
    if now < grace_until and (state.owing is None or state.status != "unpaid"):
        return Standing(plan=plan, status="past_due", scheduled=scheduled)
    return Standing(plan=FREE, status="unpaid", scheduled=scheduled)


def _scheduled(seen: Seen, plans: Catalogue) -> Scheduled | None:
    if seen.period_end is None:
        return None
    if seen.cancel_at_period_end:
        return Scheduled(plan=FREE, at=seen.period_end)
    if seen.entitled_plan(plans) != seen.plan:
        return Scheduled(plan=seen.plan, at=seen.period_end)
    return None


def _action(state: Subscription, seen: Seen, standing: Standing, plans: Catalogue) -> str | None:
    """The one word for the change. Whose doing it was decides between a person's words and `corrected`."""
    if standing.status == "unpaid":
        if state.status != "unpaid":
            return "fell_back"
    elif (state.owing and seen.status in PAID) or (state.owing is None and state.status == "unpaid"):
        return "recovered"
    elif standing.plan != state.plan or state.status == "unpaid":
        return _change_of_plan(state, standing, plans)
    if standing.scheduled != state.scheduled:
        return "scheduled" if standing.scheduled else "withdrawn"
    return "renewed" if _is_renewed(state, seen) else None


def _change_of_plan(state: Subscription, standing: Standing, plans: Catalogue) -> str:
    if standing.plan != state.requested and not _came_due(state, standing):
        return "corrected"
    if standing.plan == FREE:
        return "canceled"
    return "upgraded" if plans.rank(standing.plan) > plans.rank(state.plan) else "downgraded"


def _came_due(state: Subscription, standing: Standing) -> bool:
    return state.scheduled is not None and state.scheduled.plan == standing.plan


def _is_renewed(state: Subscription, seen: Seen) -> bool:
    if seen.status not in PAID or seen.subscription_id != state.subscription_id:
        return False
    return state.period_end is not None and seen.period_end is not None and seen.period_end > state.period_end


def _effective_at(state: Subscription, seen: Seen, standing: Standing, action: str, now: datetime) -> datetime:
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
                plan=seen.entitled_plan(plans),
                since=clock.rfc3339(now),
                grace_until=clock.rfc3339(now + plans.grace_period),
            )
        ]
    if seen.status in PAID and state.owing is not None:
        return [_recovered(state, seen.entitled_plan(plans), now)]
    return []


def _recovered(state: Subscription, plan: str, now: datetime) -> PaymentRecovered:
    return PaymentRecovered(org_id=state.org_id, plan=plan, recovered_at=clock.rfc3339(now))


def _schedule(state: Subscription, standing: Standing) -> list[SubscriptionEvent]:
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
