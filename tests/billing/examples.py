"""An org's subscription as the pure tests need it: founded, subscribed, and what Stripe might say of it."""

from datetime import UTC, datetime

from services.billing import catalogue, domain, sight
from services.billing.domain import Subscription
from services.billing.events import SubscriptionChanged
from services.billing.sight import Seen

PLANS = catalogue.load()
NOTHING = Subscription()
START = datetime(2026, 4, 1, tzinfo=UTC)
END = datetime(2026, 5, 1, tzinfo=UTC)
NEXT_END = datetime(2026, 6, 1, tzinfo=UTC)
NOW = datetime(2026, 4, 16, 12, tzinfo=UTC)


def after(*facts, state=NOTHING):
    for fact in facts:
        state = domain.evolve(state, fact)
    return state


def founded():
    return after(*domain.begin(Subscription(), org_id="org_1", plans=PLANS, now=START))


def subscribed(plan, **changes):
    """An org that asked for a plan, and paid for it."""
    state = after(*domain.request(founded(), intent_id="int_1", plan=plan, at=None, plans=PLANS), state=founded())
    return followed(state, seen(plan, **changes), now=START)


def seen(plan, **changes):
    usual = {
        "subscription_id": "sub_1",
        "item_id": "si_1",
        "status": "active",
        "plan": plan,
        "period_start": START,
        "period_end": END,
        "changed_at": START,
    }
    return Seen(**(usual | changes))


def follow(state, what, now=NOW):
    return sight.follow(state, seen=what, plans=PLANS, now=now)


def followed(state, what, now=NOW):
    return after(*follow(state, what, now), state=state)


def requested(state, plan, at=None):
    return after(*domain.request(state, intent_id="int_2", plan=plan, at=at, plans=PLANS), state=state)


def changes(facts):
    return [(fact.action, fact.plan_before, fact.plan) for fact in facts if isinstance(fact, SubscriptionChanged)]


def kinds(facts):
    return [type(fact) for fact in facts]
