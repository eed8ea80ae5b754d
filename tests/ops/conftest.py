"""The surroundings in which the command line's rooms look for databases and RabbitMQ."""

import sys
from collections.abc import Iterator

import pytest
import structlog

from tests.ops.months import Months
from tests.quota.conftest import Quota, make_quota, quota
from tests.sandbox.conftest import client, sandbox, stripe_receiver, stripe_server

__all__ = ["client", "make_quota", "quota", "sandbox", "stripe_receiver", "stripe_server"]
NOWHERE = "postgresql+psycopg2://nobody:x@127.0.0.1:1/none"
SETTINGS = {
    **{f"{name}_DATABASE_URL": NOWHERE for name in ("ACCOUNTS", "BILLING", "SECRETS", "QUOTA")},
    "CHATNESS_KEY": "k" * 32,
    "CURSOR_KEY": "k" * 32,
    "SECRETS_PEPPER": "k" * 32,
    "PUBLIC_URL": "http://127.0.0.1:1",
    "SMTP_URL": "smtp://127.0.0.1:1",
    "MAIL_FROM": "Chatness <no-reply@chatness.example>",
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRETS": "whsec_" + "k" * 32,
}


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """
    A command configures the logs of its process, which here is that of the tests, and every logger that is used then
    keeps to it for good: later tests would look for its lines in vain.
    """
    before = structlog.get_config()
    yield
    structlog.configure(**before)
    for module in list(sys.modules.values()):
        log = vars(module).get("log")
        if isinstance(log, structlog._config.BoundLoggerLazyProxy):
            log.__dict__.pop("bind", None)


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch, amqp_uri: str) -> pytest.MonkeyPatch:
    """Every setting that a command may need, with the module's RabbitMQ and databases that are not there."""
    for name, value in {**SETTINGS, "AMQP_URI": amqp_uri}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def months(monkeypatch: pytest.MonkeyPatch, quota: Quota) -> Months:
    """An org of quota on a database of its own, where the command line finds it: 10 messages, one bot."""
    found = {
        "AMQP_URI": "amqp://127.0.0.1:1",
        "CHATNESS_CLOCK_FILE": str(quota.database.clock.file),
        "CHATNESS_SANDBOX": "1",
        "QUOTA_DATABASE_URL": quota.database.url,
    }
    for name, value in (SETTINGS | found).items():
        monkeypatch.setenv(name, value)
    return Months(quota, quota.tell("create_bot", name="Anna")["id"])
