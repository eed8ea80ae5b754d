"""billing's doors."""

import time
from typing import Any

from sqlalchemy.orm import Session

from services.billing import (
    activity,
    changes,
    customers,
    intents,
    invoices,
    previews,
    projections,
    stripe_api,
    webhooks,
)
from services.billing.catalogue import FREE
from services.billing.parts import Parts
from shared import activity_doors, commands, context, doors, errors, ids


class BillingService(activity_doors.Activity):
    name = "billing"
    trail = activity.TRAIL

    @property
    def parts(self) -> Parts:
        return Parts(database=self.house.database, settings=self.house.settings)

    @staticmethod
    def misses(_settings: Any) -> list[str]:
        return stripe_api.misses(_settings)

    @doors.query("plans:read")
    def list_plans(self, _session: Session) -> list[dict[str, Any]]:
        """
        The catalogue, from the smallest plan to the largest.

        :returns: of each `{"id", "name", "price_cents", "currency", "messages_per_month", "bots", "rank",
            "max_resets_per_month"}`
        """
        return [projections.plan(plan) for plan in self.parts.plans.plans]

    @doors.query("subscription:read")
    def get_subscription(self, session: Session) -> dict[str, Any]:
        """
        The org's plan and what becomes of it. An org of which billing has not heard shows as on Free, version 0.

        :returns: `{"plan", "status", "version", "limits", "period", "scheduled_change", "pending_checkout",
            "payment_problem", "double_payment"}`; `limits` is `{"messages", "bots"}`, the last five are objects or
            null
        """
        return projections.subscription(session, self.actor.org_id, self.parts.plans)

    @doors.opened("billing:manage")
    def change_plan(self, command_id: str, plan: str, at: str | None = None) -> dict[str, Any]:
        """
        Change the plan, or cancel by changing to Free.

        :returns: `{"outcome": "changed", "subscription", "version"}`, `{"outcome": "checkout", "checkout_url"}`, or
            `{"outcome": "pending"}` while Stripe owes an answer; each with `change_id`
        :raises Invalid: `unknown_plan`, `upgrade_is_immediate`, `invalid_at`
        :raises Conflict: `card_declined`, `authentication_required`, both with `payment_url`; `stripe_refused`,
            `payment_due`, `change_scheduled`, `plan_unchanged`
        :raises Unavailable: `stripe_unavailable`, and nothing was changed
        """
        return changes.change(self.parts, self._order("change_plan", command_id, plan=plan, at=at), plan=plan, at=at)

    @doors.opened("billing:manage")
    def cancel(self, command_id: str, at: str | None = None) -> dict[str, Any]:
        """A change to Free, answered as `change_plan` is."""
        return changes.change(self.parts, self._order("cancel", command_id, at=at), plan=FREE, at=at)

    @doors.opened("billing:manage")
    def withdraw_change(self, command_id: str) -> dict[str, Any]:
        """
        Withdraw what is scheduled, answered as `change_plan` is.

        :raises Conflict: `nothing_scheduled`
        :raises Unavailable: `stripe_unavailable`, and nothing was changed
        """
        return changes.withdraw(self.parts, self._order("withdraw_change", command_id))

    @doors.query("billing:manage")
    def get_change(self, session: Session, change_id: str) -> dict[str, Any]:
        """What became of a change: pending, done, checkout, declined or given_up."""
        return intents.describe(session, self.actor.org_id, change_id)

    @doors.opened("billing:manage")
    def preview(self, plan: str, at: str | None = None) -> dict[str, Any]:
        """
        What a change would cost and bring; nothing is changed.

        :returns: `{"plan", "at", "effective_at", "currency", "price_today_cents", "credit_cents", "next_invoice",
            "limits"}`
        :raises Invalid: and Conflict as `change_plan`; `stripe_refused` where Stripe would not make the change
        :raises Unavailable: `stripe_unavailable`
        """
        return previews.preview(self.parts, org_id=self.actor.org_id, plan=plan, at=at)

    @doors.opened("billing:manage")
    def list_invoices(self, limit: int = 20, after: str = "") -> dict[str, Any]:
        """
        The newest first.

        :param after: the id of the last invoice of the page before
        :raises Invalid: `invalid_limit` or `invalid_cursor`
        :raises Conflict: `stripe_refused`
        :raises Unavailable: `stripe_unavailable`
        """
        return invoices.page(self.parts, org_id=self.actor.org_id, limit=limit, after=after)

    @doors.opened("billing:manage")
    def open_portal(self, command_id: str) -> dict[str, str]:
        """
        Where cards are changed. The address lets in whoever has it: Stripe keeps it for a repeat, we do not.

        :returns: `{"url"}`
        :raises Conflict: `no_customer` before a first paid plan; `stripe_refused`
        :raises Unavailable: `stripe_unavailable`
        """
        key = ids.derived("portal", self.actor.org_id, self.actor.id, command_id)
        return {"url": customers.portal(self.parts, self.actor.org_id, key=key)}

    @doors.opened("webhooks:receive")
    def receive_webhooks(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """
        Take what came as Stripe's, each judged by itself; the genuine ones are stored together.

        :param items: `{"payload", "signature"}` each, 64 at most: the raw body in base64, and the header
        :returns: for each `{"id"}`, or `{"refused": {"kind", "code", "message", "details"}}` with the code
            `invalid_webhook`
        :raises Invalid: `invalid_items` if one of them is none; then none was looked at
        """
        settings = self.parts.settings
        taken = [webhooks.judge(item, settings.stripe_webhook_secrets, time.time()) for item in _some(items)]
        genuine = [webhook for webhook in taken if isinstance(webhook, webhooks.Webhook)]
        if genuine:
            with self.house.database.begin(deadline=context.current().deadline) as session:
                webhooks.store(session, genuine, livemode=settings.livemode)
        return [
            {"id": webhook.id} if isinstance(webhook, webhooks.Webhook) else {"refused": webhook.to_json()}
            for webhook in taken
        ]

    def _order(self, route: str, command_id: str, **arguments: Any) -> changes.Order:
        return changes.Order(
            org_id=self.actor.org_id,
            route=f"billing.{route}",
            command_id=command_id,
            fingerprint=commands.fingerprint(self.house.fingerprint_key, arguments),
        )


def _some(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    whole = all(
        item.keys() == {"payload", "signature"} and all(isinstance(part, str) for part in item.values())
        for item in items
    )
    if not whole or len(items) > webhooks.MOST:
        raise errors.Invalid(
            "invalid_items", f"A webhook has payload and signature; at most {webhooks.MOST} are taken at once."
        )
    return items


SERVICE = BillingService
