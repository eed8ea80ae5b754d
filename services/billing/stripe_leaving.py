"""
A customer's end at Stripe, beside `stripe_api`: what could still be paid is closed, what runs is ended, and the
customer is deleted. Stripe keeps the invoices, as the law asks.

Each call is made only after a look that found it missing, so there is nothing to remember between two tries.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import stripe

from services.billing import stripe_calls
from services.billing.settings import Settings
from services.billing.stripe_calls import Refused

AT_ONCE = 100  # of a list: Stripe's most
PATIENCE_SECONDS = 60.0  # nobody waits for it; less than a job may take
ENDED = ("canceled", "incomplete_expired")
UNKNOWN, INVALID = "resource_missing", "invalid_request_error"


@dataclass(kw_only=True)
class Leaving:
    """:param until: when the errand's time is over, on the monotonic clock"""

    settings: Settings
    until: float = field(default_factory=lambda: time.monotonic() + PATIENCE_SECONDS)

    def customers_of(self, org_id: str) -> list[str]:
        """All that were made for the org; one of the last minute may be missing."""
        with self._calling() as client:
            query: Any = {"query": f"metadata['org_id']:'{org_id}'", "limit": AT_ONCE}
            return [each.id for each in client.v1.customers.search(query).data]

    def is_deleted(self, customer_id: str) -> bool:
        """:raises Refused: if Stripe never knew the customer: the key may be another account's"""
        with self._calling() as client:
            return bool(getattr(client.v1.customers.retrieve(customer_id), "deleted", False))

    def close_pages(self, customer_id: str) -> None:
        """No page of Checkout is left on which the first payment could be made."""
        page: Any = {"customer": customer_id, "status": "open", "limit": AT_ONCE}
        with self._calling() as client:
            open_ones = client.v1.checkout.sessions.list(page).data
        for each in open_ones:
            # Paid at this moment, it is refused, and what was paid for is ended next.
            self._unless(partial(_expire, each.id), UNKNOWN, INVALID)

    def end_subscriptions(self, customer_id: str) -> int:
        """Now, and nothing is charged or given back for it; gives how many ran."""
        ended = 0
        while running := self._running(customer_id):
            for subscription_id in running:
                self._unless(partial(_cancel, subscription_id), UNKNOWN)
            ended += len(running)
        return ended

    def delete(self, customer_id: str) -> None:
        self._unless(lambda client: client.v1.customers.delete(customer_id), UNKNOWN)

    def _running(self, customer_id: str) -> list[str]:
        """Whatever could still be charged for, by whichever price."""
        page: Any = {"customer": customer_id, "limit": AT_ONCE}
        with self._calling() as client:
            found = client.v1.subscriptions.list(page).data
            return [each.id for each in found if each.status not in ENDED]

    def _unless(self, call: Callable[[stripe.StripeClient], Any], *over: str) -> None:
        """:param over: what Stripe says of what somebody has done since we looked, or we, and the answer was lost"""
        try:
            with self._calling() as client:
                call(client)
        except Refused as refused:
            if str(refused) not in over:
                raise

    def _calling(self) -> AbstractContextManager[stripe.StripeClient]:
        return stripe_calls.calling(self.settings, until=self.until)


def _cancel(subscription_id: str, client: stripe.StripeClient) -> None:
    client.v1.subscriptions.cancel(subscription_id, {"invoice_now": False, "prorate": False})


def _expire(session_id: str, client: stripe.StripeClient) -> None:
    client.v1.checkout.sessions.expire(session_id)
