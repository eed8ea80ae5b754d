"""Hands mails to the worker: a job in the transaction that wants them sent."""

from sqlalchemy.orm import Session

from services.accounts import addresses, mails
from shared import jobs

JOB = "accounts.mail"


def mail_to(session: Session, typed_email: str, mail: mails.Mail, *, subject: str) -> None:
    """Have the worker send it. :param subject: whose mail it is, for erasing"""
    payload = {"to": addresses.deliverable(typed_email), "subject": mail.subject, "text": mail.text}
    jobs.add(session, JOB, payload, subject=subject)
