"""Where keys come from: a DNS server's answers, and what is made of them."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from services.mailroom import authenticity, reading
from tests.mailroom import letters

pytestmark = pytest.mark.pure

KEY = dict(line.split(" ", 1) for line in (letters.KEYS / "dns.txt").read_text().splitlines())
NAME = "test._domainkey.example.com"


def in_parts(text):
    """As a zone file has it: a record of more than 255 bytes is several strings."""
    return " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))


ZONE = {
    f"{NAME}.": [in_parts(KEY[NAME])],
    "two.example.": ['"v=DKIM1; p=a"', '"v=DKIM1; p=b"'],
    "empty.example.": [],
}


@pytest.fixture
def dns_server(monkeypatch) -> Iterator[None]:
    """A name server on this machine; of `broken.example` it says that it failed, and of `silent.example` nothing."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    server = threading.Thread(target=_serve, args=(listener,))
    server.start()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], listener.getsockname()[1]
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    monkeypatch.setattr(authenticity, "DNS_SECONDS", 1.0)
    yield
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"end", listener.getsockname())
    server.join()
    listener.close()


def _serve(listener):
    while (received := listener.recvfrom(4096))[0] != b"end":
        question = dns.message.from_wire(received[0])
        name = question.question[0].name.to_text()
        answer = dns.message.make_response(question)
        if name == "silent.example.":
            continue
        if name == "broken.example.":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in ZONE:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif ZONE[name]:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *ZONE[name]))
        listener.sendto(answer.to_wire(), received[1])


def delivery(mail):
    fields = reading.fields(mail)
    return authenticity.Delivery(mail, fields, reading.letter(fields), "127.0.0.1")


class TestFromDns:
    def test_gives_the_one_record_of_a_name_in_one_piece(self, dns_server):
        assert authenticity.from_dns(NAME) == KEY[NAME].encode()

    @pytest.mark.parametrize("name", ["nobody.example", "two.example", "empty.example", "x" * 64, "a..b", ""])
    def test_gives_nothing_where_there_is_none_or_more_than_one(self, dns_server, name):
        assert authenticity.from_dns(name) is None

    @pytest.mark.parametrize("name", ["broken.example", "silent.example"])
    def test_cannot_tell_when_the_server_does_not(self, dns_server, name):
        with pytest.raises(authenticity.Away):
            authenticity.from_dns(name)


class TestByDkim:
    def test_finds_a_genuine_mail_good_with_the_key_in_dns(self, dns_server):
        check = authenticity.by_dkim(authenticity.from_dns)

        assert check(delivery(letters.signed()))
        assert not check(delivery(letters.signed() + b"more\r\n"))

    def test_is_asked_later_when_dns_is_away(self, alone):
        def away(_name):
            raise authenticity.Away

        room = replace(alone.furnished(), is_authentic=authenticity.by_dkim(away), now=lambda: letters.NOW)

        assert room.receive(letters.signed(), envelope_sender=letters.ADA, peer="127.0.0.1")[:3] == "451"
        assert room.receive(letters.mail(), envelope_sender=letters.ADA, peer="127.0.0.1")[:3] == "250"

    @pytest.mark.parametrize(
        "record",
        [
            "",
            "v=DKIM1; p=",
            "v=DKIM1; p=AAAA",
            "p=!!",
            "v=DKIM1; k=ed25519; p=AAAA",
            "\0",
            "v=DKIM2; p=",
            "k=rsa;;;=",
        ],
    )
    def test_finds_nothing_good_by_a_key_that_is_none(self, record):
        assert not authenticity.by_dkim({NAME: record.encode()}.get)(delivery(letters.signed()))

    @pytest.mark.parametrize("others, counted", [(9, 10), (10, 0)])
    def test_looks_at_all_signatures_of_a_mail_or_at_none(self, others, counted):
        """Else one of From's domain that covers too little could hide behind the last that is looked at."""
        head = b"".join(
            b"DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; s=%d; h=from; bh=AAAA; b=AAAA\r\n" % number
            for number in range(others)
        )

        assert len(reading.letter(reading.fields(head + letters.signed())).signatures) == counted

    def test_asks_for_no_key_of_another_domain(self):
        asked = []

        def look_up(name):
            asked.append(name)

        others = b"".join(
            b"DKIM-Signature: v=1; a=rsa-sha256; d=%d.evil.example; s=x; h=from; bh=AAAA; b=AAAA\r\n" % number
            for number in range(50)
        )
        authenticity.by_dkim(look_up)(delivery(others + letters.mail()))

        assert asked == []
