"""The SMTP server's limits, in real conversations."""

import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from sandbox import ports
from services.mailroom import door
from shared import config
from tests.mailroom import letters
from tests.mailroom.conftest import say

pytestmark = pytest.mark.pure

SMALL = {"max_bytes": 20_000}


def answer_to(port, *lines, until=b"\r\n"):
    """What comes back until the peer closes, or until it has said so much."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        for line in lines:
            peer.sendall(line)
        heard = b""
        while received := peer.recv(4096):
            heard += received
            if until in heard:
                break
        return heard


def read_until(peer, end):
    heard = b""
    while end not in heard:
        received = peer.recv(4096)
        assert received, heard
        heard += received
    return heard


class TestGate:
    def test_counts_the_mails_of_each_peer_by_itself_and_anew_each_minute(self):
        gate = door.Gate(connections=1, mails_per_minute=2)

        told = [gate.may_send(peer, now=now) for peer, now in [("a", 0), ("a", 1), ("a", 59), ("b", 59), ("a", 60)]]

        assert told == [True, True, False, True, True]


class TestTls:
    FILES = {  # noqa: RUF012
        "tls_certificate": letters.KEYS / "tls.pem",
        "tls_key": letters.KEYS / "tls-key.pem",
    }

    @pytest.fixture
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=letters.KEYS / "tls.pem")

    def test_takes_mail_after_starttls_and_none_before(self, alone, trusting):
        with alone.conversation(**self.FILES) as client:
            before = say(client, letters.mail())
            client.starttls(context=trusting)
            after = say(client, letters.mail())

        assert before.startswith("530 ")
        assert after == "250 2.0.0 Taken"
        assert [envelope.rcpt_tos for envelope in alone.staff.envelopes] == [[letters.STAFF]]

    def test_forgets_what_was_said_before_it(self, alone, trusting):
        """Or somebody between could put commands in front of the encrypted ones (CVE-2021-38371)."""
        with alone.open(**self.FILES) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
            peer.sendall(b"EHLO a\r\n")
            read_until(peer, b"250 HELP\r\n")
            peer.sendall(b"STARTTLS\r\nVRFY injected\r\n")
            read_until(peer, b"Ready to start TLS\r\n")
            with trusting.wrap_socket(peer, server_hostname="localhost") as encrypted:
                encrypted.sendall(b"NOOP\r\nQUIT\r\n")

                assert read_until(encrypted, b"Bye\r\n") == b"250 OK\r\n221 Bye\r\n"

    def test_does_not_offer_it_without_a_certificate(self, alone):
        with alone.conversation() as client:
            client.ehlo()

            assert not client.has_extn("starttls")

    def test_counts_an_encrypted_conversation_as_one(self, alone, trusting):
        with alone.open(connections=1, **self.FILES) as port:
            for _ in range(3):  # each leaves room for the next
                with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                    assert client.starttls(context=trusting)[0] == 220
                    assert say(client, letters.mail()) == "250 2.0.0 Taken"

    def test_gives_back_the_place_of_who_stops_in_the_middle_of_it(self, alone, trusting):
        with alone.open(connections=1, idle_seconds=1, **self.FILES) as port:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
                peer.sendall(b"EHLO a\r\n")
                read_until(peer, b"250 HELP\r\n")
                peer.sendall(b"STARTTLS\r\n")
                read_until(peer, b"Ready to start TLS\r\n")

                assert peer.recv(1) == b""
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                assert client.starttls(context=trusting)[0] == 220
                assert say(client, letters.mail()) == "250 2.0.0 Taken"

    def test_uses_the_last_good_certificate_while_a_new_one_is_written(self, alone, trusting, tmp_path):
        ours = {name: tmp_path / path.name for name, path in self.FILES.items()}
        for name, path in self.FILES.items():
            ours[name].write_bytes(path.read_bytes())
        with alone.open(**ours) as port:
            ours["tls_certificate"].write_text("half of a certif")
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
                code, _text = client.starttls(context=trusting)

        assert code == 220

    @pytest.mark.parametrize(
        "certificate, key",
        [("tls.pem", None), ("nowhere.pem", None), ("tls.pem", "evil.pem"), ("dns.txt", "tls-key.pem")],
    )
    def test_refuses_to_start_with_files_that_are_none_or_do_not_belong_together(self, alone, certificate, key):
        settings = replace(
            alone.settings, tls_certificate=letters.KEYS / certificate, tls_key=key and letters.KEYS / key
        )

        with pytest.raises(config.BadConfiguration, match=r"^MAILROOM_TLS_CERTIFICATE, MAILROOM_TLS_KEY: "):
            door.tls(settings)


class TestTheDoor:
    def test_takes_mail_for_the_one_mailbox_and_relays_nothing(self, alone):
        with alone.conversation() as client:
            replies = [say(client, letters.mail(), to=to) for to in ("joe@example.org", "<>", "postmaster")]
            replies.append(say(client, letters.mail(), to="SUPPORT@Chat.Example"))

        assert {reply[0] for reply in replies[:3]} == {"5"}
        assert replies[3] == "250 2.0.0 Taken"
        assert [envelope.rcpt_tos for envelope in alone.staff.envelopes] == [[letters.STAFF]]

    def test_passes_a_mail_on_once_however_often_the_mailbox_is_named(self, alone):
        with alone.conversation() as client:
            client.sendmail("joe@example.org", [letters.SUPPORT] * 5, letters.mail())

        assert len(alone.staff.envelopes) == 1

    def test_tells_how_large_a_mail_may_be_and_refuses_a_larger_one(self, alone):
        large = letters.mail(body="x" * 70 + "\r\n" + "y" * 30_000 + "\r\n")
        with alone.conversation(**SMALL) as client:
            client.ehlo()
            assert client.esmtp_features["size"] == "20000"
            assert client.mail(letters.ADA, ["size=20001"])[0] == 552
            client.rset()
            assert say(client, large).startswith("552")
            assert say(client, letters.mail()) == "250 2.0.0 Taken"

        assert len(alone.staff.envelopes) == 1

    def test_tells_a_peer_who_sends_too_much_to_come_later(self, alone):
        replies = alone.write(*[letters.mail()] * 3, mails_per_minute=1)

        # The minute may turn among them, once.
        assert {reply[:3] for reply in replies} == {"250", "450"}

    def test_lets_in_so_many_at_once_and_the_next_when_one_leaves(self, alone):
        with alone.open(connections=2) as port:
            held = [smtplib.SMTP("127.0.0.1", port, timeout=20) for _ in range(2)]
            with pytest.raises(smtplib.SMTPConnectError, match="421"):
                smtplib.SMTP("127.0.0.1", port, timeout=20)
            for one in held:
                one.quit()
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as next_one:
                assert say(next_one, letters.mail()) == "250 2.0.0 Taken"

    @pytest.mark.parametrize("lines", [[], [b"EHLO x\r\n"], [b"EHL"]])
    def test_ends_a_conversation_in_which_nothing_is_said(self, alone, lines):
        with alone.open(idle_seconds=1) as port:
            assert answer_to(port, *lines, until=b"never").startswith(b"220 ")

    def test_ends_one_in_which_a_mail_does_not_come_to_its_end(self, alone):
        begun = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<support@chat.example>\r\nDATA\r\nSubject: x\r\n"
        with alone.open(idle_seconds=1) as port:
            answer_to(port, begun, until=b"never")

        assert alone.staff.envelopes == []

    @pytest.mark.parametrize("ending", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n"])
    def test_lets_nobody_hide_a_second_mail_in_a_first(self, alone, ending):
        hidden = b"Hello" + ending + b"MAIL FROM:<a@b.example>\r\nRCPT TO:<support@chat.example>\r\nDATA\r\nx: y\r\n"
        talk = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<support@chat.example>\r\nDATA\r\n"
        with alone.open() as port:
            heard = answer_to(port, talk, hidden + b"\r\n.\r\nQUIT\r\n", until=b"221 ")

        assert b"550 5.6.0" in heard
        assert alone.staff.envelopes == []

    def test_says_later_when_something_breaks_and_goes_on(self, alone):
        def broken(_mail, **_about):
            raise RuntimeError("a bug")

        with alone.open(broken) as port, smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            assert [say(client, letters.mail()) for _ in range(2)] == [door.LATER] * 2

    def test_deals_with_others_while_one_mail_waits(self, alone):
        waiting, go_on = threading.Event(), threading.Event()

        def receive(mail, **_about):
            if b"slow" in mail:
                waiting.set()
                go_on.wait(20)
            return "250 2.0.0 Taken"

        replies = []
        with alone.open(receive) as port:
            slow = threading.Thread(target=lambda: replies.append(_once(port, letters.mail(Subject="slow"))))
            slow.start()
            waiting.wait(20)
            replies.append(_once(port, letters.mail(Subject="fast")))
            assert len(replies) == 1
            go_on.set()
            slow.join()

        assert replies == ["250 2.0.0 Taken"] * 2


def _once(port, mail):
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        return say(client, mail)


class TestTheProcess:
    ENVIRONMENT = (
        ("AMQP_URI", "amqp://guest@127.0.0.1:1"),
        ("CHATNESS_KEY", "k" * 32),
        ("SUPPORT_ADDRESS", letters.SUPPORT),
        ("SUPPORT_FORWARD_TO", letters.STAFF),
        ("MAIL_FROM", "hello@chat.example"),
    )

    def start(self, **changes):
        environment = {**dict(self.ENVIRONMENT), **changes}
        command = [sys.executable, "-W", "ignore", "-m", "ops.cli", "mailroom"]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def test_takes_mail_though_the_broker_is_away_and_stops_cleanly(self, alone):
        port = ports.free()
        process = self.start(MAILROOM_PORT=str(port), SMTP_URL=alone.settings.smtp_url)
        try:
            ports_opened = _await(port, process)
            reply = _once(port, letters.mail(Subject="Hello"))
            process.send_signal(signal.SIGTERM)
            told = process.communicate(timeout=30)[0]
        finally:
            process.kill()

        assert (ports_opened, reply, process.returncode) == (True, "250 2.0.0 Taken", 0)
        assert '"stopped"' in told

    @pytest.mark.parametrize(
        "changes, told",
        [
            ({"SUPPORT_FORWARD_TO": ""}, "SUPPORT_FORWARD_TO is not set"),
            ({"SUPPORT_FORWARD_TO": "Support@Chat.Example"}, "SUPPORT_FORWARD_TO is SUPPORT_ADDRESS itself"),
            ({"SUPPORT_ADDRESS": "support"}, "SUPPORT_ADDRESS is not valid"),
            ({"MAILROOM_DKIM_KEYS": "keys"}, "MAILROOM_DKIM_KEYS is for the sandbox only"),
            ({"MAILROOM_DKIM_KEYS": "/nowhere", "CHATNESS_SANDBOX": "1"}, "MAILROOM_DKIM_KEYS cannot be read"),
            ({"MAILROOM_AUTHSERV_ID": "mx"}, "MAILROOM_AUTHSERV_ID needs MAILROOM_MAIL_SERVERS"),
            ({"MAILROOM_MAIL_SERVERS": "10.0.0.1/8"}, "MAILROOM_MAIL_SERVERS is not valid"),
            ({"MAILROOM_HOST": "192.0.2.1"}, "MAILROOM_HOST, MAILROOM_PORT: no listening on 192.0.2.1"),
        ],
    )
    def test_does_not_start_on_bad_configuration(self, changes, told):
        process = self.start(**{"SMTP_URL": "smtp://127.0.0.1:1", **changes})

        output = process.communicate(timeout=60)[0]

        assert process.returncode == 78
        assert told in output.splitlines()[-1]


def _await(port, process):
    while not ports.answers(port):
        if process.poll() is not None:
            return False
    return True
