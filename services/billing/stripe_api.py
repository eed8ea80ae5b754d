"""
Stripe, as billing needs it: the only import of its SDK. No rule of ours lives here, only the translation.

A `Stripe` is made for one errand and has eight seconds for all of its calls together. Idempotency keys are the
caller's, because only the caller knows what is a repetition.
"""

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import requests
import stripe

from services.billing.catalogue import Catalogue, Plan
from services.billing.settings import Settings
from services.billing.sight import Seen
from shared import errors, logs

PATIENCE_SECONDS = 8.0
LOOKED_AT = 20  # the newest subscriptions of a customer; more than one is rare
KEPT_PLAN, KEPT_UNTIL = "chatness_kept_plan", "chatness_kept_until"
log = logs.logger(__name__)


class Away(Exception):
    """
    Stripe did not do what was asked, or it is not known whether it did.

    :param answered: it said that it failed; False: there was no answer
    """

    def __init__(self, *, answered: bool) -> None:
        super().__init__("answered with a failure" if answered else "did not answer")
        self.answered = answered


class Declined(Exception):
    """The bank said no, or wants the person: `card_declined` or `authentication_required`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Refused(Exception):
    """Stripe understands the call and will not do it, however often it is asked."""


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """
    For doors that only ask.

    :raises Unavailable: `stripe_unavailable`
    """
    try:
        yield
    except (Away, Refused) as error:
        log.warning("stripe is away", reason=str(error))
        raise errors.Unavailable("stripe_unavailable", "Stripe does not answer; try again in a moment.") from error


@dataclass(frozen=True, kw_only=True)
class Session:
    """A Checkout session. `status` is open, complete or expired; only an open one has an address."""

    id: str
    status: str
    url: str
    expires_at: datetime


@dataclass(kw_only=True)
class Stripe:
    """:param until: when the errand's time is over, on the monotonic clock"""

    settings: Settings
    until: float = field(default_factory=lambda: time.monotonic() + PATIENCE_SECONDS)

    def create_customer(self, org_id: str, *, key: str) -> str:
        with self._calling() as client:
            made = client.v1.customers.create({"metadata": {"org_id": org_id}}, {"idempotency_key": key})
            return made.id

    def subscription(self, customer_id: str) -> Seen:
        """What the customer's subscription is now: the newest that runs, else the newest of all."""
        if not customer_id:
            return Seen()
        with self._calling() as client:
            found = client.v1.subscriptions.list(
                {
                    "customer": customer_id,
                    "status": "all",
                    "limit": LOOKED_AT,
                    "expand": ["data.latest_invoice"],
                }
            )
            seen = [_seen(each, self._plans) for each in found.data]
        return next((each for each in seen if each.exists), seen[0] if seen else Seen())

    def open_checkout(self, customer_id: str, org_id: str, plan: Plan, *, key: str) -> Session:
        page = f"{self.settings.public_url}/billing"
        price_id = self._price_id(plan)
        with self._calling() as client:
            made = client.v1.checkout.sessions.create(
                {
                    "mode": "subscription",
                    "customer": customer_id,
                    "client_reference_id": org_id,
                    "line_items": [{"price": price_id, "quantity": 1}],
                    "subscription_data": {"metadata": {"org_id": org_id}},
                    "success_url": f"{page}?checkout={{CHECKOUT_SESSION_ID}}",
                    "cancel_url": page,
                },
                {"idempotency_key": key},
            )
            return _session(made)

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
        self._update(seen, change, key)

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

    def cancel_at_period_end(self, seen: Seen, wanted: bool, *, key: str) -> None:
        self._update(seen, {"cancel_at_period_end": wanted}, key)

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

    def preview(self, seen: Seen, plan: Plan) -> int:
        """What a change to the plan would cost now, in cents; less than nothing is credit."""
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
            return invoice.total

    def invoices(self, customer_id: str, *, limit: int, after: str) -> tuple[list[dict[str, Any]], bool]:
        """A page of invoices, the newest first, and whether there are more."""
        page: Any = {"customer": customer_id, "limit": limit, **({"starting_after": after} if after else {})}
        with self._calling() as client:
            found = client.v1.invoices.list(page)
            return [_invoice(each) for each in found.data], found.has_more

    def portal(self, customer_id: str, *, key: str) -> str:
        with self._calling() as client:
            made = client.v1.billing_portal.sessions.create(
                {"customer": customer_id, "return_url": f"{self.settings.public_url}/billing"},
                {"idempotency_key": key},
            )
            return made.url

    @property
    def _plans(self) -> Catalogue:
        return self.settings.plans

    def _update(self, seen: Seen, change: Any, key: str) -> None:
        with self._calling() as client:
            client.v1.subscriptions.update(seen.subscription_id, change, {"idempotency_key": key})

    def _price_id(self, plan: Plan) -> str:
        with self._calling() as client:
            found = client.v1.prices.list({"lookup_keys": [plan.lookup_key], "active": True, "limit": 1})
        if not found.data:
            log.error("stripe has no price for a plan", plan=plan.id, lookup_key=plan.lookup_key)
            raise Refused(f"no active price has the lookup key {plan.lookup_key}")
        return found.data[0].id

    @contextmanager
    def _calling(self) -> Iterator[stripe.StripeClient]:
        """A client whose call may last as long as the errand has time, and which fails in our words."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise Away(answered=False)
        try:
            yield _client(self.settings, timeout_seconds=left)
        except stripe.CardError as error:
            wants_person = error.code in ("authentication_required", "subscription_payment_intent_requires_action")
            raise Declined("authentication_required" if wants_person else "card_declined") from error
        except (stripe.APIConnectionError, stripe.IdempotencyError) as error:
            raise Away(answered=False) from error
        except stripe.InvalidRequestError as error:
            raise Refused(error.code or "invalid_request_error") from error
        except stripe.StripeError as error:
            log.error("stripe failed", error=type(error).__name__, status=error.http_status)
            raise Away(answered=True) from error


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


@functools.cache
def _connections() -> requests.Session:
    """Kept between errands, so that not each of them begins with a handshake."""
    return requests.Session()


def _client(settings: Settings, *, timeout_seconds: float) -> stripe.StripeClient:
    """Without the SDK's own retries: the worker finishes what stayed open, and a person does not wait for it."""
    base: Any = {"api": settings.stripe_api_base} if settings.stripe_api_base else None
    return stripe.StripeClient(
        settings.stripe_api_key,
        base_addresses=base,
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=timeout_seconds, session=_connections()),
    )


def _seen(subscription: stripe.Subscription, plans: Catalogue) -> Seen:
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
        kept_until=_moment(int(kept_until)) if kept_until.isdecimal() else None,
        cancel_at_period_end=subscription.cancel_at_period_end,
        pending_plan=_plan_of(pending.subscription_items[0].price, plans)
        if pending and pending.subscription_items
        else "",
        period_start=_moment(item.current_period_start),
        period_end=_moment(item.current_period_end),
        changed_at=_changed_at(subscription, invoice),
        invoice_id=invoice.id or "" if invoice else "",
        payment_url=invoice.hosted_invoice_url or "" if invoice and invoice.status == "open" else "",
    )


def _plan_of(price: stripe.Price, plans: Catalogue) -> str:
    plan = plans.by_lookup_key(price.lookup_key)
    if plan is None:
        log.error("a subscription has a price of no plan", price=price.id, lookup_key=price.lookup_key)
        raise Refused(f"the price {price.id} belongs to no plan")
    return plan.id


def _changed_at(subscription: stripe.Subscription, invoice: stripe.Invoice | None) -> datetime:
    if subscription.ended_at:
        return _moment(subscription.ended_at)
    if invoice is None:
        return _moment(subscription.created)
    return _moment(invoice.status_transitions.paid_at or invoice.created)


def _session(session: stripe.checkout.Session) -> Session:
    return Session(
        id=session.id,
        status=session.status or "expired",
        url=session.url or "",
        expires_at=_moment(session.expires_at),
    )


def _invoice(invoice: stripe.Invoice) -> dict[str, Any]:
    return {
        "id": invoice.id,
        "number": invoice.number,
        "status": invoice.status,
        "total_cents": invoice.total,
        "amount_due_cents": invoice.amount_due,
        "currency": invoice.currency,
        "created_at": _moment(invoice.created).isoformat().replace("+00:00", "Z"),
        "url": invoice.hosted_invoice_url,
        "pdf_url": invoice.invoice_pdf,
    }


def _moment(unix_seconds: int) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)
