"""An org's erasure as quota meets it: told by accounts' log, applied by the inbox, ended by the job."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from services.accounts.events import CATALOGUE, OrgErased
from services.quota import worker
from services.quota.events import CATALOGUE as QUOTA
from services.quota.events import ErasureDone
from shared import database, inbox, jobs, outbox, store, tables
from tests.quota.conftest import SETTINGS, Quota

ORGS: store.Aggregate[None] = store.Aggregate(
    catalogue=CATALOGUE, initial=None, evolve=lambda state, _fact: state, project=None
)


@dataclass
class Erasure:
    """:param accounts: the database whose log tells it"""

    accounts: database.Database
    quota: Quota

    def tell(self, org_id: str) -> None:
        with self.accounts.begin() as session:
            head = store.head(session, f"org-{org_id}", ORGS)
            store.append(session, head, ORGS, [OrgErased(org_id=org_id)])
        outbox.sequence(self.accounts)

    def hear(self) -> None:
        """All that accounts has told, from its first event on."""
        box = inbox.Inbox(self.quota.database, "quota", self.work.hears[1])
        with self.accounts.begin() as session:
            log = outbox.read_log(session, "accounts", after=0, limit=100)
        box.take(log)

    def finish(self) -> None:
        jobs.Runner(self.quota.database, self.work.jobs).run_due(threading.Event())

    def run(self, org_id: str) -> None:
        self.tell(org_id)
        self.hear()
        self.finish()

    @property
    def work(self) -> "worker.worker.Work":
        return worker.work(SETTINGS, self.quota.database)


def told(home: database.Database) -> list[str]:
    """The orgs whose erasure quota has told to be done."""
    with home.begin() as session:
        done = select(tables.Event).where(tables.Event.name == ErasureDone.name)
        return [store.recorded(row).fact(QUOTA).org_id for row in session.scalars(done)]


@pytest.fixture
def erasure(quota: Quota, open_database: Callable[[str], database.Database]) -> Erasure:
    return Erasure(open_database("accounts"), quota)
