"""An SMTP server that is ill in every way there is: mails wait in their jobs, and go out when it is well."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy import select

from sandbox import ports
from services.accounts import worker
from shared import jobs, mail, tables


@dataclass
class Moody:
    """
    :ivar answers: what it says to the next recipients, and at the end of the next mails; then it takes all
    :ivar taken: the mails that it has, whatever it said
    """

    port: int = 0
    to_recipient: list[str] = field(default_factory=list)
    to_mail: list[str] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.to_recipient:
            return self.to_recipient.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 go on"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        said = self.to_mail.pop(0) if self.to_mail else "250 taken"
        if said.startswith("250"):
            self.taken.append(envelope.content or b"")
        if said == "250 and hangs up":
            assert server.transport is not None
            server.transport.abort()
        return said


@pytest.fixture
def server() -> Iterator[Moody]:
    moody = Moody(port=ports.free())
    controller = Controller(moody, hostname="127.0.0.1", port=moody.port)
    controller.start()
    yield moody
    controller.stop()


@pytest.fixture
def accounts(accounts, server):
    accounts.settings = replace(accounts.settings, smtp_url=f"smtp://127.0.0.1:{server.port}")
    return accounts


def work(accounts, **waits) -> None:
    accounts.wait(**waits)
    jobs.Runner(accounts.database, worker.work(accounts.settings, accounts.database).jobs).run_due(threading.Event())


def job(accounts) -> tables.Job:
    with accounts.database.begin() as session:
        return session.scalars(select(tables.Job)).one()


class TestAServer:
    @pytest.mark.parametrize(
        "answers",
        [
            pytest.param({"to_recipient": ["450 greylisted, come back"]}, id="greylists"),
            pytest.param({"to_recipient": ["550 no such mailbox"]}, id="refuses the recipient once"),
            pytest.param({"to_mail": ["451 later"]}, id="refuses the mail for now"),
            pytest.param({"to_mail": ["554 spam"]}, id="refuses the mail for good"),
            pytest.param({"to_recipient": ["421 going down"], "to_mail": ["452 full"]}, id="is ill in two ways"),
        ],
    )
    def test_that_does_not_take_it_gets_it_again_and_once(self, accounts, server, answers):
        server.to_recipient, server.to_mail = answers.get("to_recipient", []), answers.get("to_mail", [])
        accounts.register()

        work(accounts)
        assert (server.taken, job(accounts).state) == ([], "waiting")
        for _ in range(3):
            work(accounts, minutes=5)

        assert (len(server.taken), job(accounts).state) == (1, "done")

    def test_that_took_it_and_did_not_say_so_gets_it_again_under_the_same_id(self, accounts, server):
        """The one double there is: who has the first can know the second by its Message-ID."""
        server.to_mail = ["250 and hangs up"]
        accounts.register()

        for _ in range(3):
            work(accounts, minutes=5)

        first, second = (message_from_bytes(one)["Message-ID"] for one in server.taken)
        assert first == second == f"<{job(accounts).id}@chat.example>"

    def test_that_refuses_for_good_is_asked_twelve_times_and_the_job_is_kept_for_operations(self, accounts, server):
        server.to_recipient = ["550 no such mailbox"] * 100
        accounts.register()

        for _ in range(jobs.MAX_ATTEMPTS + 2):
            work(accounts, hours=1)

        kept = job(accounts)
        assert (kept.state, kept.attempts) == ("failed", jobs.MAX_ATTEMPTS)
        assert len(server.to_recipient) == 100 - jobs.MAX_ATTEMPTS
        with accounts.database.begin() as session:
            jobs.retry(session, kept.id)
        server.to_recipient = []
        work(accounts)
        assert len(server.taken) == 1

    def test_that_says_nothing_delays_nobody_but_its_own_mail(self, accounts, server, monkeypatch):
        monkeypatch.setattr(mail, "TIMEOUT_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            well, accounts.settings = (
                accounts.settings,
                replace(accounts.settings, smtp_url=f"smtp://127.0.0.1:{silent.getsockname()[1]}"),
            )
            accounts.register()  # whoever asks is answered by the door, which knows no mail server
            work(accounts)
        assert job(accounts).state == "waiting"

        accounts.settings = well
        work(accounts, minutes=5)

        assert len(server.taken) == 1
