"""What the accounts service reads from the environment."""

from dataclasses import dataclass

from shared import config


def _without_slash(text: str) -> str:
    return config.url("http", "https")(text).rstrip("/")


@dataclass(frozen=True, kw_only=True)
class Settings:
    database_url: str = config.setting(
        "ACCOUNTS_DATABASE_URL",
        "where accounts keeps its data",
        parse=config.url("postgresql+psycopg2"),
        secret=True,
    )
    public_url: str = config.setting(
        "PUBLIC_URL", "the address clients know, as https://api.example.com", parse=_without_slash
    )
    smtp_url: str = config.setting(
        "SMTP_URL",
        "the mail server, as smtp://user:password@mail.example.com:587",
        parse=config.url("smtp", "smtps"),
        secret=True,
    )
    client_limit_factor: int = config.setting(
        "ACCOUNTS_CLIENT_LIMIT_FACTOR",
        "what multiplies how often one client address, and all together, may try; "
        "more than 1 where many people share an address",
        parse=config.whole(1, 10_000),
        default=1,
    )
    cooling_off_hours: int = config.setting(
        "ACCOUNTS_COOLING_OFF_HOURS",
        "for how long a confirmed deletion of an account can be withdrawn; 0: not at all",
        parse=config.whole(0, 24 * 90),
        default=72,
    )
    mail_from: str = config.setting("MAIL_FROM", "the sender of our mails, as Chatness <hello@example.com>")
