"""
Which mail asks for the deletion of an account, as far as its head tells; and which signature would prove its sender.

A mail that is passed on to a person for nothing costs a minute. So whatever is unusual here is no request.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

SUBJECT = "account exclusion"
ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
# One address: bare, or in angle brackets behind a name. No group, no comment, no second one in any disguise.
_ONE = re.compile(rf'(?:"(?:[^"\\]|\\.)*"|[^"<>,;:@()\[\]\\])*<({ADDRESS})>|({ADDRESS})', re.DOTALL)

LARGEST_BYTES = 256_000
# The command memory of accounts knows a Message-ID for 24 hours: a copy that comes later must be too old by then.
OLDEST = timedelta(hours=23)
CLOCKS_DIFFER = timedelta(minutes=15)
SIGNED = frozenset({"from", "to", "subject", "date", "message-id"})
ALGORITHMS = frozenset({"rsa-sha256", "ed25519-sha256"})
MOST_HOPS = 30


@dataclass(frozen=True, kw_only=True)
class Signature:
    """
    A DKIM signature as it describes itself.

    :param partial: whether it covers only the beginning of the body (`l=`), behind which anybody may write
    """

    domain: str
    algorithm: str
    signed: frozenset[str]
    partial: bool


@dataclass(frozen=True, kw_only=True)
class Letter:
    """
    The head of a mail. A field that does not stand there exactly once, or cannot be read, is empty or None.

    :param sender: the one address of the one From
    :param to: the addresses of To, in lower case
    :param automatic: whether a program says that it wrote it (RFC 3834), or a list sent it
    :param signatures: in their order in the head
    """

    sender: str = ""
    to: frozenset[str] = frozenset()
    subject: str = ""
    sent_at: datetime | None = None
    message_id: str = ""
    automatic: bool = False
    signatures: tuple[Signature, ...] = ()

    @property
    def domain(self) -> str:
        return self.sender.rpartition("@")[2].lower()


@dataclass(frozen=True, kw_only=True)
class House:
    """:param ours: the addresses that we write from"""

    support_address: str
    ours: frozenset[str]


def why_not(letter: Letter, house: House, *, envelope_sender: str, size: int, now: datetime) -> str:
    """What makes it no request, in a word for the log; empty if it is one, were it authentic."""
    if letter.subject.strip(" \t").lower() != SUBJECT:
        return "subject"
    if not letter.sender or letter.sender.lower() in house.ours:
        return "sender"
    if not envelope_sender or letter.automatic:
        return "automatic"
    if house.support_address.lower() not in letter.to:
        return "recipient"
    if letter.sent_at is None or not now - OLDEST <= letter.sent_at <= now + CLOCKS_DIFFER:
        return "date"
    if not letter.message_id:
        return "message id"
    if size > LARGEST_BYTES:
        return "size"
    return ""


def provers(letter: Letter) -> list[int]:
    """
    The places of the signatures that prove the sender if they are good: by From's own domain, strictly, over the
    whole body and every field we read. None at all if one of that domain is less: whoever says "pass" may mean that.
    """
    of_domain = [(at, one) for at, one in enumerate(letter.signatures) if one.domain == letter.domain]
    return [at for at, _one in of_domain] if all(_covers(one) for _at, one in of_domain) else []


def one_address(field: str) -> str:
    """The address in a From field; empty unless there is exactly one. What its name says counts for nothing."""
    found = _ONE.fullmatch(field.strip(" \t"))
    return (found[1] or found[2]) if found else ""


def addresses(field: str) -> frozenset[str]:
    return frozenset(one.lower() for one in re.findall(ADDRESS, field))


def passed_on_from(letter: Letter | None, envelope_sender: str, house: House) -> str:
    """
    The envelope sender of a mail that is passed on: ours, so that no stranger gets a failure of ours. A failure comes
    back here with none, and so does what a program wrote; that is passed on with none either, so it ends there.
    """
    return "" if not envelope_sender or (letter and letter.automatic) else house.support_address


def goes_in_circles(received: Collection[bytes]) -> bool:
    """:param received: its Received fields"""
    return len(received) > MOST_HOPS


def _covers(signature: Signature) -> bool:
    return not signature.partial and signature.signed >= SIGNED and signature.algorithm in ALGORITHMS
