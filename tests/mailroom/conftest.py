"""A mailroom between a real SMTP conversation, real accounts, and the mail server that takes what is passed on."""

import smtplib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from ops import mailroom
from sandbox import ports
from services.mailroom import door, room
from services.mailroom.settings import Settings
from shared import clock, context, errors
from tests.accounts.conftest import Accounts, accounts, light_hashes, smtp_server
from tests.mailroom import letters

__all__ = ["accounts", "light_hashes", "smtp_server"]


@dataclass
class Staff:
    """Where support's mail arrives."""

    port: int
    answer: str = "250 taken"
    envelopes: list[Envelope] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answer.startswith("250"):
            self.envelopes.append(envelope)
        return self.answer

    def arrived(self) -> list[bytes]:
        """The mails, without the one trace line that the mailroom put in front."""
        found = []
        for envelope in self.envelopes:
            trace, _, rest = bytes(envelope.original_content or b"").partition(b"\r\n")
            assert trace.startswith(b"Received: from [127.0.0.1] by chat.example with ESMTP; ")
            found.append(rest)
        return found


@dataclass
class Doors:
    """accounts as the mailroom calls it, on the same doors and database as ever, but for the broker between."""

    accounts: Accounts | None
    away: bool = False

    def call(self, _service: str, method: str, /, *, timeout: float, **arguments: Any) -> Any:
        if self.away or self.accounts is None:
            raise errors.Unavailable("service_unavailable", "away")
        return self.accounts.tell(method, actor=context.current().actor, **arguments)


@dataclass
class Mailbox:
    """Who writes to support, and what becomes of it."""

    staff: Staff
    doors: Doors
    settings: Settings
    clock: clock.Clock

    @contextmanager
    def conversation(self, **changes: Any) -> Iterator[smtplib.SMTP]:
        with self.open(**changes) as port, smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            yield client

    @contextmanager
    def open(self, receive: Callable[..., str] | None = None, **changes: Any) -> Iterator[int]:
        settings = replace(self.settings, **changes)
        handler = door.Handler(settings, receive or self.furnished(settings).receive)
        controller = _Server(handler, settings)
        controller.start()
        try:
            yield controller.port
        finally:
            controller.stop()
            handler.threads.shutdown()

    def furnished(self, settings: Settings | None = None) -> room.Room:
        return mailroom.furnished(settings or self.settings, self.doors, self.clock)

    def write(self, *mails: bytes, sender: str = letters.ADA, **changes: Any) -> list[str]:
        """The replies to the mails, in one conversation."""
        with self.conversation(**changes) as client:
            return [say(client, mail, sender=sender) for mail in mails]


class _Server(Controller):
    def __init__(self, handler: door.Handler, settings: Settings) -> None:
        super().__init__(handler, hostname="127.0.0.1", port=ports.free())
        self._settings = settings

    def factory(self) -> SMTP:
        return door.Conversation(self.handler, self._settings)


class _Patient(SMTP):
    line_length_limit = 100_000


class _LongLines(Controller):
    def factory(self) -> SMTP:
        return _Patient(self.handler, data_size_limit=None, hostname="help.example")


def say(client: smtplib.SMTP, mail: bytes, *, sender: str = letters.ADA, to: str = letters.SUPPORT) -> str:
    """One mail; gives the last reply."""
    client.ehlo_or_helo_if_needed()
    for code, text in (client.mail(sender), client.rcpt(to)):
        if code != 250:
            client.rset()
            return f"{code} {text.decode()}"
    code, text = client.data(mail)
    return f"{code} {text.decode()}"


@pytest.fixture
def staff() -> Iterator[Staff]:
    seen = Staff(port=ports.free())
    controller = _LongLines(seen, hostname="127.0.0.1", port=seen.port)
    controller.start()
    yield seen
    controller.stop()


def settings(staff: Staff) -> Settings:
    return Settings(
        support_address=letters.SUPPORT,
        forward_to=letters.STAFF,
        smtp_url=f"smtp://127.0.0.1:{staff.port}",
        mail_from="Chatness <hello@chat.example>",
        dkim_keys=letters.KEYS / "dns.txt",
    )


@pytest.fixture
def mailbox(staff: Staff, accounts: Accounts) -> Mailbox:
    """With an account of Ada's behind it."""
    accounts.sign_up(letters.ADA)
    return Mailbox(staff, Doors(accounts), settings(staff), accounts.database.clock)


@pytest.fixture
def alone(staff: Staff) -> Mailbox:
    """Without accounts."""
    return Mailbox(staff, Doors(None), settings(staff), clock.Clock(None))
