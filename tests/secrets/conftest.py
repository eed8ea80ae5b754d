"""A secrets service on a database of its own, and whoever asks."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services import access, suspension
from services.gateway import api_secret
from services.secrets import peppers, service
from services.secrets.settings import Settings
from shared import context, database, doors, errors, events, outbox

OWNER = context.Actor(kind="person", id="acc_owner", org_id="org_1", role="owner")
MEMBER = context.Actor(kind="person", id="acc_member", org_id="org_1", role="member")
STRANGER = context.Actor(kind="person", id="acc_stranger", org_id="org_2", role="owner")
GATEWAY = context.Actor(kind="service", id="gateway")


@dataclass
class Secrets:
    """The doors as people and the gateway find them."""

    database: database.Database
    doors: service.SecretsService
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ask(self, method: str, *, actor: context.Actor = OWNER, **arguments: Any) -> Any:
        with context.use(actor=actor):
            return getattr(self.doors, method)(**arguments)

    def tell(self, method: str, *, actor: context.Actor = OWNER, command_id: str = "", **arguments: Any) -> Any:
        with context.use(actor=actor):
            return getattr(self.doors, method)(command_id or f"cmd_{next(self.numbers)}", **arguments)

    def create(self, value: str = "", **changes: Any) -> Any:
        """What the gateway does with a value that it has made."""
        value = value or api_secret.generate()
        asked = {"name": "Website", "sha256": api_secret.fingerprint(value), "hint": f"chs_live_\u2026{value[-4:]}"}
        return self.tell("create_secret", **{**asked, **changes})

    def rotate(self, secret_id: str, value: str = "", **changes: Any) -> Any:
        """What the gateway does with another value that it has made."""
        value = value or api_secret.generate()
        asked = {"sha256": api_secret.fingerprint(value), "hint": f"chs_live_\u2026{value[-4:]}"}
        return self.tell("rotate_secret", **{"secret_id": secret_id, **asked, **changes})

    def is_known(self, value: str) -> bool:
        try:
            self.verify(value)
        except errors.NotFound:
            return False
        return True

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """The public events in their order, as the others hear them."""
        outbox.sequence(self.database)
        with self.database.begin() as session:
            pulled = outbox.pull(session, "secrets", after=0, hash=events.GENESIS.hex(), limit=100)
        return [(event["type"], event["data"]) for event in pulled["events"]]

    def verify(self, value: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("verify_secret", actor=GATEWAY, sha256=api_secret.fingerprint(value))
        return answer

    def wait(self, **time: float) -> None:
        self.database.clock.set(frozen_at=self.database.clock.now() + timedelta(**time))

    def season(self, *keys: str) -> None:
        """Start anew with these peppers, the active one first."""
        self._set(peppers=peppers.parse(",".join(keys)))

    def limit(self, active: int) -> None:
        self._set(active_limit=active)

    def _set(self, **changes: Any) -> None:
        house = self.doors.house
        self.doors.house = replace(house, settings=replace(house.settings, **changes))


@pytest.fixture
def secrets(open_database: Callable[[str], database.Database]) -> Secrets:
    home = open_database("secrets")
    home.clock.set(frozen_at=datetime(2026, 11, 22, 12, tzinfo=UTC))
    made = service.SecretsService()
    made.house = doors.House(
        database=home,
        authorise=access.check,
        fingerprint_key=b"k" * 32,
        settings=Settings(database_url=home.url, peppers=peppers.parse("p" * 32)),
        refused=suspension.REFUSED,
    )
    return Secrets(home, made)
