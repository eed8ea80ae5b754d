"""E-mail addresses: the one place that uses email-validator, without asking DNS."""

from dataclasses import dataclass

import email_validator

from services.accounts import inputs


@dataclass(frozen=True)
class Address:
    """
    :param typed: as the person typed it, and as it is shown
    :param key: the same for all spellings of one mailbox: lower case, the domain in ASCII. Tags after a plus stay
    :param local_part: what stands before the @
    """

    typed: str
    key: str
    local_part: str


def parse(text: str, *, field: str = "email") -> Address:
    """
    Only local parts of ASCII characters: for others every mail server on the way must know SMTPUTF8.

    :raises Invalid: `invalid_<field>`
    """
    try:
        found = email_validator.validate_email(text.strip(), check_deliverability=False, allow_smtputf8=False)
    except email_validator.EmailNotValidError:
        inputs.refuse(f"invalid_{field}", field, "an address as name@example.com")
    return Address(typed=found.normalized, key=(found.ascii_email or "").lower(), local_part=found.local_part)


def deliverable(typed: str) -> str:
    """The spelling that every mail server understands: an international domain in ASCII."""
    return email_validator.validate_email(typed, check_deliverability=False).ascii_email or typed
