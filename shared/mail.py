"""
Mail over SMTP, the only place that speaks it. Called from jobs: at least once, with the job's id as Message-ID.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import unquote, urlsplit

TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Mailer:
    """
    :param smtp_url: `smtp://[user:password@]host:port`, or `smtps://` for TLS from the start. A password is sent only
        over TLS and to a server whose certificate is good
    :param sender: the From address
    """

    smtp_url: str
    sender: str

    def send(self, job_id: str, *, to: str, subject: str, text: str, html: str = "") -> None:
        """
        :param html: the same as the text, for programs that show HTML; the text stays beside it
        :raises OSError: (smtplib's errors are OSErrors) if the server did not take it
        """
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = self.sender, to, subject
        message["Message-ID"] = f"<{job_id}@{self.sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        if html:
            message.add_alternative(html, subtype="html")
        with self._server() as server:
            server.send_message(message)

    def pass_on(self, mail: bytes, *, sender: str, to: str) -> bool:
        """
        Hand a mail over, byte for byte.

        :param sender: of the envelope; empty: a failure is told to nobody
        :returns: False if the server refused what is in it for good
        :raises OSError: if it did not take it for any other reason, also one that is ours to mend
        """
        with self._server() as server:
            server.ehlo_or_helo_if_needed()
            options = ["body=8bitmime"] if not mail.isascii() and server.has_extn("8bitmime") else []
            try:
                server.sendmail(sender, [to], mail, options)
            except smtplib.SMTPDataError as error:
                if error.smtp_code < 500:
                    raise
                return False
        return True

    @contextmanager
    def _server(self) -> Iterator[smtplib.SMTP]:
        address = urlsplit(self.smtp_url)
        with _connect(address.scheme, address.hostname or "localhost", address.port or 0) as server:
            server.ehlo_or_helo_if_needed()
            if address.scheme == "smtp" and (address.username or server.has_extn("starttls")):
                # Who is given a password must prove who he is; without one, any encryption is better than none.
                server.starttls(context=ssl.create_default_context() if address.username else None)
            if address.username:
                server.login(unquote(address.username), unquote(address.password or ""))
            yield server


def _connect(scheme: str, host: str, port: int) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
