"""Mails to support, in a real conversation: what is a request, what is a forgery, and what becomes of the rest."""

import ipaddress
import random
from typing import ClassVar

import pytest

from sandbox import ports
from services.accounts import models
from tests.accounts.conftest import PASSWORD
from tests.mailroom import letters
from tests.mailroom.letters import mail, signed, with_result

TAKEN, LATER = "250 2.0.0 Taken", "451 4.3.0 Something that is needed is away; try again later"
FUZZ_SEED, FUZZ_MAILS = 20261129, 1000
OURS = (ipaddress.ip_network("127.0.0.0/8"),)


def deletions_of(mailbox):
    with mailbox.doors.accounts.database.begin() as session:
        return session.query(models.Deletion).all()


class TestARequest:
    def test_that_is_genuine_brings_the_account_a_link_and_deletes_nothing(self, mailbox):
        assert mailbox.write(signed()) == [TAKEN]

        [link] = mailbox.doors.accounts.deliver()
        assert (link["to"], link["subject"]) == (letters.ADA, "Confirm that your account is to be deleted")
        assert "https://chat.example/confirm-deletion?token=" in link["text"]
        assert [one.state for one in deletions_of(mailbox)] == ["requested"]
        assert mailbox.doors.accounts.sign_in()["account"]
        assert mailbox.staff.envelopes == []

    @pytest.mark.parametrize(
        "changes",
        [
            {"Subject": "  Account EXCLUSION \t"},
            {"Subject": "account\r\n exclusion"},
            {"Subject": "=?utf-8?Q?account_exclusion?="},
            {"From": "ada@example.com"},
            {"From": "ADA@Example.COM"},
            {"From": '"Lovelace, Ada" <ada@example.com>'},
            {"To": "Support <support@chat.example>, bob@example.org"},
        ],
    )
    def test_may_be_written_as_people_and_programs_write(self, mailbox, changes):
        assert mailbox.write(signed(mail(**changes))) == [TAKEN]

        assert len(mailbox.doors.accounts.deliver()) == 1
        assert mailbox.staff.envelopes == []

    def test_sent_again_and_again_brings_one_link(self, mailbox):
        copies = [signed(mail(Message_ID=f"<{number}@example.com>")) for number in range(3)]

        assert mailbox.write(*copies, *copies) == [TAKEN] * 6

        assert len(mailbox.doors.accounts.deliver()) == 1

    def test_from_an_address_without_an_account_goes_to_people_and_its_sender_hears_the_same(self, mailbox):
        unknown = signed(mail(From="joe@example.com"))

        assert mailbox.write(unknown, sender="joe@example.com") == [TAKEN]

        assert mailbox.staff.arrived() == [unknown]
        assert mailbox.doors.accounts.deliver() == []

    def test_while_accounts_is_away_is_to_come_again_and_is_not_lost(self, mailbox):
        mailbox.doors.away = True
        assert mailbox.write(signed()) == [LATER]
        mailbox.doors.away = False

        assert mailbox.write(signed()) == [TAKEN]
        assert len(mailbox.doors.accounts.deliver()) == 1
        assert mailbox.staff.envelopes == []


# The table of the mean cases: what is to be passed on to people, and never mails a link.
FORGED = {
    "signed by another domain": lambda: signed(by="evil.example"),
    "not signed": mail,
    "a second From above": lambda: b"From: eve@evil.example\r\n" + signed(),
    "a second From below": lambda: signed(mail(From="ada@example.com\r\nFrom: eve@evil.example")),
    "two addresses in From": lambda: signed(mail(From="ada@example.com, eve@evil.example")),
    "two addresses, signed by the second": lambda: signed(
        mail(From="ada@example.com, eve@evil.example"), by="evil.example"
    ),
    "the victim as a display name": lambda: signed(
        mail(From='"ada@example.com" <eve@evil.example>'), by="evil.example"
    ),
    "the victim in brackets of a name": lambda: signed(
        mail(From='"<ada@example.com>" <x@evil.example>'), by="evil.example"
    ),
    "the victim in a comment": lambda: signed(mail(From="x@evil.example (ada@example.com)"), by="evil.example"),
    "the victim in a group": lambda: signed(mail(From="ada@example.com: x@evil.example;"), by="evil.example"),
    "a body that was changed": lambda: signed() + b"and all of my friends'\r\n",
    "a subject that was changed": lambda: signed(mail(Subject="hello")).replace(b"hello", b"account exclusion"),
    "a subject that was put in front": lambda: b"Subject: account exclusion\r\n" + signed(mail(Subject="hello")),
    "a result in our server's name that nobody asked for": lambda: with_result(
        "mx.chat.example; dkim=pass header.d=example.com", mail()
    ),
    "a body behind l=": lambda: signed(length=True) + b"behind it\r\n",
    "l= with nothing behind it": lambda: signed(length=True),
    "a subject that is not signed": lambda: signed(include_headers=["from", "to", "date", "message-id"]),
    "a message id that is not signed": lambda: signed(include_headers=["from", "to", "subject", "date"]),
    "a domain without a key": lambda: signed(by="example.com").replace(b"s=test;", b"s=none;"),
    "a subdomain of the signer's": lambda: signed(mail(From="ada@sub.example.com")),
    "an old signature algorithm": lambda: signed(signature_algorithm=b"rsa-sha1"),
    "yesterday's": lambda: signed(mail(Date="Sat, 21 Nov 2026 12:59:00 +0000")),
    "tomorrow's": lambda: signed(mail(Date="Sun, 22 Nov 2026 12:16:00 +0000")),
    "no date": lambda: signed(mail(Date="soon")),
    "no message id": lambda: signed(mail(Message_ID="one")),
    "to somebody else": lambda: signed(mail(To="shop@example.org")),
    "written by a program": lambda: signed(mail(Auto_Submitted="auto-replied")),
    "from a list": lambda: signed(mail(List_Id="<list.example.com>")),
    "too large": lambda: signed(mail(body="x" * 70 + "\r\n" + "y\r\n" * 90_000)),
    "another subject": lambda: signed(mail(Subject="account exclusion please")),
    "no subject": lambda: signed(mail(Subject=None), include_headers=["from"]),
    "a subject in other letters": lambda: signed(mail(Subject="=?utf-8?Q?account_exclu=C5=BFion?=")),
    "from our own address": lambda: signed(mail(From="hello@chat.example")),
}


class TestWhatIsNoRequest:
    @pytest.mark.parametrize("case", FORGED)
    def test_is_passed_on_byte_for_byte_and_mails_nobody_a_link(self, mailbox, case):
        sent = FORGED[case]()

        assert mailbox.write(sent) == [TAKEN]

        assert mailbox.staff.arrived() == [sent]
        assert (mailbox.doors.accounts.deliver(), deletions_of(mailbox)) == ([], [])

    def test_is_a_genuine_mail_without_an_envelope_sender_and_it_is_passed_on_without_one(self, mailbox):
        sent = signed()

        assert mailbox.write(sent, sender="") == [TAKEN]

        assert mailbox.staff.arrived() == [sent]
        assert mailbox.staff.envelopes[0].mail_from == "<>"
        assert deletions_of(mailbox) == []


class TestTheWordOfOurOwnMailServer:
    TRUST: ClassVar = {"authserv_id": "mx.chat.example", "mail_servers": OURS, "dkim_keys": None}
    PASS = "mx.chat.example; dkim=pass header.d=example.com header.s=test"

    @pytest.mark.parametrize(
        "result", [PASS, f"{PASS}; spf=fail smtp.mailfrom=x.example", PASS.replace("mx.", "MX.")]
    )
    def test_is_believed(self, mailbox, result):
        assert mailbox.write(with_result(result), **self.TRUST) == [TAKEN]

        assert len(mailbox.doors.accounts.deliver()) == 1

    @pytest.mark.parametrize(
        "result",
        [
            "mx.chat.example; dkim=fail header.d=example.com",
            "mx.chat.example; dkim=pass header.d=evil.example",
            "mx.chat.example; dkim=pass header.d=sub.example.com",
            "mx.chat.example; spf=pass smtp.mailfrom=example.com; dmarc=pass header.from=example.com",
            "mx.chat.example; none",
            "mx.chat.example; (dkim=pass header.d=example.com) dkim=none",
            "mx.chat.example.evil.example; dkim=pass header.d=example.com",
            "mx.evil.example; dkim=pass header.d=example.com",
            f"{PASS}\r\nAuthentication-Results: {PASS}",
            f"{PASS}\r\nAuthentication-Results: mx.chat.example (x); dkim=fail header.d=example.com",
            "mx.chat.example; dkim=pass header.d",
            "",
        ],
    )
    def test_is_no_other_word(self, mailbox, result):
        sent = with_result(result)

        assert mailbox.write(sent, **self.TRUST) == [TAKEN]

        assert mailbox.staff.arrived() == [sent]
        assert deletions_of(mailbox) == []

    def test_counts_for_nothing_when_somebody_else_brings_it(self, mailbox):
        elsewhere = {**self.TRUST, "mail_servers": (ipaddress.ip_network("10.0.0.0/8"),)}

        mailbox.write(with_result(self.PASS), **elsewhere)

        assert len(mailbox.staff.arrived()) == 1
        assert deletions_of(mailbox) == []

    @pytest.mark.parametrize("sent", [signed(length=True), mail(), signed(by="evil.example")])
    def test_cannot_make_good_what_the_signature_does_not_cover(self, mailbox, sent):
        mailbox.write(with_result(self.PASS, sent), **self.TRUST)

        assert len(mailbox.staff.arrived()) == 1
        assert deletions_of(mailbox) == []


class TestOrdinaryMail:
    BODY = "Grüße,\r\n.\r\n..two dots\r\n" + "long " * 2000 + "\r\n\x00\x07 tab\t \r\n\r\n\r\n"

    def test_arrives_byte_for_byte_below_one_trace_line(self, mailbox):
        letter = mail(Subject="My bots are slow", body=self.BODY)

        assert mailbox.write(letter, sender="joe@example.org") == [TAKEN]

        [envelope] = mailbox.staff.envelopes
        assert mailbox.staff.arrived() == [letter]
        assert (envelope.mail_from, envelope.rcpt_tos) == (letters.SUPPORT, [letters.STAFF])

    def test_arrives_also_where_nothing_of_it_is_well_formed(self, mailbox):
        strange = [b"no head at all\r\n", b"\r\n", b": x\r\n\r\n", b"\xff\xfe: \x00\r\n\r\n", b"a: b\r\n"]

        assert mailbox.write(*strange) == [TAKEN] * 5

        assert mailbox.staff.arrived() == strange

    def test_is_to_come_again_while_the_next_server_is_away(self, mailbox):
        assert mailbox.write(mail(), smtp_url=f"smtp://127.0.0.1:{ports.free()}") == [LATER]

    def test_is_to_come_again_when_the_next_server_says_so_and_refused_when_it_refuses(self, mailbox):
        mailbox.staff.answer = "452 full"
        assert mailbox.write(mail()) == [LATER]

        mailbox.staff.answer = "554 spam"
        assert mailbox.write(mail()) == ["554 5.7.1 Not accepted where it was to go"]

    def test_does_not_need_accounts(self, mailbox):
        mailbox.doors.away = True

        assert mailbox.write(mail(Subject="Hello")) == [TAKEN]

    def test_that_a_program_wrote_is_passed_on_so_that_no_answer_comes_back(self, mailbox):
        mailbox.write(mail(Auto_Submitted="auto-replied", Subject="I am on holiday"))

        assert mailbox.staff.envelopes[0].mail_from == "<>"

    def test_that_goes_in_circles_is_refused_in_the_end(self, mailbox):
        hop = "Received: from a by b\r\n"

        assert mailbox.write(mail(before=hop * 30), mail(before=hop * 31)) == [
            TAKEN,
            "554 5.4.6 It has come through too many servers",
        ]


class TestAThousandMalformedMails:
    def test_delete_nothing_break_nothing_and_bring_one_link_at_most(self, mailbox):
        chance = random.Random(FUZZ_SEED)
        genuine = [signed(), signed(mail(Subject="Hello")), signed(length=True), with_result("mx; dkim=pass")]
        sent = [_spoiled(chance.choice(genuine), chance) for _ in range(FUZZ_MAILS)]

        receive = mailbox.furnished().receive
        replies = {receive(one, envelope_sender=letters.ADA, peer="127.0.0.1") for one in sent[: FUZZ_MAILS - 100]}
        replies |= set(mailbox.write(*sent[FUZZ_MAILS - 100 :]))

        assert replies <= {TAKEN, "550 5.6.0 A line ends with CR LF, and neither stands alone"}
        links = mailbox.doors.accounts.deliver()
        assert [one["to"] for one in links] in ([], [letters.ADA])
        assert all(one.state == "requested" for one in deletions_of(mailbox))
        assert mailbox.doors.accounts.sign_in(password=PASSWORD)["account"]


def _spoiled(letter, chance):
    """With up to eight things wrong: bytes changed, cut, doubled, moved, or strange ones put in."""
    strange = [
        b"\r\n",
        b"\0",
        b"\xff",
        b":",
        b"<",
        b'"',
        b"=?utf-8?Q?=?=",
        b"\r\n ",
        b"From: x@y\r\n",
        b";l=1;",
        b"(",
        b"@",
    ]
    for _ in range(chance.randint(1, 8)):
        at, to = sorted(chance.randrange(len(letter) + 1) for _ in range(2))
        match chance.randrange(6):
            case 0:
                letter = letter[:at] + bytes([chance.randrange(256)]) + letter[at + 1 :]
            case 1 if to - at < 200:
                letter = letter[:at] + letter[to:]
            case 2 if to - at < 400:
                letter = letter[:to] + letter[at:to] + letter[to:]
            case 3:
                letter = letter[:at] + chance.choice(strange) * chance.randint(1, 3) + letter[at:]
            case 4:
                letter = letter[:at] + letter[at:to][::-1][:50] + letter[to:]
            case _:
                lines = letter.split(b"\r\n")
                chance.shuffle(lines)
                letter = b"\r\n".join(lines) if chance.random() < 0.2 else letter
    return letter
