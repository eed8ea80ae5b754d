"""
Orgs that send messages, many at once: each with its limits, a bot and an API secret.

They are made by the very doors and handlers of quota and secrets, in this process, on the databases of a stack that
stands. Accounts and billing never hear of them, and have no part in an admission.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import load, stack

MESSAGES = 100_000_000  # each org's plan has: nobody gets near a threshold
MAKERS = 4  # at once: each waits for PostgreSQL most of the time

Made = TypeVar("Made")


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


def make(standing: stack.Standing, count: int) -> list[Org]:
    """New orgs on a plan of their own, when all that was told of them is published."""
    with houses(standing) as opened:
        ids = _at_once(lambda _: _subscribe(opened), range(count))
        return _equip(opened, ids)


def equip(standing: stack.Standing, ids: Sequence[str]) -> list[Org]:
    """The same for orgs that quota has already."""
    with houses(standing) as opened:
        return _equip(opened, ids)


def _equip(opened: dict[str, Any], ids: Sequence[str]) -> list[Org]:
    made = _at_once(lambda org_id: _give_bot_and_secret(opened, org_id), ids)
    for house in opened.values():
        stack.until(lambda home=house.database: is_published(home))
    return made


def _at_once(make_one: Callable[[Any], Made], them: Iterable[Any]) -> list[Made]:
    with ThreadPoolExecutor(MAKERS) as makers:
        return list(makers.map(make_one, them))


def is_published(home: Any) -> bool:
    """Whether RabbitMQ has all public events of this database."""
    from sqlalchemy import text

    with home.begin() as session:
        waiting = "SELECT published < position OR EXISTS (SELECT FROM outbox) FROM log_head"
        return not session.scalar(text(waiting))


@contextmanager
def houses(standing: stack.Standing) -> Iterator[dict[str, Any]]:
    """What the doors of quota and secrets open onto, by name."""
    from ops import processes
    from services import access
    from shared import clock, config, database, doors

    business_clock = clock.Clock(Path(standing.environment["CHATNESS_CLOCK_FILE"]))
    opened = {}
    for name in ("quota", "secrets"):
        settings = config.load(processes.settings_of(name), standing.environment)
        home = database.Database(settings.database_url, business_clock)
        key = standing.environment["CHATNESS_KEY"].encode()
        opened[name] = doors.House(database=home, authorise=access.check, fingerprint_key=key, settings=settings)
    yield opened
    for house in opened.values():
        house.database.close()


def _subscribe(opened: dict[str, Any]) -> str:
    from services.billing.events import SubscriptionChanged
    from services.quota import worker
    from shared import clock, ids

    org_id, home = ids.new("org"), opened["quota"].database
    subscribed = SubscriptionChanged(
        org_id=org_id,
        version=1,
        plan_before="",
        plan="benchmark",
        action="started",
        status="active",
        message_limit=MESSAGES,
        bot_limit=1,
        max_resets_per_month=2,
        effective_at=clock.rfc3339(home.clock.now()),
    )
    with home.begin() as session:
        worker.on_subscription_changed(session, subscribed, None)  # type: ignore[arg-type]  # it does not look
    return org_id


def _give_bot_and_secret(opened: dict[str, Any], org_id: str) -> Org:
    from services.gateway import api_secret
    from services.quota.service import QuotaService
    from services.secrets.service import SecretsService
    from shared import context, ids

    quota, secrets = QuotaService(), SecretsService()
    quota.house, secrets.house = opened["quota"], opened["secrets"]
    token = api_secret.generate("test")
    with context.use(actor=context.Actor(kind="person", id=ids.new("acc"), org_id=org_id, role="owner")):
        bot = quota.create_bot(ids.new("cmd"), name="Bench")
        fingerprint = {"sha256": api_secret.fingerprint(token), "hint": "chs_test_…"}
        secrets.create_secret(ids.new("cmd"), name="bench", **fingerprint)
    return Org(id=org_id, bot_id=bot["id"], token=token)
