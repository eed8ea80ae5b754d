"""What people may type: names, texts and passwords. Pure; each refusal points at the field."""

import unicodedata
from collections.abc import Collection
from typing import Never

from services.accounts import common_passwords
from shared import errors

PASSWORD_LENGTH_MIN = 15
PASSWORD_LENGTH_MAX = 128
UNCOMMON_LENGTH_MIN = 8  # so much must be left of a password without its common words
DISTINCT_CHARACTERS_MIN = 5
CONTEXT_WORD_LENGTH_MIN = 4  # a shorter one is part of too many other words

PRODUCT_WORDS = ("chatness", "chatbot")

# Control characters could forge a header or a log line, bidirectional overrides make one name look like another.
_REFUSED_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
_BIDIRECTIONAL = {chr(point) for point in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def name(text: str) -> str:
    """
    A name of a person or an org, without spaces around it.

    :raises Invalid: `invalid_name`
    """
    return line(text, field="name", maximum=100, minimum=1)


def line(text: str, *, field: str, maximum: int, minimum: int = 0) -> str:
    """:raises Invalid: `invalid_<field>` unless it is one line of so many characters"""
    stripped = unicodedata.normalize("NFC", text).strip()
    if not minimum <= len(stripped) <= maximum or any(map(_is_refused, stripped)):
        refuse(f"invalid_{field}", field, f"one line of {minimum} to {maximum} characters")
    return stripped


def lines(text: str, *, field: str, maximum: int) -> str:
    """:raises Invalid: `invalid_<field>` if it is longer, or holds control characters other than line breaks"""
    stripped = unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
    if len(stripped) > maximum or any(map(_is_refused, stripped.replace("\n", ""))):
        refuse(f"invalid_{field}", field, f"at most {maximum} characters")
    return stripped


def check_password(text: str, *, context_words: Collection[str], field: str = "password") -> None:
    """
    Length and uncommonness, no rules of composition (NIST SP 800-63B, OWASP ASVS 6.2).

    :param context_words: what an attacker who knows the person would try, such as the address's local part
    :raises Invalid: `password_too_short`, `password_too_long` or `password_too_common`
    """
    password = normal_password(text)
    if len(password) < PASSWORD_LENGTH_MIN:
        refuse("password_too_short", field, f"at least {PASSWORD_LENGTH_MIN} characters")
    if len(password) > PASSWORD_LENGTH_MAX:
        refuse("password_too_long", field, f"at most {PASSWORD_LENGTH_MAX} characters")
    if _is_common(password, {*PRODUCT_WORDS, *context_words}):
        refuse("password_too_common", field, "one that is harder to guess; a few unrelated words are fine")


def normal_password(text: str) -> str:
    """The same characters, however the keyboard composed them."""
    return unicodedata.normalize("NFKC", text)


def refuse(code: str, field: str, wanted: str) -> Never:
    message = f"This cannot be accepted as {field.replace('_', ' ')}; wanted: {wanted}."
    raise errors.Invalid(code, message, {"errors": [{"pointer": f"/{field}", "detail": wanted}]})


def _is_common(password: str, context_words: Collection[str]) -> bool:
    """
    Whether it is little more than common words strung together.

    A list of whole passwords would have to name every combination: of those that have 15 characters at all, nearly
    every common one is made of shorter common ones.
    """
    text = password.casefold()
    if len(set(text)) < DISTINCT_CHARACTERS_MIN:
        return True
    words = {word.casefold() for word in context_words if len(word) >= CONTEXT_WORD_LENGTH_MIN}
    return _count_uncommon(text, words | common_passwords.WORDS) < UNCOMMON_LENGTH_MIN


def _count_uncommon(text: str, words: Collection[str]) -> int:
    """How many characters are left over when as much as possible is covered by the words."""
    left_over = [0]  # of the first 0, 1, 2, ... characters
    for end in range(1, len(text) + 1):
        by_word = [left_over[end - len(word)] for word in words if text.endswith(word, 0, end)]
        left_over.append(min([left_over[-1] + 1, *by_word]))
    return left_over[-1]


def _is_refused(character: str) -> bool:
    return unicodedata.category(character) in _REFUSED_CATEGORIES or character in _BIDIRECTIONAL
