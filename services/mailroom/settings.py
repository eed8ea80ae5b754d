"""What the mailroom reads from the environment."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from services.mailroom import domain
from shared import config

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _address(text: str) -> str:
    if not re.fullmatch(domain.ADDRESS, text):
        raise ValueError("it must be an address as support@example.com")
    return text


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(one.strip()) for one in text.split(","))


@dataclass(frozen=True, kw_only=True)
class Settings:
    support_address: str = config.setting(
        "SUPPORT_ADDRESS", "the mailbox whose mail comes here: no other is taken", parse=_address
    )
    forward_to: str = config.setting(
        "SUPPORT_FORWARD_TO", "where the people of support read the mail; not the mailbox itself", parse=_address
    )
    smtp_url: str = config.setting(
        "SMTP_URL",
        "the mail server that takes what is passed on, as smtp://user:password@mail.example.com:587",
        parse=config.url("smtp", "smtps"),
        secret=True,
    )
    mail_from: str = config.setting("MAIL_FROM", "the sender of our own mails, which ask for nothing")
    authserv_id: str = config.setting(
        "MAILROOM_AUTHSERV_ID",
        "the name by which your own mail server signs its Authentication-Results, which are then believed; "
        "by default the mailroom checks DKIM by itself, with keys from DNS",
        default="",
    )
    mail_servers: tuple[Network, ...] = config.setting(
        "MAILROOM_MAIL_SERVERS",
        "the networks, with commas between, from which your own mail server's Authentication-Results are believed",
        parse=_networks,
        default=(),
    )
    dkim_keys: Path | None = config.setting(
        "MAILROOM_DKIM_KEYS",
        "for the sandbox: a file of DKIM keys that are used instead of DNS, each line a name and its TXT record",
        parse=Path,
        default=None,
    )
    host: str = config.setting(
        "MAILROOM_HOST", "the address to listen on; 0.0.0.0 in a container", default="127.0.0.1"
    )
    port: int = config.setting("MAILROOM_PORT", "the port to listen on", parse=config.whole(1, 65535), default=2525)
    tls_certificate: Path | None = config.setting(
        "MAILROOM_TLS_CERTIFICATE",
        "the certificate and those it rests on, in one PEM file, read again for each conversation; with it mail is "
        "taken only after STARTTLS",
        parse=Path,
        default=None,
    )
    tls_key: Path | None = config.setting(
        "MAILROOM_TLS_KEY",
        "its private key as a PEM file, without a password; by default it stands in the certificate's",
        parse=Path,
        default=None,
    )
    max_bytes: int = config.setting(
        "MAILROOM_MAX_BYTES",
        "the largest mail that is taken",
        parse=config.whole(10_000, 100_000_000),
        default=26_214_400,
    )
    connections: int = config.setting(
        "MAILROOM_CONNECTIONS",
        "how many may be open at once; as each may hold a mail, it bounds the memory",
        parse=config.whole(1, 1000),
        default=20,
    )
    mails_per_minute: int = config.setting(
        "MAILROOM_MAILS_PER_MINUTE",
        "how many mails of one peer are taken; the rest is told to come later",
        parse=config.whole(1, 1_000_000),
        default=120,
    )
    idle_seconds: int = config.setting(
        "MAILROOM_IDLE_SECONDS",
        "how long a peer may take for a command, or for a whole mail",
        parse=config.whole(1, 3600),
        default=300,
    )
