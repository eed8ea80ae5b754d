import smtplib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from sandbox import ports
from shared import mail

pytestmark = pytest.mark.pure


@dataclass
class Server:
    """What an SMTP server got to see."""

    port: int = 0
    envelopes: list[Envelope] = field(default_factory=list)
    passwords: list[bytes] = field(default_factory=list)
    answer: str = "250 taken"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return self.answer

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, given: object
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.passwords.append(given.password)
        return AuthResult(success=True)

    def message(self) -> EmailMessage:
        (envelope,) = self.envelopes
        return message_from_bytes(envelope.content, policy=policy.default)


@pytest.fixture
def server() -> Iterator[Server]:
    seen = Server(port=ports.free())
    controller = Controller(
        seen,
        hostname="127.0.0.1",
        port=seen.port,
        authenticator=seen.authenticate,
        auth_require_tls=False,
        enable_SMTPUTF8=True,
    )
    controller.start()
    yield seen
    controller.stop()


def mailer(server: Server, *, login: str = "", scheme: str = "smtp") -> mail.Mailer:
    return mail.Mailer(f"{scheme}://{login}127.0.0.1:{server.port}", "Chatness <support@chatness.example>")


LETTER = {"to": "ada@example.org", "subject": "Grüße", "text": "Your link:\nhttps://example.org/ü\n"}


class TestSend:
    def test_hands_the_letter_over_as_it_was_written(self, server):
        mailer(server).send("job_1", **LETTER)

        message = server.message()
        assert server.envelopes[0].mail_from == "support@chatness.example"
        assert server.envelopes[0].rcpt_tos == ["ada@example.org"]
        assert (message["To"], message["Subject"]) == ("ada@example.org", "Grüße")
        assert message.get_content().replace("\r\n", "\n") == LETTER["text"]

    def test_sends_html_beside_the_text_and_says_that_a_program_wrote_it(self, server):
        mailer(server).send("job_1", **LETTER, html="<p>Your link: ü</p>")

        message = server.message()
        parts = [(part.get_content_type(), part.get_content().split()) for part in message.iter_parts()]
        assert message.get_content_type() == "multipart/alternative"
        assert parts[0] == ("text/plain", LETTER["text"].split())
        assert parts[1] == ("text/html", ["<p>Your", "link:", "ü</p>"])
        assert message["Auto-Submitted"] == "auto-generated"

    def test_gives_the_same_job_the_same_message_id(self, server):
        for _ in range(2):
            mailer(server).send("job_1", **LETTER)

        first, second = (message_from_bytes(envelope.content) for envelope in server.envelopes)
        assert first["Message-ID"] == second["Message-ID"] == "<job_1@chatness.example>"

    @pytest.mark.parametrize("part", ["to", "subject"])
    def test_lets_nobody_smuggle_in_a_header(self, server, part):
        with pytest.raises(ValueError, match=r"linefeed or carriage return|may not contain"):
            mailer(server).send("job_1", **(LETTER | {part: "ada@example.org\r\nBcc: eve@example.org"}))

        assert server.envelopes == []

    def test_fails_when_the_server_does_not_take_it(self, server):
        server.answer = "451 later"

        with pytest.raises(smtplib.SMTPDataError):
            mailer(server).send("job_1", **LETTER)

    def test_fails_when_nobody_is_there(self):
        with pytest.raises(OSError):  # noqa: PT011  # refused, whatever the system calls it
            mailer(Server(port=ports.free())).send("job_1", **LETTER)

    def test_sends_no_password_where_there_is_no_tls(self, server):
        with pytest.raises(smtplib.SMTPNotSupportedError):
            mailer(server, login="user:hunter2@").send("job_1", **LETTER)

        assert (server.passwords, server.envelopes) == ([], [])

    def test_fails_when_the_server_speaks_no_tls_at_an_address_that_asks_for_it(self, server, monkeypatch):
        monkeypatch.setattr(mail, "TIMEOUT_SECONDS", 0.5)

        with pytest.raises(OSError):  # noqa: PT011  # ssl's errors are OSErrors
            mailer(server, scheme="smtps").send("job_1", **LETTER)

        assert server.envelopes == []

    def test_does_not_wait_forever_for_a_server_that_says_nothing(self, monkeypatch):
        monkeypatch.setattr(mail, "TIMEOUT_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(OSError, match="timed out"):
            mailer(Server(port=silent.getsockname()[1])).send("job_1", **LETTER)


class TestPassOn:
    MAIL = b"Subject: \xff\r\n\r\n.\r\n..x \t\r\n\xe9\r\n\r\n"

    def test_hands_a_mail_over_byte_for_byte(self, server):
        assert mailer(server).pass_on(self.MAIL, sender="a@example.org", to="b@example.org")

        [envelope] = server.envelopes
        assert envelope.original_content == self.MAIL
        assert (envelope.mail_from, envelope.rcpt_tos) == ("a@example.org", ["b@example.org"])

    def test_can_name_no_sender(self, server):
        mailer(server).pass_on(self.MAIL, sender="", to="b@example.org")

        assert server.envelopes[0].mail_from == "<>"

    def test_tells_a_refusal_for_good_from_one_for_now(self, server):
        server.answer = "554 spam"
        assert not mailer(server).pass_on(self.MAIL, sender="", to="b@example.org")

        server.answer = "452 full"
        with pytest.raises(smtplib.SMTPDataError):
            mailer(server).pass_on(self.MAIL, sender="", to="b@example.org")
