"""When time must look at an object again. Pure."""

from typing import Any

INCOMPLETE_SECONDS = 23 * 3600  # for which a first invoice can be paid


def due_at(body: dict[str, Any]) -> int | None:
    """Unix seconds, or None if no passing of time changes this object."""
    rule = _RULES.get(body["object"])
    return rule(body) if rule else None


def _subscription(body: dict[str, Any]) -> int | None:
    if body["status"] in ("canceled", "incomplete_expired"):
        return None
    if body["status"] == "incomplete":
        return int(body["created"]) + INCOMPLETE_SECONDS
    period_end = int(body["items"]["data"][0]["current_period_end"])
    if body["pending_update"] is None:
        return period_end
    return min(period_end, int(body["pending_update"]["expires_at"]))


def _invoice(body: dict[str, Any]) -> int | None:
    if body["status"] == "draft":
        return body["automatically_finalizes_at"] if body["auto_advance"] else None
    return body["next_payment_attempt"] if body["status"] == "open" else None


def _session(body: dict[str, Any]) -> int | None:
    return body["expires_at"] if body["status"] == "open" else None


_RULES = {"subscription": _subscription, "invoice": _invoice, "checkout.session": _session}
