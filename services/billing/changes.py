"""
A change that a person waits for, in three steps: record the intent, call Stripe outside any transaction, record the
outcome. What a crash or a lost answer leaves open, the worker finishes by the same way.

Before each call Stripe's object is looked at, and only what is still missing is asked for. The idempotency key is
made of intent, call and attempt, so a repeated attempt whose answer was lost is not done twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

from sqlalchemy.orm import Session

from services import suspension
from services.billing import checkouts, customers, domain, intents, models, projections, sight, stripe_api
from services.billing.catalogue import Plan
from services.billing.parts import Parts
from services.billing.projections import SUBSCRIPTION, stream
from services.billing.sight import Call, Seen
from shared import commands, context, database, errors, ids, logs, revisions, store, suspensions

Record = Callable[[Session, str], models.Intent]
log = logs.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Order:
    """Who orders, and how a repeated order is known again; see `shared.commands`."""

    org_id: str
    route: str
    command_id: str
    fingerprint: bytes


def change(parts: Parts, order: Order, *, plan: str, at: str | None) -> dict[str, Any]:
    """
    Change the plan, or cancel by changing to Free.

    :returns: `{"outcome": "changed", "subscription", "version"}`, `{"outcome": "checkout", "checkout_url"}`, or
        `{"outcome": "pending"}` while Stripe owes an answer; each with `change_id`
    :raises Conflict: `card_declined` or `authentication_required` with `payment_url`; and see `domain.request`
    :raises Unavailable: `stripe_unavailable`, and nothing was changed
    """

    org_id = order.org_id

    def record(session: Session, intent_id: str) -> models.Intent:
        begin = partial(domain.begin, org_id=org_id, plans=parts.plans, now=database.now(session))
        _check_revision(session, parts, org_id)
        state = store.execute(session, stream(org_id), SUBSCRIPTION, begin)
        when = domain.timing(state, plan=plan, at=at, plans=parts.plans)
        request = partial(domain.request, intent_id=intent_id, plan=plan, at=at, plans=parts.plans)
        store.execute(session, stream(org_id), SUBSCRIPTION, request)
        return intents.new(session, id=intent_id, org_id=org_id, kind="change", plan=plan, at=when)

    return _run(parts, order, record)


def withdraw(parts: Parts, order: Order) -> dict[str, Any]:
    """
    Withdraw what is scheduled; the answer is as for `change`.

    :raises Conflict: `nothing_scheduled`
    :raises Unavailable: `stripe_unavailable`, and nothing was changed
    """

    org_id = order.org_id

    def record(session: Session, intent_id: str) -> models.Intent:
        _check_revision(session, parts, org_id)
        state = store.execute(session, stream(org_id), SUBSCRIPTION, domain.withdraw)
        return intents.new(session, id=intent_id, org_id=org_id, kind="withdraw", plan=state.plan, at="now")

    return _run(parts, order, record)


def finish_interrupted(parts: Parts) -> None:
    """One that cannot be finished now stays open for the next time."""
    for intent_id, org_id in intents.interrupted(parts.database):
        with context.use(actor=context.Actor(kind="service", id="billing", org_id=org_id)):
            try:
                with customers.lease(parts.database, org_id, wait_seconds=0) as mine:
                    _carry_out(parts, mine, intent_id)
            except (errors.ServiceError, stripe_api.Away) as error:
                log.warning("change still open", intent=intent_id, reason=str(error))


def _check_revision(session: Session, parts: Parts, org_id: str) -> None:
    """Whoever asks may want to change only what they have seen."""
    store.lock(session, stream(org_id))
    revisions.check(partial(projections.subscription, session, org_id, parts.plans))


def _run(parts: Parts, order: Order, record: Record) -> dict[str, Any]:
    with customers.lease(parts.database, order.org_id) as mine:
        intent_id = _begin(parts, mine, order, record)
        try:
            _carry_out(parts, mine, intent_id)
        except stripe_api.Away:
            log.warning("stripe owes an answer", intent=intent_id)
    with parts.database.begin() as session:
        return intents.answer(session, intent_id, parts.plans)


def _begin(parts: Parts, mine: customers.Lease, order: Order, record: Record) -> str:
    """The first step. The same command finds its intent again; what was given up unsent is taken up anew."""
    place: Any = {"route": order.route, "command_id": order.command_id, "fingerprint": order.fingerprint}
    with parts.database.begin() as session:
        mine.check(session)
        known = commands.recall(session, **place)
        if known is not None:
            intent = session.get_one(models.Intent, known["intent_id"])
            if intent.state == "given_up" and intent.attempt == 0:
                _refuse_if_suspended(session, order)
                _check_revision(session, parts, order.org_id)  # others may have changed it meanwhile
                intent.state, intent.code, intent.created_at = "open", "", database.now(session)
            return intent.id
        _refuse_if_suspended(session, order)
        with stripe_api.unavailable_when_away():
            parts.stripe().expect_answers()
        intent_id = record(session, ids.new("int")).id
        commands.remember(session, **place, outcome={"intent_id": intent_id})
        return intent_id


def _refuse_if_suspended(session: Session, order: Order) -> None:
    """What was done before is answered again all the same. To cancel is no more than less."""
    if order.route in suspension.REFUSED_WITHIN:
        suspensions.check(session, order.org_id)


def _carry_out(parts: Parts, mine: customers.Lease, intent_id: str) -> None:
    """
    The second step and the third, from wherever the intent stands.

    :raises stripe_api.Away: if it is not known whether Stripe did what was asked; the intent stays open
    """
    with parts.database.begin() as session:
        intent = session.get_one(models.Intent, intent_id)
        session.expunge(intent)
    if intent.state != "open":
        return
    try:
        _pursue(parts, mine, parts.stripe(), intent)
    except stripe_api.Declined as declined:
        intents.settle(parts, mine, intent, state="declined", code=declined.code)
    except stripe_api.Refused as refused:
        log.error("stripe refused a change", intent=intent.id, reason=str(refused))
        intents.settle(parts, mine, intent, state="given_up", code="stripe_refused")
    except stripe_api.Away as away:
        if intent.attempt == 0:
            intents.settle(parts, mine, intent, state="given_up")
            return
        if away.answered:
            intents.begin_new_attempt(parts, intent)
        raise


def _pursue(parts: Parts, mine: customers.Lease, stripe: stripe_api.Stripe, intent: models.Intent) -> None:
    """Look, ask for what is missing, look again."""
    seen = _look(parts, stripe, mine)
    call = _call_for(parts, intent, seen)
    if call == "checkout" and (opened := checkouts.open_one(parts, mine, stripe, intent)):
        checkouts.record(parts, mine, intent, opened)
        return
    if call is not None:
        _send_once(parts, stripe, intent, seen, call)
        seen = _look(parts, stripe, mine)
    if _awaits_payment(intent, seen):
        code = stripe.why_unpaid(seen.invoice_id)
        intents.settle(parts, mine, intent, state="declined", seen=seen, code=code, payment_url=seen.payment_url)
    elif _call_for(parts, intent, seen) is None:
        intents.settle(parts, mine, intent, state="done", seen=seen)
    else:
        intents.settle(parts, mine, intent, state="given_up", seen=seen, code="stripe_refused")


def _look(parts: Parts, stripe: stripe_api.Stripe, mine: customers.Lease) -> Seen:
    with parts.database.begin() as session:
        customer_id = customers.customer_id(session, mine.org_id)
        known = store.load(session, stream(mine.org_id), SUBSCRIPTION).state.subscription_id
    return sight.chosen(stripe.subscriptions(customer_id), known=known)


def _call_for(parts: Parts, intent: models.Intent, seen: Seen) -> Call | None:
    if intent.kind == "withdraw":
        return sight.call_to_withdraw(seen, plans=parts.plans)
    return sight.call_for(seen, plan=intent.plan, at=intent.at, plans=parts.plans)


def _awaits_payment(intent: models.Intent, seen: Seen) -> bool:
    """Whether the intent was sent, and Stripe keeps it until the bill is paid."""
    return intent.kind == "change" and intent.attempt > 0 and seen.pending_plan == intent.plan


def _send_once(parts: Parts, stripe: stripe_api.Stripe, intent: models.Intent, seen: Seen, call: Call) -> None:
    """Not again what waits for a payment already, nor what is so old that Stripe may have forgotten its key."""
    if _awaits_payment(intent, seen) or intents.is_too_old_to_send(intent, parts.now()):
        return
    intents.mark_sent(parts, intent)
    wanted = seen.entitled_plan(parts.plans) if intent.kind == "withdraw" else intent.plan
    _send(stripe, seen, call, parts.plans.plan(wanted), key=intents.key(intent, call))


def _send(stripe: stripe_api.Stripe, seen: Seen, call: Call, plan: Plan, *, key: str) -> None:
    match call:
        case "upgrade":
            stripe.upgrade(seen, plan, key=key)
        case "downgrade":
            stripe.downgrade(seen, plan, key=key)
        case "downgrade_at_period_end":
            stripe.downgrade_at_period_end(seen, plan, key=key)
        case "withdraw_downgrade":
            stripe.withdraw_downgrade(seen, plan, key=key)
        case "cancel":
            stripe.cancel(seen, key=key)
        case "cancel_at_period_end":
            stripe.cancel_at_period_end(seen, True, key=key)
        case "withdraw_cancellation":
            stripe.cancel_at_period_end(seen, False, key=key)
        case "checkout":
            return  # a page, not a call; it was paid while we looked
        case _:
            assert_never(call)
