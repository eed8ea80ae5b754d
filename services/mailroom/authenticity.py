"""
Whether a mail is from whom it says: by DKIM, checked here, or by the word of our own mail server. The one place that
uses dkimpy, authres and dnspython; whatever a stranger's bytes do to them is a no.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import authres
import dkim
import dns.exception
import dns.resolver

from services.mailroom import domain, reading
from services.mailroom.settings import Network
from shared import config, logs

DNS_SECONDS = 5.0
MOST_CHECKED = 3
SMALLEST_KEY_BITS = 1024
log = logs.logger(__name__)

LookUp = Callable[[str], bytes | None]
"""(name): its TXT record, or None if there is none."""


class Away(Exception):
    """It cannot be told now, but later."""


@dataclass(frozen=True)
class Delivery:
    """
    :param fields: of its head
    :param peer: the address it came from
    """

    mail: bytes
    fields: reading.Fields
    letter: domain.Letter
    peer: str


Check = Callable[[Delivery], bool]
"""Whether it is from whom it says. Raises Away."""


def by_dkim(look_up: LookUp) -> Check:
    def ask(name: bytes, timeout: float = DNS_SECONDS) -> bytes | None:  # noqa: ARG001  # dkimpy gives it
        return look_up(name.decode("ascii").rstrip("."))

    def check(delivery: Delivery) -> bool:
        places = domain.provers(delivery.letter)[:MOST_CHECKED]
        return any(_is_good(delivery.mail, place, ask) for place in places)

    return check


def by_own_server(authserv_id: str, networks: tuple[Network, ...]) -> Check:
    """
    Our server writes exactly one result of its name, and takes away what others wrote in its name. If it does not,
    there are two, and none is believed. What somebody else than our server brings is not believed at all.
    """

    def check(delivery: Delivery) -> bool:
        results = reading.all_of(delivery.fields, "authentication-results")
        named = [one for one in results if _name_in(one) == authserv_id.lower()]
        if len(named) != 1 or not _is_in(delivery.peer, networks) or not domain.provers(delivery.letter):
            return False
        return _says_pass(named[0], delivery.letter.domain)

    return check


def from_dns(name: str) -> bytes | None:
    """:raises Away: if no server answers"""
    try:
        found = dns.resolver.resolve(f"{name}.", "TXT", lifetime=DNS_SECONDS)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return None
    except (dns.exception.Timeout, dns.resolver.NoNameservers, dns.resolver.NoResolverConfiguration) as error:
        raise Away(type(error).__name__) from None
    except dns.exception.DNSException:  # such as a name that is none
        return None
    records = [b"".join(record.strings) for record in found]
    return records[0] if len(records) == 1 else None


def from_file(path: Path) -> LookUp:
    """:raises BadConfiguration: if it cannot be read"""
    try:
        lines = [line.split(None, 1) for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise config.BadConfiguration(f"MAILROOM_DKIM_KEYS cannot be read: {error.strerror}") from None
    return {name: record.encode() for name, record in lines}.get


def _is_good(mail: bytes, place: int, ask: Callable[..., bytes | None]) -> bool:
    try:
        return bool(dkim.DKIM(mail, minkey=SMALLEST_KEY_BITS).verify(idx=place, dnsfunc=ask))
    except Away:
        raise
    except Exception as error:  # noqa: BLE001  # of a stranger's bytes
        log.info("signature not checked", error=type(error).__name__)
        return False


def _name_in(result: str) -> str:
    """As liberal as anybody who might read it: a name in disguise must count as a second one."""
    return result.partition(";")[0].split("(")[0].strip().strip('"').split(" ")[0].lower()


def _says_pass(result: str, wanted: str) -> bool:
    try:
        parsed = authres.AuthenticationResultsHeader.parse(f"Authentication-Results: {result}")
        found = [one for one in parsed.results if one.method == "dkim" and one.result == "pass"]
        return any(str(one.header_d or "").lower() == wanted for one in found)
    except Exception as error:  # noqa: BLE001  # of a stranger's bytes
        log.info("result not read", error=type(error).__name__)
        return False


def _is_in(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in networks)
