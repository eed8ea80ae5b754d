"""A mail to support, the whole way: through the mailroom, RabbitMQ and accounts to the link and the account's end."""

import re
import smtplib
import time
from collections.abc import Iterator
from email.utils import format_datetime

import pytest
from sqlalchemy import make_url

from ops import broker
from sandbox import mail, ports
from sandbox.rabbitmq import RabbitmqServer
from tests.mailroom import letters
from tests.stack.stacks import CHATNESS, Running, eventually


@pytest.fixture(scope="module")
def mailroom(stack: Running, rabbitmq: RabbitmqServer) -> Iterator[int]:
    """The port of a mailroom that may ask accounts one thing and RabbitMQ nothing else."""
    vhost = make_url(stack.environment["AMQP_URI"]).database or "/"
    account = broker.Account(name="mailroom", password=rabbitmq.password_of("mailroom"), vhost=vhost)
    rabbitmq.import_definitions(broker.as_json(broker.of_ours(account, runs=["mailroom"])))
    port = ports.free()
    process = stack.add(
        "mailroom",
        *(*CHATNESS, "mailroom"),
        AMQP_URI=rabbitmq.uri_of(vhost, user="mailroom"),
        MAILROOM_PORT=str(port),
        SUPPORT_ADDRESS=letters.SUPPORT,
        SUPPORT_FORWARD_TO=letters.STAFF,
        MAILROOM_AUTHSERV_ID="",
        MAILROOM_DKIM_KEYS=str(letters.KEYS / "dns.txt"),
    )
    process.await_ready()
    yield port
    process.stop()
    del stack.processes["mailroom"]  # or whoever wants all of the stack to live would wait for it


@pytest.fixture
def composed(stack: Running) -> Iterator[None]:
    """The mailroom as `chatness up` starts it."""
    process = stack.add("composed mailroom", *CHATNESS, "mailroom")
    process.await_ready()
    yield
    process.stop()
    del stack.processes["composed mailroom"]


def write(port: int, sender: str, text: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail(sender, [letters.SUPPORT], text)


def arrived(stack: Running, address: str, subject: str) -> list[str]:
    return [one["text"] for one in mail.read(stack.mail_folder) if (one["to"], one["subject"]) == (address, subject)]


def test_a_genuine_mail_brings_a_link_and_the_link_ends_the_account(stack: Running, mailroom: int):
    email = f"writer{time.time_ns()}@example.com"
    org = stack.sign_up(email=email)
    now = format_datetime(stack.clock.now())

    write(mailroom, email, letters.signed(letters.mail(From=email, Date=now, Message_ID=f"<{email}>")))

    subject = "Confirm that your account is to be deleted"
    [text] = eventually(lambda: arrived(stack, email, subject), "no mail came")
    assert org.owner.ask("GET", "/v1/account/deletion").json()["state"] == "requested"
    token = re.search(r"\?token=([\w-]{43})", text)[1]  # type: ignore[index]
    confirmed = stack.api.ask("POST", "/v1/deletion-confirmations", {"token": token})
    assert (confirmed.status_code, confirmed.json()["state"]) == (200, "confirmed")


def test_a_forged_mail_and_a_question_come_to_the_people_of_support(stack: Running, mailroom: int):
    email = f"victim{time.time_ns()}@example.com"
    org = stack.sign_up(email=email)
    question = f"Why is it slow, {email}?"

    write(mailroom, email, letters.mail(From=email, Subject="account exclusion", body=f"{question}\r\n"))
    write(mailroom, email, letters.mail(From=email, Subject=question))

    assert len(eventually(lambda: arrived(stack, letters.STAFF, question), "it did not arrive")) == 1
    assert [text.strip() for text in arrived(stack, letters.STAFF, "account exclusion")] == [question]
    assert org.owner.ask("GET", "/v1/account/deletion").status_code == 404


class TestTheCommandLine:
    def test_writes_to_support_as_somebody(self, stack: Running, composed: None):
        email = f"reader{time.time_ns()}@example.com"
        org = stack.sign_up(email=email)

        written = stack.run("write", "--from", email)

        assert (written.returncode, written.stderr) == (0, "")
        eventually(lambda: arrived(stack, email, "Confirm that your account is to be deleted"), "no mail came")
        assert org.owner.ask("GET", "/v1/account/deletion").json()["state"] == "requested"

    def test_hands_over_any_other_mail_too(self, stack: Running, composed: None):
        stack.run("write", "--from", "joe@example.org", "--subject", "How do I pay?", "--text", "By card?")

        people = stack.environment["SUPPORT_FORWARD_TO"]
        [text] = eventually(lambda: arrived(stack, people, "How do I pay?"), "no mail came")
        assert text.strip() == "By card?"

    def test_says_what_is_wrong(self, stack: Running):
        nobody = stack.run("write", "--from", "joe@example.org")
        no_mail = stack.run("write", "--from", "joe@example.org", "--subject", "two\nlines")
        outside = stack.run("write", "--from", "joe@example.org", CHATNESS_SANDBOX="0")

        assert (nobody.returncode, nobody.stderr[:32]) == (75, "chatness: no mailroom takes it a")
        assert (no_mail.returncode, no_mail.stderr[:24]) == (78, "chatness: that is no mai")
        assert (outside.returncode, outside.stderr) == (
            78,
            "chatness: nobody writes in somebody's name outside the sandbox\n",
        )
