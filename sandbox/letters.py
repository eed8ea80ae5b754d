"""
Mails to support as a mail server hands them over that has checked who wrote them: in the sandbox there is no other.

Its word is in `Authentication-Results`, and `MAILROOM_AUTHSERV_ID` is its name. The signature it vouches for has the
form of one and proves nothing.
"""

import smtplib
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

MAIL_SERVER = "sandbox-only.mail-server"  # no process outside the sandbox starts with it
SECONDS = 30.0


def compose(*, sender: str, to: str, subject: str, text: str, now: datetime) -> bytes:
    """:raises ValueError: for an address or a subject that no mail can have"""
    domain = sender.rpartition("@")[2]
    message = EmailMessage(policy=policy.SMTP)
    message["Authentication-Results"] = f"{MAIL_SERVER}; dkim=pass header.d={domain}"
    message["DKIM-Signature"] = (
        f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s=sandbox; h=from:to:subject:date:message-id; bh=; b="
    )
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"], message["Message-ID"] = format_datetime(now), make_msgid(domain=domain)
    message.set_content(text)
    return message.as_bytes()


class Refused(Exception):
    """The mailroom's reply to a mail that it does not take."""


def hand_over(mail: bytes, *, sender: str, to: str, host: str, port: int) -> None:
    """
    To the mailroom.

    :raises Refused: if it does not take the mail
    :raises OSError: if there is none
    """
    with smtplib.SMTP(host, port, timeout=SECONDS) as server:
        try:
            server.sendmail(sender, [to], mail)
        except smtplib.SMTPException as error:
            raise Refused(str(error)) from None
