"""The texts of an org that its owner may change, and what each may hold."""

from collections.abc import Callable, Mapping
from functools import partial

from services.accounts import addresses, inputs


def checked(changes: Mapping[str, str | None]) -> dict[str, str]:
    """
    The texts as they are to be kept.

    :param changes: by field; None: leave it, empty: clear it
    :raises Invalid: `invalid_<field>`
    """
    return {field: _CHECKS[field](text) for field, text in changes.items() if text is not None}


def _billing_email(text: str) -> str:
    return addresses.parse(text, field="billing_email").typed if text.strip() else ""


_CHECKS: dict[str, Callable[[str], str]] = {
    "name": inputs.name,
    "legal_name": partial(inputs.line, field="legal_name", maximum=200),
    "address": partial(inputs.lines, field="address", maximum=500),
    "tax_id": partial(inputs.line, field="tax_id", maximum=50),
    "billing_email": _billing_email,
}
