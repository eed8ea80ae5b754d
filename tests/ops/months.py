"""Months that quota's own doors made, as the command line finds them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from click.testing import CliRunner, Result
from sqlalchemy import text

from ops import cli
from tests.quota.conftest import Quota


@dataclass
class Months:
    """`org_1` with one bot, and a clock to turn."""

    quota: Quota
    bot_id: str

    def send(self, *message_ids: str) -> None:
        answers = self.quota.send(self.bot_id, *message_ids)
        assert all("admitted" in answer for answer in answers)

    def refund(self, message_id: str) -> None:
        self.quota.tell("refund_message", message_id=message_id)

    def turn_to(self, *moment: int) -> None:
        self.quota.database.clock.set(frozen_at=datetime(*moment, tzinfo=UTC))  # type: ignore[misc]

    def spoil(self, *statements: str) -> None:
        """As the tables' owner can, who takes off the triggers that protect history."""
        with self.quota.database.begin() as session:
            session.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
            for statement in statements:
                session.execute(text(statement))
            session.execute(text("ALTER TABLE events ENABLE TRIGGER USER"))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.quota.database.begin() as session:
            return [tuple(row) for row in session.execute(text(query))]


def asked(*words: str) -> Result:
    return CliRunner().invoke(cli.main, ["quota", *words])


def granted(messages: str, *, expires: str = "2026-12-05") -> str:
    """Extra messages for `org_1`, by the command line; gives the credit's id."""
    words = ("credit", "org_1", "--messages", messages, "--reason", "ticket", "--expires", expires)
    (credit,) = documents(asked(*words, "--execute", "--json"))
    return str(credit["id"])


def documents(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]
