"""What the billing service reads from the environment."""

from dataclasses import dataclass
from pathlib import Path

from services.billing import catalogue
from shared import config


def _without_slash(text: str) -> str:
    return config.url("http", "https")(text).rstrip("/")


def _secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(part.strip() for part in text.split(",") if part.strip())
    if not all(secret.startswith("whsec_") for secret in secrets):
        raise ValueError("each must start with whsec_")
    return secrets


def _api_key(text: str) -> str:
    if not text.startswith(("sk_test_", "sk_live_", "rk_test_", "rk_live_")):
        raise ValueError("it must start with sk_ or rk_, and test_ or live_")
    return text


def _catalogue(text: str) -> Path:
    file = Path(text)
    try:
        catalogue.load(file)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    return file


@dataclass(frozen=True, kw_only=True)
class AccountSettings:
    """Of the Stripe account, and what we sell there: all that setting it up needs."""

    stripe_api_key: str = config.setting(
        "STRIPE_API_KEY", "a secret or restricted key of the Stripe account", parse=_api_key, secret=True
    )
    stripe_api_base: str = config.setting(
        "STRIPE_API_BASE", "where Stripe answers, if not at Stripe", parse=config.url("http", "https"), default=""
    )
    catalogue_file: Path = config.setting(
        "BILLING_CATALOGUE", "the plans, a TOML file", parse=_catalogue, default=catalogue.DEFAULT
    )
    public_url: str = config.setting(
        "PUBLIC_URL", "the address clients know, as https://api.example.com", parse=_without_slash
    )

    @property
    def plans(self) -> catalogue.Catalogue:
        return catalogue.load(self.catalogue_file)

    @property
    def livemode(self) -> bool:
        return "_live_" in self.stripe_api_key


@dataclass(frozen=True, kw_only=True)
class Settings(AccountSettings):
    database_url: str = config.setting(
        "BILLING_DATABASE_URL",
        "where billing keeps its data",
        parse=config.url("postgresql+psycopg2"),
        secret=True,
    )
    stripe_webhook_secrets: tuple[str, ...] = config.setting(
        "STRIPE_WEBHOOK_SECRETS",
        "what webhooks are signed with, whsec_…; several with commas between while one is being replaced",
        parse=_secrets,
        secret=True,
    )
