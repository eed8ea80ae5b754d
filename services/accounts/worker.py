"""What accounts does without a caller: send its mails, and forget what has expired."""

from typing import Any

from sqlalchemy import delete

from services.accounts import models, sessions
from services.accounts.settings import Settings
from shared import database, mail, pruning, worker


def work(settings: Settings, _home: database.Database) -> worker.Work:
    mailer = mail.Mailer(settings.smtp_url, settings.mail_from)

    def send(job_id: str, payload: dict[str, Any]) -> None:
        mailer.send(job_id, to=payload["to"], subject=payload["subject"], text=payload["text"])

    return worker.Work(
        service="accounts",
        jobs={"accounts.mail": send},
        timers=[worker.Timer(name="prune accounts", every_seconds=600.0, run=prune), pruning.TIMER],
    )


def prune(home: database.Database) -> None:
    """Delete expired registrations and ended sessions."""
    with home.begin() as session:
        expired = models.Registration.expires_at <= database.now(session)
        session.execute(delete(models.Registration).where(expired))
        sessions.prune(session)
