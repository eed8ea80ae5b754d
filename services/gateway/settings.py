"""What the gateway is told from outside."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from shared import config


def _without_slash(text: str) -> str:
    return config.url("http", "https")(text).rstrip("/")


def _key(text: str) -> bytes:
    key = text.encode()
    if len(key) < 32:
        raise ValueError("it must be at least 32 bytes long")
    return key


def _address(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", text):
        raise ValueError("it must be an address, as support@example.com")
    return text


@dataclass(frozen=True, kw_only=True)
class Settings:
    amqp_uri: str = config.setting("AMQP_URI", "where RabbitMQ is", parse=config.url("amqp", "amqps"), secret=True)
    public_url: str = config.setting(
        "PUBLIC_URL", "the address clients know, as https://api.example.com", parse=_without_slash
    )
    cursor_key: bytes = config.setting(
        "CURSOR_KEY",
        "signs the cursors of lists and the page's forms; the same in every gateway, at least 32 bytes",
        parse=_key,
        secret=True,
    )
    host: str = config.setting("CHATNESS_HOST", "the IPv4 address to listen on", default="127.0.0.1")
    port: int = config.setting("CHATNESS_PORT", "the port to listen on", parse=config.whole(1, 65535), default=8000)
    connections: int = config.setting(
        "CHATNESS_CONNECTIONS",
        "how many connections are open at most; half of them may be streams",
        parse=config.whole(1, 20_000),
        default=1000,
    )
    request_seconds: int = config.setting(
        "CHATNESS_REQUEST_SECONDS", "how long a request may take", parse=config.whole(1, 300), default=12
    )
    socket_seconds: int = config.setting(
        "CHATNESS_SOCKET_SECONDS",
        "how long a client may take to send a request or to take an answer",
        parse=config.whole(1, 300),
        default=10,
    )
    idle_seconds: int = config.setting(
        "CHATNESS_IDLE_SECONDS",
        "how long a connection may rest between requests",
        parse=config.whole(1, 600),
        default=75,
    )
    proxies: int = config.setting(
        "CHATNESS_PROXIES",
        "how many servers in front of the gateway each add to X-Forwarded-For whom they were asked by; 0: clients "
        "connect directly",
        parse=config.whole(0, 10),
        default=0,
    )
    body_bytes: int = config.setting(
        "CHATNESS_BODY_BYTES", "the largest JSON body", parse=config.whole(1024, 1_048_576), default=65_536
    )
    secret_cache_seconds: int = config.setting(
        "CHATNESS_SECRET_CACHE_SECONDS",
        "how long an API secret's answer is remembered",
        parse=config.whole(0, 300),
        default=30,
    )
    session_cache_seconds: int = config.setting(
        "CHATNESS_SESSION_CACHE_SECONDS",
        "how long a session's answer is remembered",
        parse=config.whole(0, 5),
        default=5,
    )
    clock_file: Path | None = config.setting(
        "CHATNESS_CLOCK_FILE", "the sandbox's test clock", parse=Path, default=None
    )
    waiting_messages: int = config.setting(
        "CHATNESS_WAITING_MESSAGES",
        "how many messages may wait for the next batch",
        parse=config.whole(1, 1_000_000),
        default=10_000,
    )
    secret_mode: str = config.setting(
        "CHATNESS_SECRET_MODE",
        "which API secrets are made, live or test",
        parse=config.one_of("live", "test"),
        default="live",
    )
    support_address: str = config.setting(
        "SUPPORT_ADDRESS",
        "whom people write to, as support@example.com; by default support@ the host of PUBLIC_URL",
        parse=_address,
        default="",
    )
    noop_route: bool = config.setting(
        "CHATNESS_NOOP_ROUTE",
        "whether POST /v1/noop and /v1/open-noop answer, for benchmarks",
        parse=config.boolean,
        default=False,
    )

    @property
    def support(self) -> str:
        """Where mail for the support goes."""
        return self.support_address or f"support@{urlsplit(self.public_url).hostname}"
