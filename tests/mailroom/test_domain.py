"""Which head of a mail is a request, and which signature would prove it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.mailroom import domain, reading
from tests.mailroom import letters

pytestmark = pytest.mark.pure

HOUSE = domain.House(support_address=letters.SUPPORT, ours=frozenset({letters.SUPPORT, "hello@chat.example"}))
LETTER = domain.Letter(
    sender=letters.ADA,
    to=frozenset({letters.SUPPORT}),
    subject="account exclusion",
    sent_at=letters.NOW,
    message_id="<one@example.com>",
)
SIGNATURE = domain.Signature(domain="example.com", algorithm="rsa-sha256", signed=domain.SIGNED, partial=False)


def why_not(*, envelope_sender=letters.ADA, size=1000, **changes):
    return domain.why_not(
        replace(LETTER, **changes), HOUSE, envelope_sender=envelope_sender, size=size, now=letters.NOW
    )


class TestWhyNot:
    def test_finds_nothing_against_a_request(self):
        assert why_not() == ""

    @pytest.mark.parametrize(
        "changes, reason",
        [
            ({"subject": "account  exclusion"}, "subject"),
            ({"sender": ""}, "sender"),
            ({"sender": "Hello@Chat.Example"}, "sender"),
            ({"envelope_sender": ""}, "automatic"),
            ({"automatic": True}, "automatic"),
            ({"to": frozenset({"shop@example.org"})}, "recipient"),
            ({"sent_at": None}, "date"),
            ({"sent_at": letters.NOW - timedelta(hours=23, seconds=1)}, "date"),
            ({"sent_at": letters.NOW + timedelta(minutes=15, seconds=1)}, "date"),
            ({"message_id": ""}, "message id"),
            ({"size": 256_001}, "size"),
        ],
    )
    def test_says_what_is_not_as_it_should_be(self, changes, reason):
        assert why_not(**changes) == reason

    def test_knows_a_copy_for_as_long_as_it_could_count(self):
        """accounts forgets a command after 24 hours."""
        assert timedelta(hours=24) > domain.OLDEST + domain.CLOCKS_DIFFER


class TestProvers:
    def test_are_the_signatures_of_the_senders_own_domain(self):
        other = replace(SIGNATURE, domain="list.example", partial=True)

        assert domain.provers(replace(LETTER, signatures=(other, SIGNATURE, other, SIGNATURE))) == [1, 3]

    @pytest.mark.parametrize(
        "changes",
        [
            {"partial": True},
            {"algorithm": "rsa-sha1"},
            *({"signed": domain.SIGNED - {name}} for name in sorted(domain.SIGNED)),
        ],
    )
    def test_are_none_if_one_of_them_covers_less(self, changes):
        assert domain.provers(replace(LETTER, signatures=(SIGNATURE, replace(SIGNATURE, **changes)))) == []


class TestOneAddress:
    @pytest.mark.parametrize(
        "field",
        ["ada@example.com", "<ada@example.com>", "Ada L. <ada@example.com>", '"L, \\"A\\" <x@y>" <ada@example.com> '],
    )
    def test_is_the_one_that_mail_programs_answer_to(self, field):
        assert domain.one_address(field) == letters.ADA

    @pytest.mark.parametrize(
        "field",
        [
            "",
            "Ada",
            "ada@example.com, eve@evil.example",
            "<ada@example.com> <eve@evil.example>",
            "Ada <ada@example.com> eve@evil.example",
            "ada@example.com <eve@evil.example>",
            "ada@example.com (Ada)",
            "group: ada@example.com;",
            '"ada"@example.com',
            "ada@example.com\0",
            "ada@@example.com",
            "=?utf-8?Q?ada@example.com,?= <eve@evil.example",
            '"' * 4000,
            "a" * 4000 + "@example.com",
        ],
    )
    def test_is_empty_where_there_is_doubt(self, field):
        assert domain.one_address(field) == ""


class TestFields:
    @pytest.mark.parametrize(
        "mail",
        [
            b"",
            b"\r\n\r\nFrom: a@b.example\r\n\r\n",
            b" From: a@b.example\r\n\r\n",
            b"From : a@b.example\r\n\r\n",
            b"From a@b.example\r\nTo: x\r\n\r\n",
            b"From: a@b.example\nTo: x\r\n\r\n",
            b"From: a@b.example\rTo: x\r\n\r\n",
            b"From: a@b.example\0\r\n\r\n",
            b"From: a@b.example\r\n",
        ],
    )
    def test_are_none_where_two_programs_could_read_two_heads(self, mail):
        assert reading.fields(mail) is None

    def test_are_unfolded_and_in_their_order(self):
        assert reading.fields(b"A: 1\r\n\t2\r\nb:\r\nA: 3\r\n\r\nC: 4\r\n\r\n") == [
            ("a", " 1\t2"),
            ("b", ""),
            ("a", " 3"),
        ]
