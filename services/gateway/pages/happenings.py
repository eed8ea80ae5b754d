"""An org's activity in sentences: what happened, and who did it."""

from collections.abc import Mapping
from typing import Any

from services.gateway.pages import words

WORDS = {
    "org_founded": "The organization was founded",
    "org_changed": "The organization's details were changed",
    "member_joined": "{subject} joined the organization",
    "member_removed": "{subject} was removed from the organization",
    "member_left": "{subject} left the organization",
    "ownership_transferred": "The organization was handed over to {subject}",
    "org_suspended": "The organization was suspended",
    "org_restored": "The organization goes on: it is not suspended any more",
    "secret_created": "The API secret {subject} was made",
    "secret_rotated": "The API secret {subject} got another value",
    "secret_revoked": "The API secret {subject} was revoked{because}",
    "secret_former_value_ended": "The value before of the API secret {subject} was ended{because}",
    "secret_expires_soon": "The API secret {subject} expires soon, on {expires_on}",
    "bot_created": "The bot {subject} was created",
    "bot_renamed": "The bot {subject} was renamed",
    "bot_paused": "The bot {subject} was paused{because}",
    "bot_resumed": "The bot {subject} was resumed{because}",
    "bot_deleted": "The bot {subject} was deleted",
    "bots_stopped": "All bots stopped{because}",
    "bots_restarted": "The bots run again{because}",
    "usage_reset": "The month's usage was reset: {used_before} messages were used",
    "usage_threshold_reached": "{threshold}% of the plan's messages were used",
    "credit_granted": "{messages} extra messages were granted, good until {expires_on}",
    "credit_expired": "Extra messages expired: {unused} were left",
    "subscription_change_requested": "A change to the plan {plan} was asked for",
    "subscription_change_given_up": "The change that was asked for did not happen",
    "subscription_started": "The plan {plan} began",
    "subscription_upgraded": "The plan became {plan}, after {plan_before}",
    "subscription_downgraded": "The plan became {plan}, after {plan_before}",
    "subscription_canceled": "The plan {plan_before} was canceled",
    "subscription_scheduled": "A change of the plan was scheduled",
    "subscription_withdrawn": "The scheduled change of the plan was withdrawn",
    "subscription_renewed": "The plan {plan} was renewed",
    "subscription_fell_back": "The plan fell back to {plan}, because a payment was overdue",
    "subscription_recovered": "The plan {plan} is back: what was owed is paid",
    "subscription_corrected": "The plan became {plan}, as it is with our payment provider",
    "payment_failed": "A payment failed; the plan is kept until {grace_until_day}",
    "payment_recovered": "What was owed was paid",
    "payment_refunded": "{refunded} of a payment went back",
    "payment_disputed": "A payment of {amount} is disputed",
    "duplicate_subscription_ended": "A second subscription was ended, and {refunded} went back",
}
_BECAUSE = {
    ("secret_revoked", "leaked"): ": it was found in public",
    ("secret_former_value_ended", "leaked"): ": it was found in public",
    ("bot_paused", "plan"): ": the plan has no room for it",
    ("bot_resumed", "plan"): ": the plan has room for it",
    ("bots_stopped", "limit"): ": no message is left this month",
    ("bots_stopped", "subscription"): ": the plan's new limit is used up",
    ("bots_stopped", "credit"): ": the extra messages have expired",
    ("bots_restarted", "month"): ": a new month has begun",
    ("bots_restarted", "subscription"): ": the plan has messages left",
    ("bots_restarted", "refund"): ": a message was given back",
    ("bots_restarted", "credit"): ": there are extra messages",
}
_NAMELESS = {"account": "a former member", "secret": "without a name", "bot": "without a name"}


class _Known(dict[str, str]):
    """What a sentence asks for and nobody knows is left open."""

    def __missing__(self, _key: str) -> str:
        return "…"


def sentence(row: Mapping[str, Any]) -> str:
    """What happened. One that this page has no words for yet is shown by its own."""
    what: str = row["what"]
    template = WORDS.get(what, what.replace("_", " "))
    said = template.format_map(_Known(_parts(row)))
    return said[:1].upper() + said[1:]


def doer(actor: Mapping[str, Any], *, own_id: str) -> str:
    """Who did it, as it stands behind a sentence; empty for what follows by itself, and for who is not known."""
    name = actor["name"]
    match actor["kind"]:
        case "person":
            return "by you" if actor["id"] == own_id else f"by {name or 'a former member'}"
        case "secret":
            return f"with the API secret {name}" if name else "with an API secret"
        case "service":
            return f"by {name}"
        case "operator":
            return "by our support"
        case _:
            return ""


def _parts(row: Mapping[str, Any]) -> dict[str, str]:
    details, subject = row["details"], row["subject"]
    parts = {
        key: value if isinstance(value, str) else words.count(value)
        for key, value in details.items()
        if _is_plain(value)
    }
    parts["because"] = _BECAUSE.get((row["what"], details.get("reason", "")), "")
    if subject:
        parts["subject"] = subject["name"] or _NAMELESS.get(subject["kind"], subject["id"])
    for name in ("plan", "plan_before"):
        if details.get(name):
            parts[name] = details[name].capitalize()
    if details.get("expires_at"):
        parts["expires_on"] = words.day(details["expires_at"])
    if details.get("grace_until"):
        parts["grace_until_day"] = words.day(details["grace_until"])
    for name in ("refunded", "amount"):
        if f"{name}_cents" in details:
            cents = details[f"{name}_cents"]
            parts[name] = words.money(cents, details["currency"]) if cents else "nothing"
    return parts


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool)
