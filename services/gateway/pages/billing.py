"""Billing Management: the plan, its price and its limits; every change is shown before it is made."""

import re
from typing import Any

import flask
from flask import g

from services.gateway import routing
from services.gateway.pages import consequences, forms, shell, views, words
from services.gateway.routes import billing as api
from shared import errors

pages = views.Pages("pages_billing", __name__)

LOOK_SECONDS = 6.0  # the subscription is ours; the invoices are asked of Stripe, and left out if that takes long
INVOICE_SECONDS = 3.0
INVOICES = 12
QUOTA_SECONDS = 1.0  # a plan can be changed without knowing what becomes of bots and messages
MOST_BOTS = 1000
TIMINGS = ("now", "period_end")
SESSION_ID = re.compile(r"cs_\w{1,250}", re.ASCII)  # what Stripe puts into the address that Checkout returns to
UNSURE = {"change_in_progress", "idempotency_in_progress"}


@pages.view("/billing", permission="billing:manage", seconds=LOOK_SECONDS)
def show() -> Any:
    """Where Checkout and the portal lead back to, too."""
    subscription, plans = g.services.billing.get_subscription(), g.services.billing.list_plans()
    returned = flask.request.args.get("checkout")
    if returned is not None and not _is_settling(subscription, returned):
        return _arrive(subscription, plans, returned)
    return flask.render_template(
        "pages/billing/show.html",
        subscription=subscription,
        plans=plans,
        is_settling=returned is not None,
        invoices=_invoices(),
    )


def _is_settling(subscription: dict[str, Any], returned: str) -> bool:
    """
    Whether Checkout may be done and Stripe has not told us yet. Until it does, the Checkout still shows as pending.

    :param returned: what stands in the address; anybody can write it
    """
    is_free = subscription["plan"] == "free" and subscription["payment_problem"] is None
    return is_free and SESSION_ID.fullmatch(returned) is not None


def _arrive(subscription: dict[str, Any], plans: list[dict[str, Any]], returned: str) -> Any:
    """Say thank you once; the address that is kept, or sent around, says it to nobody."""
    if SESSION_ID.fullmatch(returned) and subscription["status"] == "active":
        name = next((plan["name"] for plan in plans if plan["id"] == subscription["plan"]), subscription["plan"])
        flask.flash(f"Thank you. You are on {name} now.", "success")
    return views.see_other("/billing")


def _invoices() -> list[dict[str, Any]] | None:
    """None if Stripe is away: the rest of the page does not need it."""
    seconds = min(INVOICE_SECONDS, routing.remaining_seconds())
    try:
        found = g.services.billing.with_timeout(seconds).list_invoices(limit=INVOICES)
    except errors.ServiceError:
        return None
    invoices: list[dict[str, Any]] = found["invoices"]
    return invoices


class Change(forms.Form):
    """Only the button; which plan, and when, stand in the address that was looked at."""

    @property
    def is_unsure(self) -> bool:
        """Whether it was refused without saying that nothing was changed: it, or its first sending, may go on."""
        return self.code in UNSURE or (self.refused_status == 503 and self.code != "stripe_unavailable")


@pages.view("/billing/change", permission="billing:manage", methods=["GET", "POST"], seconds=api.REQUEST_SECONDS)
def change_plan() -> Any:
    """What it would cost and do, and the button that does it."""
    plan, at = flask.request.args.get("plan", ""), flask.request.args.get("at")
    at = at if at in TIMINGS else None
    form = Change()
    if form.is_sent:
        try:
            billing = g.services.billing.with_timeout(api.CHANGE_SECONDS)
            return _outcome(billing.change_plan(command_id=forms.command_id(), plan=plan, at=at))
        except errors.Conflict as error:
            if "payment_url" in error.details:
                return _unpaid(error)
            return _refused(form, error)
        except errors.ServiceError as error:
            return _refused(form, error)
    return _preview_page(form, plan, at)


def _refused(form: Change, error: errors.ServiceError) -> Any:
    """With the same command id to send again: billing may have gone on without us. Asks nobody, who may be away."""
    form.refuse(error)
    return forms.answer("pages/billing/refused.html", form)


def _preview_page(form: Change, plan: str, at: str | None) -> Any:
    plans = {one["id"]: one for one in g.services.billing.list_plans()}
    subscription = g.services.billing.get_subscription()
    preview = None
    with form.refusals():
        preview = g.services.billing.with_timeout(routing.remaining_seconds()).preview(plan=plan, at=at)
    return forms.answer(
        "pages/billing/change.html",
        form,
        preview=preview,
        effects=preview and _effects(preview),
        chosen=plans.get(plan),
        current=plans.get(subscription["plan"]),
        period=subscription["period"],
    )


def _effects(preview: dict[str, Any]) -> consequences.Consequences | None:
    """None while quota is away, or has not heard of a new org."""
    try:
        usage = shell.usage(seconds=QUOTA_SECONDS)
        bots = g.services.quota.with_timeout(QUOTA_SECONDS).list_bots(limit=MOST_BOTS)
    except errors.Unavailable:
        return None
    limits, effective_at = preview["limits"], preview["effective_at"]
    return consequences.of(limits=limits, effective_at=effective_at, usage=usage, bots=bots)


def _outcome(answer: dict[str, Any]) -> Any:
    match answer["outcome"]:
        case "checkout":
            return views.leave_for(answer["checkout_url"], "Checkout")
        case "pending":
            return views.see_other(f"/billing/changes/{answer['change_id']}")
        case _ if scheduled := answer["subscription"]["scheduled_change"]:
            day = words.day(scheduled["takes_effect_at"])
            flask.flash(f"Done. It takes effect on {day}; until then everything stays as it is.", "success")
            return views.see_other("/billing")
        case _:
            if api.limits_applied(answer["version"]):
                flask.flash("Done. Your plan and its limits are up to date.", "success")
            else:
                flask.flash("Done. The new limits will count in a moment.", "success")
            return views.see_other("/billing")


def _unpaid(error: errors.Conflict) -> Any:
    """The card was declined, or the bank asks; where to pay is known to Stripe."""
    url = error.details["payment_url"]
    return flask.render_template("pages/billing/unpaid.html", words=error.message, url=url), 402


@pages.view("/billing/changes/<change_id>", permission="billing:manage")
def show_change(change_id: str) -> Any:
    """What became of a change for which Stripe took its time."""
    return flask.render_template(
        "pages/billing/pending.html", change=g.services.billing.get_change(change_id=change_id)
    )


@pages.view("/billing/withdraw", permission="billing:manage", methods=["POST"], seconds=api.REQUEST_SECONDS)
def withdraw_change() -> Any:
    try:
        billing = g.services.billing.with_timeout(api.CHANGE_SECONDS)
        answer = billing.withdraw_change(command_id=forms.command_id())
    except errors.Conflict as error:
        flask.flash(forms.WORDS.get(error.code, error.message), "warning")
        return views.see_other("/billing")
    if answer["outcome"] == "changed":
        flask.flash("The scheduled change is withdrawn; your plan stays.", "success")
        return views.see_other("/billing")
    return _outcome(answer)


@pages.view("/billing/portal", permission="billing:manage", methods=["POST"], seconds=api.REQUEST_SECONDS)
def open_portal() -> Any:
    """Whoever has the portal's address is let in, so that it is in this answer alone."""
    try:
        billing = g.services.billing.with_timeout(api.CHANGE_SECONDS)
        url = billing.open_portal(command_id=forms.command_id())["url"]
    except errors.Conflict as error:
        flask.flash(error.message, "warning")
        return views.see_other("/billing")
    return views.leave_for(url, "the customer portal")
