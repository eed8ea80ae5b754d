"""A billing service on a database of its own, its worker, and a Stripe sandbox in a process of its own."""

import base64
import itertools
import threading
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import func, update

from services import access, suspension
from services.billing import catalogue, models, projections, service, worker
from services.billing.events import SubscriptionChanged
from services.billing.settings import Settings
from shared import clock, context, database, doors, errors, jobs, store
from tests.sandbox import stripe_process
from tests.sandbox.conftest import sandbox, stripe_receiver, stripe_server

__all__ = ["sandbox", "stripe_receiver", "stripe_server"]

OWNER = context.Actor(kind="person", id="acc_1", org_id="org_1", role="owner")
GOOD, BAD, ASKS = "4242 4242 4242 4242", "4000 0000 0000 0341", "4000 0025 0000 3155"
PLANS = """
grace_period_days = 7

[[plans]]
id = "free"
name = "Free"
price_cents = 0
currency = "usd"
messages = 200
bots = 1
rank = 0
max_resets_per_month = 2

[[plans]]
id = "starter"
name = "Starter"
price_cents = 1900
currency = "usd"
lookup_key = "starter_monthly"
messages = 2000
bots = 3
rank = 1
max_resets_per_month = 2

[[plans]]
id = "growth"
name = "Growth"
price_cents = 4900
currency = "usd"
lookup_key = "growth_monthly"
messages = 10000
bots = 10
rank = 2
max_resets_per_month = 2
"""


@dataclass
class Billing:
    """Billing's doors as the owner of `org_1` finds them, its worker, and the Stripe that it knows."""

    database: database.Database
    doors: service.BillingService
    settings: Settings
    stripe: stripe_process.Sandbox
    receiver: stripe_process.Receiver
    numbers: Any = field(default_factory=itertools.count)

    @property
    def work(self) -> Any:
        return worker.work(self.settings, self.database)

    def ask(self, method: str, *, actor: context.Actor = OWNER, **arguments: Any) -> Any:
        with context.use(actor=actor):
            return getattr(self.doors, method)(**arguments)

    def tell(self, method: str, *, command_id: str = "", **arguments: Any) -> Any:
        return self.ask(method, command_id=command_id or f"cmd_{next(self.numbers)}", **arguments)

    def hear(self, payload: bytes, signature: str) -> Any:
        [answer] = self.hear_all([(payload, signature)])
        if "refused" in answer:
            raise errors.from_json(answer["refused"])
        return answer

    def hear_all(self, arrived: Sequence[tuple[bytes, str]]) -> Any:
        items = [
            {"payload": base64.b64encode(payload).decode(), "signature": signature} for payload, signature in arrived
        ]
        return self.ask("receive_webhooks", actor=context.ANYONE, items=items)

    def deliver(self) -> None:
        """Take every webhook that Stripe has for us, and go after them."""
        self.stripe.knob("deliveries", {"stopped": False})
        stripe_process.eventually(lambda: all(each["status"] != "pending" for each in self.stripe.deliveries()))
        arrived, self.receiver.received[:] = list(self.receiver.received), []
        for webhook in arrived:
            self.hear(webhook.payload, webhook.signature)
        self.do_jobs()

    def do_jobs(self) -> int:
        return jobs.Runner(self.database, self.work.jobs).run_due(threading.Event())

    def turn_timers(self) -> None:
        for timer in self.work.timers:
            timer.run(self.database)

    def let_leases_run_out(self) -> None:
        with self.database.begin() as session:
            session.execute(update(models.Customer).values(lease_until=func.to_timestamp(0)))

    def set_clock(self, moment: str) -> None:
        self.stripe.set_clock(moment)

    def pay(self, checkout_url: str, number: str = GOOD) -> requests.Response:
        return requests.post(checkout_url, data={"number": number}, allow_redirects=False, timeout=10)

    def subscribe(self, plan: str = "starter") -> None:
        """The whole way: Checkout, a card, Stripe's webhooks."""
        self.pay(self.tell("change_plan", plan=plan)["checkout_url"])
        self.deliver()

    def use_card(self, number: str) -> None:
        portal = self.tell("open_portal")["url"]
        answer = requests.post(f"{portal}/card", data={"number": number}, allow_redirects=False, timeout=10)
        assert answer.status_code == 303

    def told(self) -> list[tuple[int, str, str, str]]:
        """(version, action, plan, status) of every SubscriptionChanged so far."""
        return [
            (fact.version, fact.action, fact.plan, fact.status)
            for fact in self.facts()
            if isinstance(fact, SubscriptionChanged)
        ]

    def facts(self) -> list[Any]:
        with self.database.begin() as session:
            recorded = store.read(session, projections.stream("org_1"))
            return [event.fact(projections.CATALOGUE) for event in recorded]

    def subscription(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.ask("get_subscription")
        return shown


@pytest.fixture(autouse=True)
def no_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at a customer is followed by a rest for the sake of messages, of which there are none here."""
    monkeypatch.setattr(worker, "RESTS", 0.0)


@pytest.fixture
def plans() -> catalogue.Catalogue:
    return catalogue.parse(tomllib.loads(PLANS))


@pytest.fixture
def billing(
    open_database: Callable[[str], database.Database],
    sandbox: stripe_process.Sandbox,
    stripe_receiver: stripe_process.Receiver,
    tmp_path: Path,
) -> Billing:
    """An org that nobody has told billing of yet; it is 1 April 2026 for us and for Stripe."""
    home = open_database("billing")
    home.clock = clock.Clock(sandbox.directory / "clock.json")
    (tmp_path / "plans.toml").write_text(PLANS)
    settings = Settings(
        database_url=home.url,
        stripe_api_key=stripe_process.KEY,
        stripe_api_base=sandbox.address,
        stripe_webhook_secrets=("whsec_of_last_year", stripe_process.SECRET),
        catalogue_file=tmp_path / "plans.toml",
        public_url="https://chat.example.com",
    )
    return Billing(home, open_doors(settings, home), settings, sandbox, stripe_receiver)


def open_doors(settings: Settings, home: database.Database) -> service.BillingService:
    made = service.BillingService()
    made.house = doors.House(
        database=home,
        authorise=access.check,
        fingerprint_key=b"k" * 32,
        settings=settings,
        refused=suspension.REFUSED,
    )
    return made
