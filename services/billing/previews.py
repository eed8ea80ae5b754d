"""What a change would cost and bring, before anybody decides. Stripe computes the money; nothing is changed."""

from typing import Any

from services.billing import customers, domain, sight, stripe_api
from services.billing.catalogue import FREE, Plan
from services.billing.domain import Subscription
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from services.billing.stripe_objects import Quote
from shared import clock, store


def preview(parts: Parts, *, org_id: str, plan: str, at: str | None) -> dict[str, Any]:
    """
    :returns: `{"plan", "at", "effective_at", "currency", "price_today_cents", "credit_cents", "next_invoice",
        "limits"}`; `price_today_cents` is what is charged, after the credit that is there; `credit_cents` is what a
        cheaper plan gives back, taken off the next invoices
    :raises Invalid: and Conflict as the change itself; `stripe_refused` where Stripe would not make it
    :raises Unavailable: `stripe_unavailable`
    """
    with parts.database.begin() as session:
        state = store.load(session, stream(org_id), SUBSCRIPTION).state
        customer_id = customers.customer_id(session, org_id)
    when = domain.timing(state, plan=plan, at=at, plans=parts.plans)
    domain.request(state, intent_id="", plan=plan, at=at, plans=parts.plans)
    chosen = parts.plans.plan(plan)
    quote = _quote(parts, customer_id, state.subscription_id, chosen, when)
    moment = state.period_end if when == "period_end" and state.period_end else parts.now()
    return {
        "plan": plan,
        "at": when,
        "effective_at": clock.rfc3339(moment),
        "currency": chosen.currency,
        "price_today_cents": quote.due_cents,
        "credit_cents": quote.credit_cents,
        "next_invoice": _next_invoice(state, chosen, quote),
        "limits": {"messages": chosen.messages, "bots": chosen.bots},
    }


def _quote(parts: Parts, customer_id: str, known: str, plan: Plan, when: domain.At) -> Quote:
    """What costs nothing today is only shown if it can be bought at all."""
    if plan.id == FREE:
        return Quote()
    with stripe_api.unavailable_when_away():
        stripe = parts.stripe()
        if when == "now":
            seen = sight.chosen(stripe.subscriptions(customer_id), known=known)
            if seen.exists:
                return stripe.preview(seen, plan)
        stripe.expect_price(plan)
        credit = stripe.credit_cents(customer_id)
    bill = plan.price_cents if when == "now" else 0
    due = max(bill - credit, 0) if bill else 0
    return Quote(due_cents=due, left_cents=credit - bill + due)


def _next_invoice(state: Subscription, plan: Plan, quote: Quote) -> dict[str, Any] | None:
    """None if there is none: after a cancellation, and before the first period is paid."""
    if plan.id == FREE or state.period_end is None:
        return None
    return {"amount_cents": max(plan.price_cents - quote.left_cents, 0), "at": clock.rfc3339(state.period_end)}
