"""
What happened to an org's subscription. Moments are RFC 3339 texts in UTC.

The actions of SubscriptionChanged: started, upgraded, downgraded and canceled are what a person did, and took effect;
scheduled and withdrawn concern a change to come; renewed is a new period paid; fell_back and recovered follow from
payment; corrected is what somebody changed at Stripe without us.
"""

from dataclasses import dataclass
from typing import ClassVar

from shared import events


@dataclass(frozen=True, kw_only=True)
class SubscriptionChanged:
    """
    All that another service needs to know of the subscription from `effective_at` on.

    :param version: dense per org, from 1
    :param plan_before: empty for the first
    :param action: what brought it: `started`, `upgraded`, `downgraded`, `canceled`, `scheduled`, `withdrawn`,
        `renewed`, `fell_back`, `recovered` or `corrected`
    :param status: `active`, `past_due` (in its grace period) or `unpaid` (fell back to Free until it pays)
    :param message_limit: per calendar month
    :param bot_limit: how many bots may run
    :param max_resets_per_month: how many actions in a calendar month may reset its usage
    :param effective_at: when it took effect
    """

    name: ClassVar[str] = "billing.SubscriptionChanged"
    schema: ClassVar[int] = 1

    org_id: str
    version: int
    plan_before: str
    plan: str
    action: str
    status: str
    message_limit: int
    bot_limit: int
    max_resets_per_month: int
    effective_at: str


@dataclass(frozen=True, kw_only=True)
class PaymentFailed:
    """
    A payment failed. It is told once, until one succeeds.

    :param since: when the first of them failed
    :param grace_until: until then the org keeps the plan
    """

    name: ClassVar[str] = "billing.PaymentFailed"
    schema: ClassVar[int] = 1

    org_id: str
    plan: str
    since: str
    grace_until: str


@dataclass(frozen=True, kw_only=True)
class PaymentRecovered:
    """
    What was owed is paid.

    :param recovered_at: when
    """

    name: ClassVar[str] = "billing.PaymentRecovered"
    schema: ClassVar[int] = 1

    org_id: str
    plan: str
    recovered_at: str


@dataclass(frozen=True, kw_only=True)
class DuplicateSubscriptionEnded:
    """
    Somebody paid for a second subscription beside the one that counts. It was canceled, and what was paid for it went
    back.

    :param subscription_id: Stripe's id of the one that was canceled
    :param plan: the plan that was paid for a second time
    :param plan_kept: the plan of the subscription that stays
    :param refunded_cents: what went back to the card; 0 if nothing had been paid by one
    :param currency: of what went back; empty if that is nothing
    :param ended_at: when it was canceled
    """

    name: ClassVar[str] = "billing.DuplicateSubscriptionEnded"
    schema: ClassVar[int] = 1

    org_id: str
    subscription_id: str
    plan: str
    plan_kept: str
    refunded_cents: int
    currency: str
    ended_at: str


@dataclass(frozen=True, kw_only=True)
class PaymentRefunded:
    """
    Money of a payment went back, by whoever: by us for a second subscription, by a person at Stripe's dashboard.

    :param charge_id: Stripe's id of the payment
    :param paid_cents: what was paid, in the currency's smallest unit
    :param refunded_cents: all that went back of it so far
    :param currency: of both, as Stripe writes it: `usd`
    :param seen_at: when we found out
    """

    name: ClassVar[str] = "billing.PaymentRefunded"
    schema: ClassVar[int] = 1

    org_id: str
    charge_id: str
    paid_cents: int
    refunded_cents: int
    currency: str
    seen_at: str


@dataclass(frozen=True, kw_only=True)
class PaymentDisputed:
    """
    A cardholder asks the bank for the money, or that has come further. The plan stays meanwhile.

    :param dispute_id: Stripe's id
    :param charge_id: Stripe's id of the payment
    :param amount_cents: what is disputed, in the currency's smallest unit
    :param currency: as Stripe writes it: `usd`
    :param reason: Stripe's word for what the cardholder says, like `fraudulent`
    :param status: Stripe's word for how far it is: `needs_response`, `under_review`, `won`, `lost`, `warning_…`
    :param seen_at: when we found out
    """

    name: ClassVar[str] = "billing.PaymentDisputed"
    schema: ClassVar[int] = 1

    org_id: str
    dispute_id: str
    charge_id: str
    amount_cents: int
    currency: str
    reason: str
    status: str
    seen_at: str


@dataclass(frozen=True, kw_only=True)
class CustomerLinked:
    """
    The org is this customer at Stripe.

    :param customer_id: Stripe's id
    """

    name: ClassVar[str] = "billing.CustomerLinked"
    schema: ClassVar[int] = 1

    org_id: str
    customer_id: str


@dataclass(frozen=True, kw_only=True)
class ChangeRequested:
    """
    A person asked for this; whether it happens is for Stripe and a bank to say.

    :param at: `now` or `period_end`
    """

    name: ClassVar[str] = "billing.ChangeRequested"
    schema: ClassVar[int] = 1

    org_id: str
    intent_id: str
    plan: str
    at: str


@dataclass(frozen=True, kw_only=True)
class RequestGivenUp:
    """What was asked for did not happen, and nothing of it is left at Stripe that still could."""

    name: ClassVar[str] = "billing.RequestGivenUp"
    schema: ClassVar[int] = 1

    org_id: str
    intent_id: str


@dataclass(frozen=True, kw_only=True)
class CheckoutOpened:
    """
    A person was sent to Stripe to pay for the first time.

    :param session_id: the Checkout session's id at Stripe
    :param expires_at: until when its page can be used
    """

    name: ClassVar[str] = "billing.CheckoutOpened"
    schema: ClassVar[int] = 1

    org_id: str
    session_id: str
    plan: str
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class ChangeScheduled:
    """
    The plan will be another one, unless this is withdrawn before.

    :param takes_effect_at: from when on
    """

    name: ClassVar[str] = "billing.ChangeScheduled"
    schema: ClassVar[int] = 1

    org_id: str
    plan: str
    takes_effect_at: str


@dataclass(frozen=True, kw_only=True)
class ChangeWithdrawn:
    """Nothing is scheduled any more."""

    name: ClassVar[str] = "billing.ChangeWithdrawn"
    schema: ClassVar[int] = 1

    org_id: str


@dataclass(frozen=True, kw_only=True)
class PeriodStarted:
    """
    A period of Stripe's, paid. It has nothing to do with the calendar month in which messages are counted.

    :param subscription_id: Stripe's id
    :param starts_at: its first moment
    :param ends_at: the first moment after it
    """

    name: ClassVar[str] = "billing.PeriodStarted"
    schema: ClassVar[int] = 1

    org_id: str
    subscription_id: str
    starts_at: str
    ends_at: str


@dataclass(frozen=True, kw_only=True)
class SubscriptionErased:
    """The org is gone for good: nothing of its subscription is shown any more, and nothing follows."""

    name: ClassVar[str] = "billing.SubscriptionErased"
    schema: ClassVar[int] = 1

    org_id: str


@dataclass(frozen=True, kw_only=True)
class ErasureDone:
    """
    Billing has nothing more of an org that accounts.OrgErased named, and neither has Stripe but the invoices: its
    subscription is ended and the customer deleted. It stands in a stream of its own, whose subject is not the org, so
    that it is not passed over as an event about what was erased.
    """

    name: ClassVar[str] = "billing.ErasureDone"
    schema: ClassVar[int] = 1

    org_id: str


SubscriptionEvent = (
    SubscriptionChanged
    | PaymentFailed
    | PaymentRecovered
    | DuplicateSubscriptionEnded
    | PaymentRefunded
    | PaymentDisputed
    | CustomerLinked
    | ChangeRequested
    | RequestGivenUp
    | CheckoutOpened
    | ChangeScheduled
    | ChangeWithdrawn
    | PeriodStarted
    | SubscriptionErased
)

PUBLIC: tuple[type[events.Event], ...] = (
    SubscriptionChanged,
    PaymentFailed,
    PaymentRecovered,
    DuplicateSubscriptionEnded,
    PaymentRefunded,
    PaymentDisputed,
    ErasureDone,
)
PRIVATE: tuple[type[events.Event], ...] = (
    CustomerLinked,
    ChangeRequested,
    RequestGivenUp,
    CheckoutOpened,
    ChangeScheduled,
    ChangeWithdrawn,
    PeriodStarted,
    SubscriptionErased,
)
CATALOGUE = events.Catalogue("billing", (*PUBLIC, *PRIVATE), public=PUBLIC)
