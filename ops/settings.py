"""What every process is told from outside."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared import clock, config, failpoints


def _key(text: str) -> bytes:
    key = text.encode()
    if len(key) < 32:
        raise ValueError("it must be at least 32 bytes long")
    return key


LEVEL = config.one_of("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, kw_only=True)
class ClockSettings:
    sandbox: bool = config.setting(
        "CHATNESS_SANDBOX",
        "whether this is a laptop's sandbox: only then may there be a test clock",
        parse=config.boolean,
        default=False,
    )
    clock_file: Path | None = config.setting(
        "CHATNESS_CLOCK_FILE", "the sandbox's test clock, shared by all processes", parse=Path, default=None
    )


@dataclass(frozen=True, kw_only=True)
class Settings(ClockSettings):
    amqp_uri: str = config.setting("AMQP_URI", "where RabbitMQ is", parse=config.url("amqp", "amqps"), secret=True)
    key: bytes = config.setting(
        "CHATNESS_KEY",
        "tells two request bodies apart; the same everywhere, at least 32 bytes",
        parse=_key,
        secret=True,
    )
    erased_register: Path | None = config.setting(
        "CHATNESS_ERASED_REGISTER",
        "the file of erased ids, outside the databases and their backups, which is applied again after a restore",
        parse=Path,
        default=None,
    )
    health_host: str = config.setting(
        "CHATNESS_HEALTH_HOST",
        "the IPv4 address where /livez, /readyz and /metrics are; 0.0.0.0 in a container",
        default="127.0.0.1",
    )
    health_port: int = config.setting(
        "CHATNESS_HEALTH_PORT",
        "the port of /livez, /readyz and /metrics; 0: none",
        parse=config.whole(0, 65535),
        default=0,
    )
    log_format: str = config.setting(
        "CHATNESS_LOG_FORMAT",
        "json for machines, text for a person's terminal",
        parse=config.one_of("json", "text"),
        default="json",
    )
    fail_at: tuple[str, int] | None = config.setting(
        "CHATNESS_FAIL_AT",
        "for tests in the sandbox: the place at which this process ends as if killed, as relay.published:3",
        parse=failpoints.parse,
        default=None,
    )
    log_level: str = config.setting("CHATNESS_LOG_LEVEL", "how much is logged", parse=LEVEL, default="INFO")


@dataclass(frozen=True, kw_only=True)
class CommandLineSettings:
    """What only the command line is told."""

    gateway_url: str = config.setting(
        "CHATNESS_GATEWAY_URL",
        "where the doctor asks the gateway, as http://gateway:8000; by default at PUBLIC_URL",
        parse=config.url("http", "https"),
        default="",
    )


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """:raises BadConfiguration: also for a test clock or a fail point outside the sandbox"""
    settings = config.load(Settings, environ)
    business_clock(settings)
    if settings.fail_at is not None and not settings.sandbox:
        raise config.BadConfiguration("CHATNESS_FAIL_AT is for the sandbox only (CHATNESS_SANDBOX=1)")
    return settings


def business_clock(settings: ClockSettings) -> clock.Clock:
    """:raises BadConfiguration: for a test clock outside the sandbox"""
    if settings.clock_file is not None and not settings.sandbox:
        raise config.BadConfiguration("CHATNESS_CLOCK_FILE is for the sandbox only (CHATNESS_SANDBOX=1)")
    return clock.Clock(settings.clock_file)
