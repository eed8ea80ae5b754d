"""A quota service on a database of its own, one org in it, and whoever asks."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from services import access, suspension
from services.billing.events import SubscriptionChanged
from services.quota import ledger, service, worker
from services.quota.events import CATALOGUE, MessageRecorded
from services.quota.settings import Settings
from shared import context, database, doors, envelope, outbox, store, tables

SETTINGS = Settings(database_url="")  # the house has its database already
OWNER = context.Actor(kind="person", id="acc_1", org_id="org_1", role="owner")
GATEWAY = context.Actor(kind="service", id="gateway")
LEDGER = store.Aggregate(catalogue=CATALOGUE, initial=ledger.Month(), evolve=ledger.evolve)


@dataclass
class Quota:
    """The doors as the owner of `org_1` finds them."""

    database: database.Database
    doors: service.QuotaService
    commands: int = 0

    def ask(self, method: str, *, actor: context.Actor = OWNER, **arguments: Any) -> Any:
        with context.use(actor=actor):
            return getattr(self.doors, method)(**arguments)

    def tell(self, method: str, *, actor: context.Actor = OWNER, command_id: str = "", **arguments: Any) -> Any:
        self.commands += 1
        with context.use(actor=actor):
            return getattr(self.doors, method)(command_id or f"cmd_{self.commands}", **arguments)

    def send(self, bot_id: str, *message_ids: str, actor: context.Actor = OWNER) -> list[dict[str, Any]]:
        items = [for_gateway(id, bot_id) for id in message_ids]
        answers: list[dict[str, Any]] = self.ask(
            "admit_messages", actor=GATEWAY, items=items, actors=[actor.to_json()]
        )
        return answers

    def subscribe(self, *, org_id: str = "org_1", version: int = 1, **changes: Any) -> None:
        fact = subscription(org_id=org_id, version=version, **changes)
        with self.database.begin() as session:
            worker.on_subscription_changed(session, fact, _no_envelope())


def for_gateway(message_id: str, bot_id: str, *, actor: int = 0, seconds: float = 10.0) -> dict[str, Any]:
    """An item of the gateway's: for the actor at this place in its list, who waits for so long."""
    return {"message_id": message_id, "bot_id": bot_id, "actor": actor, "deadline": time.time() + seconds}


def subscription(**changes: Any) -> SubscriptionChanged:
    free = {
        "org_id": "org_1",
        "version": 1,
        "plan_before": "",
        "plan": "free",
        "action": "started",
        "status": "active",
        "message_limit": 10,
        "bot_limit": 1,
        "max_resets_per_month": 2,
        "effective_at": "2026-11-22T12:00:00Z",
    }
    return SubscriptionChanged(**(free | changes))


def _no_envelope() -> Any:
    """The handler does not look at it; what it carries is the inbox's business."""
    return envelope.Envelope


@pytest.fixture
def make_quota(open_database: Callable[[str], database.Database]) -> Callable[..., Quota]:
    def make(home: database.Database | None = None) -> Quota:
        home = home or open_database("quota")
        quota = Quota(home, service.QuotaService())
        quota.doors.house = doors.House(
            database=home,
            authorise=access.check,
            fingerprint_key=b"k" * 32,
            settings=SETTINGS,
            refused=suspension.REFUSED,
        )
        return quota

    return make


@pytest.fixture
def quota(make_quota: Callable[..., Quota]) -> Quota:
    """An org on the Free plan: here 10 messages and one bot."""
    made = make_quota()
    made.database.clock.set(frozen_at=datetime(2026, 11, 22, 12, tzinfo=UTC))
    made.subscribe()
    return made


def recorded_messages(quota: Quota, org_id: str = "org_1") -> int:
    """How many messages stand in the org's ledgers."""
    with quota.database.begin() as session:
        wanted = select(func.count()).where(
            tables.Event.name == MessageRecorded.name, tables.Event.stream.like(f"ledger-{org_id}-%")
        )
        return session.scalars(wanted).one()


def codes(answers: Iterable[dict[str, Any]]) -> list[str]:
    """What became of each: `admitted`, or the code of its refusal."""
    return [answer.get("refused", {"code": "admitted"})["code"] for answer in answers]


def told(quota: Quota) -> list[str]:
    """The names of what quota has told the others, in order."""
    outbox.sequence(quota.database)
    with quota.database.begin() as session:
        return [event.name.removeprefix("quota.") for event in outbox.read_log(session, "quota", after=0, limit=100)]
