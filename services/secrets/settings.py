"""What the secrets service reads from the environment."""

from dataclasses import dataclass

from services.secrets import peppers
from shared import config


@dataclass(frozen=True, kw_only=True)
class Settings:
    database_url: str = config.setting(
        "SECRETS_DATABASE_URL",
        "where secrets keeps its data",
        parse=config.url("postgresql+psycopg2"),
        secret=True,
    )
    peppers: "tuple[peppers.Pepper, ...]" = config.setting(
        "SECRETS_PEPPER",
        "the key that API secrets are kept under, at least 32 bytes; former ones after commas",
        parse=peppers.parse,
        secret=True,
    )
    expiry_notice_days: int = config.setting(
        "SECRETS_EXPIRY_NOTICE_DAYS",
        "how many days before an API secret expires its maker and the owner are mailed, at half of its life at the "
        "earliest",
        parse=config.whole(1, 90),
        default=7,
    )
    active_limit: int = config.setting(
        "SECRETS_ACTIVE_LIMIT",
        "how many API secrets an org may have at once",
        parse=config.whole(1, 10_000),
        default=100,
    )
