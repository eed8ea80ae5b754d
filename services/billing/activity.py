"""What an org's activity shows of its subscription and its payments."""

from services.billing import models
from services.billing.events import (
    ChangeRequested,
    ChangeScheduled,
    ChangeWithdrawn,
    CheckoutOpened,
    CustomerLinked,
    DuplicateSubscriptionEnded,
    ErasureDone,
    PaymentDisputed,
    PaymentFailed,
    PaymentRecovered,
    PaymentRefunded,
    PeriodStarted,
    RequestGivenUp,
    SubscriptionChanged,
    SubscriptionErased,
)
from shared import activity
from shared.activity import Actor, Entry


def _requested(fact: ChangeRequested, _actor: Actor) -> Entry:
    return Entry(what="subscription_change_requested", details={"plan": fact.plan, "at": fact.at})


def _given_up(_fact: RequestGivenUp, _actor: Actor) -> Entry:
    return Entry(what="subscription_change_given_up")


def _changed(fact: SubscriptionChanged, _actor: Actor) -> Entry | None:
    """That an org begins on Free is no news."""
    if not fact.plan_before:
        return None
    details = {"plan": fact.plan, "plan_before": fact.plan_before, "status": fact.status}
    return Entry(what=f"subscription_{fact.action}", details=details)


def _failed(fact: PaymentFailed, _actor: Actor) -> Entry:
    return Entry(what="payment_failed", details={"plan": fact.plan, "grace_until": fact.grace_until})


def _recovered(fact: PaymentRecovered, _actor: Actor) -> Entry:
    return Entry(what="payment_recovered", details={"plan": fact.plan})


def _ended(fact: DuplicateSubscriptionEnded, _actor: Actor) -> Entry:
    details = {"plan": fact.plan, "refunded_cents": fact.refunded_cents, "currency": fact.currency}
    return Entry(what="duplicate_subscription_ended", details=details)


def _refunded(fact: PaymentRefunded, _actor: Actor) -> Entry:
    details = {"paid_cents": fact.paid_cents, "refunded_cents": fact.refunded_cents, "currency": fact.currency}
    return Entry(what="payment_refunded", details=details)


def _disputed(fact: PaymentDisputed, _actor: Actor) -> Entry:
    details = {"amount_cents": fact.amount_cents, "currency": fact.currency, "status": fact.status}
    return Entry(what="payment_disputed", details=details)


TRAIL = activity.Trail(
    table=models.Activity,
    shown={
        ChangeRequested: _requested,
        RequestGivenUp: _given_up,
        SubscriptionChanged: _changed,
        PaymentFailed: _failed,
        PaymentRecovered: _recovered,
        DuplicateSubscriptionEnded: _ended,
        PaymentRefunded: _refunded,
        PaymentDisputed: _disputed,
    },
    # What goes with a change is told by SubscriptionChanged: `scheduled`, `withdrawn`, `renewed`.
    hidden=frozenset(
        {
            *(CustomerLinked, CheckoutOpened, ChangeScheduled, ChangeWithdrawn, PeriodStarted),
            *(SubscriptionErased, ErasureDone),
        }
    ),
    ends=SubscriptionErased,
)
