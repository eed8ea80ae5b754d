"""Accounts, as far as another service hears of it: its log, and that service's inbox."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from services.accounts.events import CATALOGUE as ACCOUNTS
from shared import database, inbox, outbox, store, tables

ORGS: store.Aggregate[None] = store.Aggregate(
    catalogue=ACCOUNTS, initial=None, evolve=lambda state, _fact: state, project=None
)


@dataclass
class Erasure:
    """
    :param accounts: the database whose log tells it
    :param home: that of the service that hears it
    :param hears: what it hears of accounts
    """

    accounts: database.Database
    home: database.Database
    service: str
    hears: inbox.Hears

    def say(self, *facts: Any) -> None:
        """Accounts tells this, and the service hears all that was told so far."""
        for fact in facts:
            with self.accounts.begin() as session:
                head = store.head(session, f"org-{fact.org_id}", ORGS)
                store.append(session, head, ORGS, [fact])
        outbox.sequence(self.accounts)
        with self.accounts.begin() as session:
            log = outbox.read_log(session, "accounts", after=0, limit=100)
        inbox.Inbox(self.home, self.service, self.hears).take(log)

    def told(self) -> list[str]:
        """The orgs whose erasure the service has told to be done."""
        with self.home.begin() as session:
            done = select(tables.Event.data).where(tables.Event.name == f"{self.service}.ErasureDone")
            return [json.loads(data)["org_id"] for data in session.scalars(done)]
