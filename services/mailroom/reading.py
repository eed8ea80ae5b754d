"""
From bytes to what the rules ask of a mail. Only its head is read, never its body.

Stricter than any mail program: a head that two programs could read in two ways is read in none.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email import errors, header, utils

from services.mailroom import domain

LARGEST_HEAD_BYTES = 128_000
LONGEST_FIELD = 4000
MOST_SIGNATURES = 10
_FIELD = re.compile(rb"([!-9;-~]+):(.*)", re.DOTALL)
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,500}@[^<>\s]{1,400}>")
_RECEIVED = re.compile(rb"(?im)^received:")
_PROGRAMS = frozenset({"bulk", "junk", "list", "auto_reply"})

Fields = Sequence[tuple[str, str]]


def fields(mail: bytes) -> Fields | None:
    """The names, in lower case, and the unfolded values of its head; None if it is not well formed, or huge."""
    head, blank, _body = mail.partition(b"\r\n\r\n")
    if len(head) > LARGEST_HEAD_BYTES:
        return None
    unfolded = re.sub(rb"\r\n(?=[ \t])", b"", head)
    lines = [_FIELD.fullmatch(line) for line in unfolded.split(b"\r\n")]
    if not blank or b"\0" in head or re.search(rb"\r(?!\n)|(?<!\r)\n", head) or None in lines:
        return None
    return [(_text(line[1]).lower(), _text(line[2])) for line in lines if line]


def letter(found: Fields) -> domain.Letter:
    return domain.Letter(
        sender=domain.one_address(_only(found, "from")),
        to=domain.addresses(_only(found, "to")),
        subject=_decoded(_only(found, "subject")),
        sent_at=_moment(_only(found, "date")),
        message_id=_message_id(_only(found, "message-id")),
        automatic=_is_automatic(found),
        signatures=_signatures(all_of(found, "dkim-signature")),
    )


def _signatures(values: Sequence[str]) -> tuple[domain.Signature, ...]:
    """None where there are more than anybody has: one that is not looked at might be a weak one of From's domain."""
    return tuple(map(_signature, values)) if len(values) <= MOST_SIGNATURES else ()


def all_of(found: Fields, name: str) -> list[str]:
    return [value for one, value in found if one == name]


def received(mail: bytes) -> list[bytes]:
    """The beginnings of its Received fields, also where the head is not well formed."""
    return _RECEIVED.findall(mail.partition(b"\r\n\r\n")[0])


def _only(found: Fields, name: str) -> str:
    values = all_of(found, name)
    return values[0] if len(values) == 1 and len(values[0]) <= LONGEST_FIELD else ""


def _decoded(value: str) -> str:
    try:
        return str(header.make_header(header.decode_header(value)))
    except (LookupError, ValueError, errors.MessageError):
        return ""


def _moment(value: str) -> datetime | None:
    try:
        moment = utils.parsedate_to_datetime(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (LookupError, TypeError, ValueError, OverflowError):
        return None


def _message_id(value: str) -> str:
    return value.strip() if _MESSAGE_ID.fullmatch(value.strip()) else ""


def _is_automatic(found: Fields) -> bool:
    written_by_program = any(_word(value) != "no" for value in all_of(found, "auto-submitted"))
    sent_by_list = any(_word(value) in _PROGRAMS for value in all_of(found, "precedence"))
    return written_by_program or sent_by_list or bool(all_of(found, "list-id"))


def _word(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _signature(value: str) -> domain.Signature:
    tags = dict(_tags(value.split(";")))
    return domain.Signature(
        domain=tags.get("d", "").lower(),
        algorithm=tags.get("a", "").lower(),
        signed=frozenset(name.strip().lower() for name in tags.get("h", "").split(":")),
        partial="l" in tags,
    )


def _tags(parts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for part in parts:
        name, _, value = part.partition("=")
        yield name.strip(), value.strip()


def _text(value: bytes) -> str:
    return value.decode("ascii", "surrogateescape")
