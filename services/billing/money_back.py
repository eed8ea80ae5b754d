"""Money that went back, or that a cardholder wants back at the bank: what is new of it by what Stripe says. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.billing.domain import Subscription
from services.billing.events import PaymentDisputed, PaymentRefunded, SubscriptionEvent
from shared import clock


@dataclass(frozen=True, kw_only=True)
class Dispute:
    """:param status: Stripe's word: `needs_response`, `under_review`, `won`, `lost`, `warning_…`"""

    id: str
    amount_cents: int
    reason: str
    status: str


@dataclass(frozen=True, kw_only=True)
class Payment:
    """
    A charge at Stripe.

    :param refunded_cents: all that went back of it so far
    """

    charge_id: str
    currency: str
    paid_cents: int
    refunded_cents: int = 0
    disputes: tuple[Dispute, ...] = ()


def follow(state: Subscription, *, payments: Sequence[Payment], now: datetime) -> list[SubscriptionEvent]:
    """
    What went back beyond what is known, and each dispute when it begins and when its status changes.

    The plan stays: whoever should not have it any more is canceled, by a person.
    """
    facts: list[SubscriptionEvent] = []
    for payment in payments:
        if payment.refunded_cents > state.refunded.get(payment.charge_id, 0):
            facts.append(_refunded(state, payment, now))
        facts += [
            _disputed(state, payment, dispute, now)
            for dispute in payment.disputes
            if dispute.status != state.disputes.get(dispute.id)
        ]
    return facts


def _refunded(state: Subscription, payment: Payment, now: datetime) -> PaymentRefunded:
    return PaymentRefunded(
        org_id=state.org_id,
        charge_id=payment.charge_id,
        paid_cents=payment.paid_cents,
        refunded_cents=payment.refunded_cents,
        currency=payment.currency,
        seen_at=clock.rfc3339(now),
    )


def _disputed(state: Subscription, payment: Payment, dispute: Dispute, now: datetime) -> PaymentDisputed:
    return PaymentDisputed(
        org_id=state.org_id,
        dispute_id=dispute.id,
        charge_id=payment.charge_id,
        amount_cents=dispute.amount_cents,
        currency=payment.currency,
        reason=dispute.reason,
        status=dispute.status,
        seen_at=clock.rfc3339(now),
    )
