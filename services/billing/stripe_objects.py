"""What Stripe's objects say, in our words: translation only, without a call. Beside `stripe_api`."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import stripe

from services.billing import account_setup, stripe_calls
from services.billing.catalogue import Catalogue
from services.billing.money_back import Dispute, Payment
from services.billing.sight import Seen

KEPT_PLAN, KEPT_UNTIL = "chatness_kept_plan", "chatness_kept_until"


def seen(subscription: stripe.Subscription, plans: Catalogue) -> Seen:
    """:returns: with the plan empty where the price belongs to none"""
    item = subscription["items"].data[0]  # `.items` is a method of the SDK's objects
    invoice = subscription.latest_invoice
    if not isinstance(invoice, stripe.Invoice):
        invoice = None
    pending = subscription.pending_update
    metadata = subscription.metadata.to_dict() if subscription.metadata else {}
    kept_until = metadata.get(KEPT_UNTIL) or ""
    return Seen(
        subscription_id=subscription.id,
        item_id=item.id,
        status=subscription.status,
        plan=_plan_of(item.price, plans),
        kept_plan=metadata.get(KEPT_PLAN) or "",
        kept_until=moment(int(kept_until)) if kept_until.isdecimal() else None,
        cancel_at_period_end=subscription.cancel_at_period_end,
        pending_plan=_plan_of(pending.subscription_items[0].price, plans)
        if pending and pending.subscription_items
        else "",
        period_start=moment(item.current_period_start),
        period_end=moment(item.current_period_end),
        changed_at=_changed_at(subscription, invoice),
        invoice_id=invoice.id or "" if invoice else "",
        payment_url=invoice.hosted_invoice_url or "" if invoice and invoice.status == "open" else "",
    )


def with_debt(owing: Seen, invoices: Sequence[stripe.Invoice]) -> Seen:
    """
    Only the last bill makes a subscription active again when it is paid; those before it may stay open for good.

    :param invoices: of the subscription, the newest first
    """
    unpaid = [each for each in itertools.takewhile(_is_no_paid_period, invoices) if each.status in ("open", "draft")]
    if not unpaid:
        return owing
    nobody_charges = unpaid[0].status == "draft" and not unpaid[0].auto_advance  # another is open within the hour
    return replace(
        owing,
        unpaid_since=moment(unpaid[-1].created),
        draft_id=unpaid[0].id or "" if nobody_charges else "",
        payment_url=next((each.hosted_invoice_url for each in unpaid if each.hosted_invoice_url), ""),
    )


def _is_no_paid_period(invoice: stripe.Invoice) -> bool:
    return invoice.status != "paid" or invoice.billing_reason == "subscription_update"


@dataclass(frozen=True, kw_only=True)
class Payer:
    """Who pays for a subscription that runs. `org_id` is what its Checkout noted; empty if another made it."""

    subscription_id: str
    customer_id: str
    org_id: str


def payer(subscription: stripe.Subscription) -> Payer:
    customer = subscription.customer
    metadata = subscription.metadata.to_dict() if subscription.metadata else {}
    return Payer(
        subscription_id=subscription.id,
        customer_id=customer if isinstance(customer, str) else customer.id,
        org_id=metadata.get("org_id") or "",
    )


@dataclass(frozen=True, kw_only=True)
class Quote:
    """
    What a change costs now, in cents.

    :param due_cents: what the card is charged, after the customer's credit
    :param credit_cents: what a cheaper plan gives back
    :param left_cents: the credit that is there afterwards, taken off the next invoices; below zero it is added to
        them, where it was too little to be charged
    """

    due_cents: int = 0
    credit_cents: int = 0
    left_cents: int = 0


def quote(preview: stripe.Invoice) -> Quote:
    """A balance of Stripe's below zero is credit."""
    return Quote(
        due_cents=preview.amount_due,
        credit_cents=max(-preview.total, 0),
        left_cents=preview.amount_due - preview.total - preview.starting_balance,
    )


def payment(charge: stripe.Charge, disputes: Iterable[stripe.Dispute]) -> Payment:
    return Payment(
        charge_id=charge.id,
        currency=charge.currency,
        paid_cents=charge.amount,
        refunded_cents=charge.amount_refunded,
        disputes=tuple(
            Dispute(id=each.id, amount_cents=each.amount, reason=each.reason, status=each.status) for each in disputes
        ),
    )


def invoice(found: stripe.Invoice) -> dict[str, Any]:
    return {
        "id": found.id,
        "number": found.number,
        "status": found.status,
        "total_cents": found.total,
        "amount_due_cents": found.amount_due,
        "currency": found.currency,
        "created_at": moment(found.created).isoformat().replace("+00:00", "Z"),
        "url": found.hosted_invoice_url,
        "pdf_url": found.invoice_pdf,
    }


def moment(unix_seconds: int) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)


def _plan_of(price: stripe.Price, plans: Catalogue) -> str:
    plan = plans.by_lookup_key(price.lookup_key) or plans.find(stripe_calls.noted(price.metadata, account_setup.PLAN))
    return plan.id if plan else ""


def _changed_at(subscription: stripe.Subscription, invoice: stripe.Invoice | None) -> datetime:
    if subscription.ended_at:
        return moment(subscription.ended_at)
    if invoice is None:
        return moment(subscription.created)
    return moment(invoice.status_transitions.paid_at or invoice.created)
