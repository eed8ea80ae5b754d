"""Hands mails to the worker: a job in the transaction that wants them sent."""

from sqlalchemy.orm import Session

from services.accounts import addresses, mails
from shared import jobs, personal

JOB = "accounts.mail"


def mail_to(session: Session, typed_email: str, mail: mails.Mail, *, subject: str, kind: str = JOB) -> None:
    """
    Have the worker send it; to nobody who is gone for good.

    :param subject: whose mail it is, for erasing
    :param kind: the job's, where it must be found among others
    """
    if not personal.keep(session, subject):
        return
    payload = {
        "to": addresses.deliverable(typed_email),
        "subject": mail.subject,
        "text": mail.text,
        "action": mail.action,
    }
    jobs.add(session, kind, payload, subject=subject)
