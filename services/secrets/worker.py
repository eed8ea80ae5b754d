"""What secrets hears, and what it does without a caller: publish, and keep its tables within their retention."""

from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from services.accounts.events import CATALOGUE as ACCOUNTS
from services.accounts.events import OrgErased
from services.secrets import erasing
from services.secrets.settings import Settings
from shared import database, envelope, inbox, pruning, worker


def work(_settings: Settings, home: database.Database) -> worker.Work:
    return worker.Work(
        service="secrets",
        hears=[inbox.Hears(ACCOUNTS, {OrgErased: on_org_erased})],
        jobs={erasing.JOB: partial(finish_erasure, home)},
        timers=[pruning.TIMER],
    )


def on_org_erased(session: Session, fact: OrgErased, _envelope: envelope.Envelope) -> None:
    erasing.begin(session, fact.org_id)


def finish_erasure(home: database.Database, job_id: str, payload: dict[str, Any]) -> None:
    erasing.finish(home, payload["org_id"], job_id=job_id)
