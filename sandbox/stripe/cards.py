"""Stripe's well-known test cards: what each answers when it is attached and when it is charged. Pure."""

from dataclasses import dataclass
from typing import Any

AUTHENTICATION = "authentication_required"


@dataclass(frozen=True)
class Card:
    """
    :param attach_decline: why attaching it to a customer is declined, or None
    :param charge_decline: why charging it is declined, or None
    """

    number: str
    token: str
    brand: str = "visa"
    attach_decline: str | None = None
    charge_decline: str | None = None

    @property
    def fingerprint(self) -> str:
        """Tells the card from a payment method, which does not hold the number."""
        return f"sandbox{self.number[-9:]}"


CARDS = (
    Card("4242424242424242", "pm_card_visa"),
    Card("5555555555554444", "pm_card_mastercard", brand="mastercard"),
    Card(
        "4000000000000002",
        "pm_card_chargeDeclined",
        attach_decline="generic_decline",
        charge_decline="generic_decline",
    ),
    Card(
        "4000000000009995",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        attach_decline="insufficient_funds",
        charge_decline="insufficient_funds",
    ),
    Card("4000002500003155", "pm_card_authenticationRequired", charge_decline=AUTHENTICATION),
    Card("4000000000000341", "pm_card_chargeCustomerFail", charge_decline="generic_decline"),
)
_MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    AUTHENTICATION: "Your card was declined. This transaction requires authentication.",
}


def by_number(number: str) -> Card | None:
    digits = number.replace(" ", "")
    return next((card for card in CARDS if card.number == digits), None)


def by_token(token: str) -> Card | None:
    return next((card for card in CARDS if token in (card.token, card.token.replace("pm_", "tok_", 1))), None)


def of(payment_method: dict[str, Any]) -> Card:
    fingerprint = payment_method["card"]["fingerprint"]
    return next(card for card in CARDS if card.fingerprint == fingerprint)


def charge_decline(card: Card, *, authenticated: bool) -> str | None:
    """
    Why a charge is declined, or None.

    :param authenticated: whether a person has just confirmed it with the bank
    """
    if card.charge_decline == AUTHENTICATION and authenticated:
        return None
    return card.charge_decline


def explain(decline: str) -> dict[str, Any]:
    """The fields of Stripe's card error for a decline."""
    code = AUTHENTICATION if decline == AUTHENTICATION else "card_declined"
    return {"type": "card_error", "code": code, "decline_code": decline, "message": _MESSAGES[decline]}
