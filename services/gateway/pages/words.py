"""How moments, money and names of things are written for people."""

from datetime import datetime
from typing import Any

from shared import clock

SYMBOLS = {"usd": "$", "eur": "€", "gbp": "£"}
# The smallest unit is a hundredth but in these. Source: Stripe's page "Supported currencies".
OTHER_DECIMALS = {
    0: ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"),
    3: ("bhd", "jod", "kwd", "omr", "tnd"),
}
DECIMALS = {currency: decimals for decimals, currencies in OTHER_DECIMALS.items() for currency in currencies}

SCOPES = {
    "bots:read": "See the bots and their state",
    "bots:write": "Create, rename, pause, resume and delete bots",
    "messages:refund": "Give back a message that could not be sent",
    "messages:write": "Send messages, which the month counts",
    "profile:read": "Read the organization's name and members",
    "usage:read": "Read the month's usage",
}
STATES = {
    "running": "Running",
    "paused": "Paused",
    "stopped": "Stopped",
    "active": "Active",
    "past_due": "Payment overdue",
    "canceled": "Canceled",
    "expired": "Expired",
    "revoked": "Revoked",
    "paid": "Paid",
    "open": "To be paid",
    "void": "Void",
    "draft": "Draft",
    "uncollectible": "Not collected",
}
# In this order: Edge and Opera call themselves Chrome too, and Chrome calls itself Safari.
_BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
_SYSTEMS = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


def day(moment: str) -> str:
    """`2026-12-01T00:00:00Z` as 1 December 2026."""
    at = clock.parse(moment)
    return f"{at.day} {at:%B %Y}"


def minute(moment: str) -> str:
    at = clock.parse(moment)
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def month(period: str) -> str:
    """`2026-11` as November 2026."""
    return f"{_first(period):%B %Y}"


def money(cents: int, currency: str) -> str:
    """:param cents: in the currency's smallest unit, as Stripe counts: 500 is $5, and ¥500"""
    decimals = DECIMALS.get(currency, 2)
    whole, part = divmod(abs(cents), 10**decimals)
    amount = f"{whole:,}.{part:0{decimals}}" if part else f"{whole:,}"
    sign = "-" if cents < 0 else ""
    symbol = SYMBOLS.get(currency)
    return f"{sign}{symbol}{amount}" if symbol else f"{sign}{amount} {currency.upper()}"


def count(number: int) -> str:
    return f"{number:,}"


def plural(number: int, one: str, many: str = "") -> str:
    """1 bot, 2 bots."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def state(code: str) -> str:
    return STATES.get(code, code.replace("_", " ").capitalize())


def device(user_agent: str) -> str:
    """Firefox on Linux; of a program its own words."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or user_agent.split(" ", maxsplit=1)[0][:40] or "An unknown program"


def filters() -> dict[str, Any]:
    return {one.__name__: one for one in (day, minute, month, money, count, plural, state, device)}


def _first(period: str) -> datetime:
    return clock.parse(f"{period}-01T00:00:00Z")
