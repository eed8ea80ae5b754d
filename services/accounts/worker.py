"""What accounts does without a caller: send its mails, and forget what has expired."""

from typing import Any

from sqlalchemy import delete

from services.accounts import mailing, models, password_resets, sessions
from services.accounts.settings import Settings
from shared import database, mail, pruning, worker


def work(settings: Settings, home: database.Database) -> worker.Work:
    mailer = mail.Mailer(settings.smtp_url, settings.mail_from)

    def send(job_id: str, payload: dict[str, Any]) -> None:
        mailer.send(job_id, to=payload["to"], subject=payload["subject"], text=payload["text"])

    def mail_reset_link(job_id: str, payload: dict[str, Any]) -> None:
        with home.begin() as session:
            account_id, public_url = payload["account_id"], settings.public_url
            password_resets.mail_link(session, account_id, reset_id=job_id, public_url=public_url)

    return worker.Work(
        service="accounts",
        jobs={mailing.JOB: send, password_resets.JOB: mail_reset_link},
        timers=[worker.Timer(name="prune accounts", every_seconds=600.0, run=prune), pruning.TIMER],
    )


def prune(home: database.Database) -> None:
    """Delete expired registrations and links, and ended sessions."""
    with home.begin() as session:
        expired = models.Registration.expires_at <= database.now(session)
        session.execute(delete(models.Registration).where(expired))
        password_resets.prune(session)
        sessions.prune(session)
