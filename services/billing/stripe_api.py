"""
Stripe, as billing needs it: with its neighbours `stripe_…` the only import of its SDK. No rule of ours lives here,
only the translation.

A `Stripe` is made for one errand and has eight seconds for all of its calls together. Idempotency keys are the
caller's, because only the caller knows what is a repetition.
"""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import stripe

from services.billing import account_setup, breaker, stripe_calls, stripe_objects
from services.billing.catalogue import Catalogue, Plan
from services.billing.money_back import Payment
from services.billing.settings import Settings
from services.billing.sight import OWING, Seen
from services.billing.stripe_calls import Away, Declined, Refused, misses, unavailable_when_away
from services.billing.stripe_objects import KEPT_PLAN, KEPT_UNTIL, Payer, Quote
from shared import ids, logs

__all__ = ["Away", "Declined", "Refused", "Session", "Stripe", "check_signature", "misses", "unavailable_when_away"]

PATIENCE_SECONDS = 8.0
LOOKED_AT = 20  # the newest subscriptions of a customer; more than one is rare
AT_ONCE = 100  # of a list: Stripe's most
UNKNOWN = "resource_missing"  # Stripe's word for an id that it does not know
log = logs.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Session:
    """A Checkout session. `status` is open, complete or expired; only an open one has an address."""

    id: str
    customer_id: str
    status: str
    url: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Refund:
    """What went back to a card; nothing where nothing was paid by one."""

    cents: int
    currency: str


@dataclass(kw_only=True)
class Stripe:
    """:param until: when the errand's time is over, on the monotonic clock"""

    settings: Settings
    until: float = field(default_factory=lambda: time.monotonic() + PATIENCE_SECONDS)

    def expect_answers(self) -> None:
        """:raises Away: at once, while Stripe has failed so often that it is not asked"""
        if misses(self.settings):
            raise Away(answered=False, wait_seconds=breaker.OPEN_SECONDS)

    def find_customer(self, org_id: str) -> str:
        """
        The customer that was made for the org, by what we noted on it; empty if there is none. What was made in the
        last minute may not be found yet: for that long, and a day, there is the idempotency key. What was deleted in
        the last minute may still be found, and does not count.
        """
        with self._calling() as client:
            found = client.v1.customers.search({"query": f"metadata['org_id']:'{org_id}'", "limit": 10}).data
        return next((each.id for each in found if not self.is_deleted(each.id)), "")

    def create_customer(self, org_id: str, *, key: str) -> str:
        with self._calling() as client:
            made = client.v1.customers.create({"metadata": {"org_id": org_id}}, {"idempotency_key": key})
            return made.id

    def is_deleted(self, customer_id: str) -> bool:
        """:raises Refused: if Stripe never knew the customer: the key may be another account's"""
        with self._calling() as client:
            return bool(getattr(client.v1.customers.retrieve(customer_id), "deleted", False))

    def subscriptions(self, customer_id: str) -> tuple[Seen, ...]:
        """
        What the customer's subscriptions are now, the newest first; see `sight.chosen`.

        :raises Refused: if one that runs is of no plan of ours, or if Stripe never knew the customer
        """
        if not customer_id:
            return ()
        try:
            found = self._list_subscriptions(customer_id)
        except Refused as refused:
            if str(refused) != UNKNOWN or not self.is_deleted(customer_id):
                raise
            return ()
        if not found:
            self.is_deleted(customer_id)
        for each in found:
            if each.exists and not each.plan:
                log.error("a subscription has a price of no plan", subscription=each.subscription_id)
                raise Refused(f"the price of {each.subscription_id} belongs to no plan")
        return tuple(each for each in found if each.plan)

    def open_checkout(self, customer_id: str, org_id: str, plan: Plan, *, intent_id: str, key: str) -> Session:
        page = f"{self.settings.public_url}/billing"
        price_id = self._price_id(plan)
        with self._calling() as client:
            made = client.v1.checkout.sessions.create(
                {
                    "mode": "subscription",
                    "customer": customer_id,
                    "client_reference_id": org_id,
                    "line_items": [{"price": price_id, "quantity": 1}],
                    "metadata": {"intent_id": intent_id},
                    "subscription_data": {"metadata": {"org_id": org_id}},
                    "success_url": f"{page}?checkout={{CHECKOUT_SESSION_ID}}",
                    "cancel_url": page,
                },
                {"idempotency_key": key},
            )
            return _session(made)

    def find_checkout(self, customer_id: str, intent_id: str) -> Session | None:
        """The open session that was made for an intent; None if there is none."""
        with self._calling() as client:
            found = client.v1.checkout.sessions.list({"customer": customer_id, "status": "open", "limit": 100})
        ours = [each for each in found.data if stripe_calls.noted(each.metadata, "intent_id") == intent_id]
        return _session(ours[0]) if ours else None

    def checkout(self, session_id: str) -> Session:
        with self._calling() as client:
            return _session(client.v1.checkout.sessions.retrieve(session_id))

    def expire_checkout(self, session_id: str) -> None:
        with self._calling() as client:
            client.v1.checkout.sessions.expire(session_id)

    def upgrade(self, seen: Seen, plan: Plan, *, key: str) -> None:
        """Charge the difference now; if that fails, the change waits at Stripe for the payment, and that is all."""
        change: dict[str, Any] = {
            "items": [{"id": seen.item_id, "price": self._price_id(plan)}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
        }
        try:
            self._update(seen, change, key)
        except Refused as refused:
            if str(refused) == UNKNOWN and not refused.param:  # nothing is unknown but what to charge
                raise Declined("card_declined") from refused
            raise

    def downgrade(self, seen: Seen, plan: Plan, *, key: str) -> None:
        """Now; what is left of the dearer plan becomes credit for the next invoices."""
        change: dict[str, Any] = {
            "items": [{"id": seen.item_id, "price": self._price_id(plan)}],
            "proration_behavior": "always_invoice",
            "metadata": {KEPT_PLAN: "", KEPT_UNTIL: ""},
        }
        self._update(seen, change, key)

    def downgrade_at_period_end(self, seen: Seen, plan: Plan, *, key: str) -> None:
        """
        Lower the price at once and prorate nothing, so that the next period is billed right even if we are down by
        then; and note on the subscription which plan is paid for until then.
        """
        until = int(seen.period_end.timestamp()) if seen.period_end else 0
        change: dict[str, Any] = {
            "items": [{"id": seen.item_id, "price": self._price_id(plan)}],
            "proration_behavior": "none",
            "metadata": {KEPT_PLAN: seen.plan, KEPT_UNTIL: str(until)},
        }
        self._update(seen, change, key)

    def withdraw_downgrade(self, seen: Seen, plan: Plan, *, key: str) -> None:
        """:param plan: the one that is paid for"""
        change: dict[str, Any] = {
            "items": [{"id": seen.item_id, "price": self._price_id(plan)}],
            "proration_behavior": "none",
            "metadata": {KEPT_PLAN: "", KEPT_UNTIL: ""},
        }
        self._update(seen, change, key)

    def cancel(self, seen: Seen, *, key: str) -> None:
        with self._calling() as client:
            client.v1.subscriptions.cancel(seen.subscription_id, {}, {"idempotency_key": key})

    def refund(self, invoice_id: str, *, key: str) -> Refund:
        """Give back what was paid for an invoice, whether by this call or by one before."""
        nothing = Refund(cents=0, currency="")
        if not invoice_id:
            return nothing
        with self._calling() as client:
            found = client.v1.invoice_payments.list({"invoice": invoice_id, "status": "paid", "limit": 1}).data
        if not found or not found[0].payment.payment_intent:
            return nothing
        paid_by: Any = found[0].payment.payment_intent
        refund: Any = {"payment_intent": paid_by, "reason": "duplicate"}
        try:
            with self._calling() as client:
                client.v1.refunds.create(refund, {"idempotency_key": key})
        except Refused as refused:
            if str(refused) != "charge_already_refunded":
                raise
        return Refund(cents=found[0].amount_paid or 0, currency=found[0].currency)

    def cancel_at_period_end(self, seen: Seen, wanted: bool, *, key: str) -> None:
        self._update(seen, {"cancel_at_period_end": wanted}, key)

    def make_payable(self, invoice_id: str) -> str:
        """Where a bill can be paid that was only drafted until now, because those before it were not paid."""
        with self._calling() as client:
            options: Any = {"idempotency_key": f"{invoice_id}-finalize"}
            return client.v1.invoices.finalize_invoice(invoice_id, {}, options).hosted_invoice_url or ""

    def why_unpaid(self, invoice_id: str) -> str:
        """`card_declined` or `authentication_required`, for an invoice that could not be collected."""
        with self._calling() as client:
            found = client.v1.invoice_payments.list(
                {"invoice": invoice_id, "expand": ["data.payment.payment_intent"], "limit": 1}
            )
            intent = found.data[0].payment.payment_intent if found.data else None
        if not isinstance(intent, stripe.PaymentIntent):
            return "card_declined"
        problem = intent.last_payment_error
        wants_person = intent.status == "requires_action" or (problem and problem.code == "authentication_required")
        return "authentication_required" if wants_person else "card_declined"

    def expect_price(self, plan: Plan) -> None:
        """:raises Refused: if the plan cannot be bought"""
        self._price_id(plan)

    def credit_cents(self, customer_id: str) -> int:
        """What is left of former downgrades: Stripe takes it off the next invoices, or adds it where it is debt."""
        if not customer_id:
            return 0
        with self._calling() as client:
            return -(getattr(client.v1.customers.retrieve(customer_id), "balance", 0) or 0)

    def preview(self, seen: Seen, plan: Plan) -> Quote:
        price_id = self._price_id(plan)
        with self._calling() as client:
            invoice = client.v1.invoices.create_preview(
                {
                    "subscription": seen.subscription_id,
                    "subscription_details": {
                        "items": [{"id": seen.item_id, "price": price_id}],
                        "proration_behavior": "always_invoice",
                    },
                }
            )
            return stripe_objects.quote(invoice)

    def invoices(self, customer_id: str, *, limit: int, after: str) -> tuple[list[dict[str, Any]], bool]:
        """A page of invoices, the newest first, and whether there are more."""
        page: Any = {"customer": customer_id, "limit": limit, **({"starting_after": after} if after else {})}
        with self._calling() as client:
            found = client.v1.invoices.list(page)
            return [stripe_objects.invoice(each) for each in found.data], found.has_more

    def payments(self, customer_id: str) -> tuple[Payment, ...]:
        """The customer's last payments, with what went back of them or is disputed."""
        if not customer_id:
            return ()
        with self._calling() as client:
            charges = client.v1.charges.list({"customer": customer_id, "limit": AT_ONCE}).data
            disputes = {
                each.id: client.v1.disputes.list({"charge": each.id}).data for each in charges if each.disputed
            }
            return tuple(stripe_objects.payment(each, disputes.get(each.id, ())) for each in charges)

    def customer_of_dispute(self, dispute_id: str) -> str:
        """Empty if nobody is named. :raises Refused: if Stripe does not know the dispute"""
        with self._calling() as client:
            charge = client.v1.disputes.retrieve(dispute_id, {"expand": ["charge"]}).charge
        customer = charge.customer if isinstance(charge, stripe.Charge) else None
        return customer.id if isinstance(customer, stripe.Customer) else customer or ""

    def portal(self, customer_id: str, *, key: str) -> str:
        """With the configuration that `chatness stripe setup` made; the account's default one without it."""
        wanted: Any = {"customer": customer_id, "return_url": f"{self.settings.public_url}/billing"}
        with self._calling() as client:
            found = client.v1.billing_portal.configurations.list({"active": True, "limit": 100})
            ours = [each.id for each in found.data if stripe_calls.noted(each.metadata, account_setup.MARK)]
            wanted |= {"configuration": ours[0]} if ours else {}
            one = ids.derived("portal", key, *wanted.values())  # a key is good for one set of parameters
            return client.v1.billing_portal.sessions.create(wanted, {"idempotency_key": one}).url

    def events(self, *, since: datetime, after: str) -> tuple[list[dict[str, Any]], bool]:
        """
        A page of what Stripe has told, the newest first, and whether there is more. It keeps them for 30 days.

        :param after: the id of the last event of the page before
        :raises Refused: if Stripe does not know that event any more
        """
        page: Any = {"created": {"gte": int(since.timestamp())}, "limit": AT_ONCE}
        with self._calling() as client:
            found = client.v1.events.list(page | ({"starting_after": after} if after else {}))
            return [event.to_dict() for event in found.data], found.has_more

    def payers(self, *, after: str) -> tuple[list[Payer], bool]:
        """
        A page of who pays for what has not ended, the newest subscription first, and whether there are more.

        :param after: the id of the last subscription of the page before
        """
        page: Any = {"limit": AT_ONCE, **({"starting_after": after} if after else {})}
        with self._calling() as client:
            found = client.v1.subscriptions.list(page)
            return [stripe_objects.payer(each) for each in found.data], found.has_more

    @property
    def _plans(self) -> Catalogue:
        return self.settings.plans

    def _list_subscriptions(self, customer_id: str) -> list[Seen]:
        with self._calling() as client:
            found = client.v1.subscriptions.list(
                {
                    "customer": customer_id,
                    "status": "all",
                    "limit": LOOKED_AT,
                    "expand": ["data.latest_invoice"],
                }
            )
        seen = [stripe_objects.seen(each, self._plans) for each in found.data]
        return [self._with_debt(each) if each.status in OWING else each for each in seen]

    def _with_debt(self, owing: Seen) -> Seen:
        with self._calling() as client:
            page: Any = {"subscription": owing.subscription_id, "limit": AT_ONCE}
            return stripe_objects.with_debt(owing, client.v1.invoices.list(page).data)

    def _update(self, seen: Seen, change: Any, key: str) -> None:
        with self._calling() as client:
            client.v1.subscriptions.update(seen.subscription_id, change, {"idempotency_key": key})

    def _price_id(self, plan: Plan) -> str:
        with self._calling() as client:
            found = client.v1.prices.list({"lookup_keys": [plan.lookup_key], "active": True, "limit": 1})
        if not found.data:
            log.error("stripe has no price for a plan", plan=plan.id, lookup_key=plan.lookup_key)
            words = f"{plan.name} cannot be bought at the moment: Stripe has no active price for it."
            raise Refused(f"no active price has the lookup key {plan.lookup_key}", words=words)
        return found.data[0].id

    def _calling(self) -> AbstractContextManager[stripe.StripeClient]:
        return stripe_calls.calling(self.settings, until=self.until)


def check_signature(body: str, signature: str, secrets: tuple[str, ...]) -> int:
    """
    When the body was signed, in unix seconds. How old that may be is the caller's to say.

    :raises ValueError: if none of the secrets has signed it
    """
    if not signature.isascii():
        raise ValueError("the signature has other characters than ASCII")
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body, signature, secret)
        except stripe.SignatureVerificationError:
            continue
        return int(next(part[2:] for part in signature.split(",") if part.startswith("t=")))
    raise ValueError("the signature is not right")


def _session(session: stripe.checkout.Session) -> Session:
    customer = session.customer
    return Session(
        id=session.id,
        customer_id=(customer if isinstance(customer, str) else customer.id) if customer else "",
        status=session.status or "expired",
        url=session.url or "",
        expires_at=stripe_objects.moment(session.expires_at),
    )
