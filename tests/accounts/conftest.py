"""An accounts service on a database of its own, a mail server, and whoever asks."""

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import argon2
import pytest
from aiosmtpd.controller import Controller

from sandbox import mail, ports
from services import access, suspension
from services.accounts import passwords, service, tokens, worker
from services.accounts.settings import Settings
from shared import context, database, doors, jobs

PASSWORD = "seven grey herons fly"
GATEWAY = context.Actor(kind="service", id="gateway")


@dataclass
class Accounts:
    """The doors as people and the gateway find them, and the mails that go out."""

    database: database.Database
    doors: service.AccountsService
    settings: Settings
    mails: Path
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ask(self, method: str, *, actor: context.Actor = context.ANYONE, **arguments: Any) -> Any:
        with context.use(actor=actor):
            return getattr(self.doors, method)(**arguments)

    def tell(
        self, method: str, *, actor: context.Actor = context.ANYONE, command_id: str = "", **arguments: Any
    ) -> Any:
        with context.use(actor=actor):
            return getattr(self.doors, method)(command_id=command_id or f"cmd_{next(self.numbers)}", **arguments)

    def register(self, email: str = "ada@example.com", **changes: Any) -> Any:
        return self.tell("register", **{"name": "Ada", "email": email, "password": PASSWORD, **changes})

    def deliver(self) -> list[dict[str, Any]]:
        """Do the worker's jobs, and read what has arrived since the last time."""
        before = {one["message_id"] for one in mail.read(self.mails)}
        jobs.Runner(self.database, worker.work(self.settings, self.database).jobs).run_due(threading.Event())
        return [one for one in mail.read(self.mails) if one["message_id"] not in before]

    def mailed_token(self) -> str:
        """The token in the one mail that goes out now."""
        (arrived,) = self.deliver()
        return re.search(r"\?token=([\w-]{43})", arrived["text"])[1]  # type: ignore[index]

    def sign_up(self, email: str = "ada@example.com", **changes: Any) -> context.Actor:
        """Somebody with a confirmed account, signed in."""
        self.register(email, **changes)
        self.tell("confirm_email", token=self.mailed_token())
        return self.actor_of(self.sign_in(email)["token"])

    def sign_in(self, email: str = "ada@example.com", password: str = PASSWORD, **changes: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.tell("create_session", email=email, password=password, **changes)
        return answer

    def verify(self, token: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("verify_session", actor=GATEWAY, sha256=tokens.fingerprint(token).hex())
        return answer

    def actor_of(self, token: str) -> context.Actor:
        found = self.verify(token)
        return context.Actor(
            kind="person",
            id=found["account_id"],
            org_id=found["org_id"],
            role=found["role"],
            session_id=found["session_id"],
        )

    def wait(self, **time: float) -> None:
        self.database.clock.set(frozen_at=self.database.clock.now() + timedelta(**time))


@pytest.fixture(scope="session")
def smtp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An SMTP server's URL, and the folder where its mails arrive."""
    folder = tmp_path_factory.mktemp("mails")
    controller = Controller(mail.Folder(folder), hostname="127.0.0.1", port=ports.free())
    controller.start()
    yield f"smtp://127.0.0.1:{controller.port}", folder
    controller.stop()


@pytest.fixture
def light_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2id as it is, with little work; `test_passwords` and the stack's tests have the whole of it."""
    monkeypatch.setattr(passwords, "_hasher", argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))


@pytest.fixture
def accounts(
    open_database: Callable[[str], database.Database], smtp_server: tuple[str, Path], light_hashes: None
) -> Accounts:
    home = open_database("accounts")
    home.clock.set(frozen_at=datetime(2026, 11, 22, 12, tzinfo=UTC))
    smtp_url, folder = smtp_server
    settings = Settings(
        database_url=home.url,
        public_url="https://chat.example",
        smtp_url=smtp_url,
        mail_from="Chatness <hello@chat.example>",
    )
    made = service.AccountsService()
    made.house = doors.House(
        database=home,
        authorise=access.check,
        fingerprint_key=b"k" * 32,
        settings=settings,
        refused=suspension.REFUSED,
    )
    return Accounts(home, made, settings, folder)
