"""What the quota service reads from the environment."""

from dataclasses import dataclass

from shared import config


@dataclass(frozen=True, kw_only=True)
class Settings:
    database_url: str = config.setting(
        "QUOTA_DATABASE_URL",
        "where quota keeps its data",
        parse=config.url("postgresql+psycopg2"),
        secret=True,
    )
    refund_seconds: int = config.setting(
        "QUOTA_REFUND_SECONDS",
        "how long after its admission a message may be refunded",
        parse=config.whole(0, 86_400),
        default=900,
    )
