"""
Orgs that send messages, many at once: each with its limits, a bot and an API secret.

They are made by the very doors and handlers of quota and secrets, in this process, on the databases of a stack that
stands. Accounts and billing never hear of them, and have no part in an admission.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import load, stack

MESSAGES = 10_000_000
MAKERS = 4  # at once: each waits for PostgreSQL most of the time


@dataclass(frozen=True, kw_only=True)
class Org:
    """:param token: its API secret, which may admit messages"""

    id: str
    bot_id: str
    token: str

    def message(self, port: int, path: str = "/v1/messages") -> load.Request:
        headers = {"Authorization": f"Bearer {self.token}"}
        return load.Request(
            port=port, method="POST", path=path, headers=headers, body=f'{{"bot_id": "{self.bot_id}"}}'
        )


def make(standing: stack.Standing, count: int, *, messages: int = MESSAGES) -> list[Org]:
    """
    New orgs on a plan of their own, when all that was told of them is published.

    :param messages: the plan's, per month
    """
    with _houses(standing) as houses:
        with ThreadPoolExecutor(MAKERS) as makers:
            made = list(makers.map(lambda _: _make(houses, messages), range(count)))
        for house in houses.values():
            stack.until(lambda house=house: is_published(house.database))
    return made


def is_published(home: Any) -> bool:
    """Whether RabbitMQ has all public events of this database."""
    from sqlalchemy import text

    with home.begin() as session:
        waiting = "SELECT published < position OR EXISTS (SELECT FROM outbox) FROM log_head"
        return not session.scalar(text(waiting))


@contextmanager
def _houses(standing: stack.Standing) -> Iterator[dict[str, Any]]:
    from ops import processes
    from services import access
    from shared import clock, config, database, doors

    business_clock = clock.Clock(Path(standing.environment["CHATNESS_CLOCK_FILE"]))
    houses = {}
    for name in ("quota", "secrets"):
        settings = config.load(processes.settings_of(name), standing.environment)
        home = database.Database(settings.database_url, business_clock)
        key = standing.environment["CHATNESS_KEY"].encode()
        houses[name] = doors.House(database=home, authorise=access.check, fingerprint_key=key, settings=settings)
    yield houses
    for house in houses.values():
        house.database.close()


def _make(houses: dict[str, Any], messages: int) -> Org:
    from services.billing.events import SubscriptionChanged
    from services.gateway import api_secret
    from services.quota import service, worker
    from services.secrets.service import SecretsService
    from shared import clock, context, ids

    quota, secrets = service.QuotaService(), SecretsService()
    quota.house, secrets.house = houses["quota"], houses["secrets"]
    org_id, token = ids.new("org"), api_secret.generate("test")
    subscribed = SubscriptionChanged(
        org_id=org_id,
        version=1,
        plan_before="",
        plan="benchmark",
        action="started",
        status="active",
        message_limit=messages,
        bot_limit=1,
        max_resets_per_month=2,
        effective_at=clock.rfc3339(quota.house.database.clock.now()),
    )
    with quota.house.database.begin() as session:
        worker.on_subscription_changed(session, subscribed, None)  # type: ignore[arg-type]  # it does not look
    owner = context.Actor(kind="person", id=ids.new("acc"), org_id=org_id, role="owner")
    with context.use(actor=owner):
        bot = quota.create_bot(ids.new("cmd"), name="Bench")
        fingerprint = {"sha256": api_secret.fingerprint(token), "hint": "chs_test_…"}
        secrets.create_secret(ids.new("cmd"), name="bench", **fingerprint)
    return Org(id=org_id, bot_id=bot["id"], token=token)
