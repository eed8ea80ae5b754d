"""Dead letters in a real RabbitMQ, put there by its own rejecting."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import kombu
import pika
import pytest

from ops import deadletters, exits
from shared import consumer
from tests.shared import broker, kernel

QUEUE = "quota.from.billing"
CANARY = "canary-4711"

pytestmark = pytest.mark.usefixtures("surroundings")


@pytest.fixture
def channel(amqp_uri: str) -> Iterator[broker.BlockingChannel]:
    """With the queues of the consumer, and nobody who consumes."""
    with kombu.Connection(amqp_uri) as connection:
        consumer.declare(connection.channel(), "quota", "billing")
    with broker.channel(amqp_uri) as channel:
        channel.confirm_delivery()
        yield channel
        channel.queue_delete(QUEUE)
        channel.queue_delete(f"{QUEUE}.dead")


def bury(channel: broker.BlockingChannel, *bodies: bytes, **properties: Any) -> None:
    """Send them to the consumer's queue, and reject them as the consumer does."""
    for body in bodies:
        channel.basic_publish("", QUEUE, body, pika.BasicProperties(**properties))
    for method, _properties, _body in take(channel, QUEUE, len(bodies)):
        channel.basic_reject(method.delivery_tag, requeue=False)
    kernel.eventually(lambda: count(channel, f"{QUEUE}.dead") == len(bodies), "they are dead")


def take(channel: broker.BlockingChannel, queue: str, wanted: int) -> list[tuple[Any, Any, bytes]]:
    """Consumed, because a queue with a single active consumer gives nothing to those who get."""
    found: list[tuple[Any, Any, bytes]] = []
    tag = channel.basic_consume(queue, lambda _channel, *message: found.append(message))

    def have_all() -> bool:
        channel.connection.process_data_events(time_limit=0)
        return len(found) == wanted

    kernel.eventually(have_all, f"{wanted} messages in {queue}")
    channel.basic_cancel(tag)
    return found


def looks(letters: list[tuple[Any, Any, bytes]]) -> int:
    """How often the worst of them has come back: a broker of today drops it at twenty."""
    return max(int(properties.headers.get("x-delivery-count", 0)) for _method, properties, _body in letters)


def count(channel: broker.BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert deadletters.list_letters(["quota"], [], 50, True) == exits.OK
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


class TestListLetters:
    def test_says_what_the_broker_knows_and_nothing_of_the_content(self, channel, capsys):
        bury(channel, CANARY.encode(), content_type="text/plain", message_id="msg\x1b[2J")

        (letter,) = listed(capsys)

        assert letter["id"].startswith("quota/billing/")
        assert (letter["bytes"], letter["content_type"], letter["reason"]) == (len(CANARY), "text/plain", "rejected")
        assert letter["message_id"] == "msg?[2J"
        assert letter["died_at"].endswith("Z")

    def test_leaves_them_where_they_are_in_order_however_often_one_looks(self, channel, capsys):
        bury(channel, b"one", b"two", b"three")
        first = [letter["id"] for letter in listed(capsys)]

        for _ in range(25):
            assert [letter["id"] for letter in listed(capsys)] == first

        letters = take(channel, f"{QUEUE}.dead", 3)
        assert [body for _method, _properties, body in letters] == [b"one", b"two", b"three"]
        assert looks(letters) < 20

    def test_looks_at_so_many_at_once_and_says_that_there_are_more(self, channel, capsys, monkeypatch):
        monkeypatch.setattr(deadletters, "MOST_LOOKED_AT", 2)
        bury(channel, b"one", b"two", b"three")

        assert deadletters.list_letters(["quota"], [], 50, True) == exits.OK

        output = capsys.readouterr()
        assert len(output.out.splitlines()) == 2
        assert "quota/billing: only 2 of 3 dead letters are looked at\n" in output.err
        kernel.eventually(lambda: count(channel, f"{QUEUE}.dead") == 3, "all are back")

    def test_finds_nothing_where_no_consumer_ever_was(self, capsys):
        assert listed(capsys) == []


class TestShow:
    def test_hides_headers_and_body_unless_they_are_asked_for(self, channel, capsys):
        bury(channel, CANARY.encode(), headers={"x-note": CANARY, "note": CANARY})
        (letter,) = listed(capsys)

        deadletters.show(letter["id"], reveal=False, as_json=True)
        hidden = capsys.readouterr().out
        deadletters.show(letter["id"], reveal=True, as_json=True)
        revealed = json.loads(capsys.readouterr().out)

        assert CANARY not in hidden
        assert json.loads(hidden)["deaths"][0]["queue"] == QUEUE
        assert (revealed["body"], revealed["headers"]["note"]) == (CANARY, CANARY)

    @pytest.mark.parametrize("id", ["quota/billing/000000000000", "quota/secrets/1", "nonsense", "quota/billing"])
    def test_knows_no_other(self, channel, id):
        with pytest.raises(exits.NotThere, match=id):
            deadletters.show(id, reveal=False, as_json=True)


class TestRequeue:
    def requeue(self, *ids: str, execute: bool = True) -> int:
        return deadletters.requeue(ids, ["quota"], [], execute=execute, as_json=True)

    def test_sends_them_to_their_consumer_alone_in_order(self, channel, capsys):
        elsewhere = broker.listen(channel, "billing.events")
        bury(channel, b"one", b"two", content_type="text/plain", headers={"note": "kept"})

        assert self.requeue() == exits.OK

        assert count(channel, f"{QUEUE}.dead") == 0
        (_, properties, one), (_, _, two) = take(channel, QUEUE, 2)
        assert [one, two] == [b"one", b"two"]
        assert (properties.content_type, properties.headers) == ("text/plain", {"note": "kept"})
        assert count(channel, elsewhere) == 0

    def test_takes_only_those_that_are_named(self, channel, capsys):
        bury(channel, b"one", b"two", b"three")
        ids = [letter["id"] for letter in listed(capsys)]

        self.requeue(ids[1])

        assert [letter["id"] for letter in listed(capsys)] == [ids[0], ids[2]]
        assert take(channel, QUEUE, 1)[0][2] == b"two"

    def test_only_says_so_unless_it_is_to_do_it(self, channel, capsys):
        bury(channel, b"one")

        self.requeue(execute=False)

        output = capsys.readouterr()
        assert json.loads(output.out)["requeued"] is False
        assert "--execute" in output.err
        assert (count(channel, QUEUE), len(listed(capsys))) == (0, 1)

    @pytest.mark.parametrize("id", ["", "quota/billing/000000000000"], ids=["not to do it", "not there"])
    def test_leaves_the_others_in_order_however_often_it_does_nothing(self, channel, capsys, id):
        bury(channel, b"one", b"two", b"three")

        for _ in range(25):
            with contextlib.suppress(exits.NotThere):
                self.requeue(*filter(None, [id]), execute=bool(id))

        letters = take(channel, f"{QUEUE}.dead", 3)
        assert [body for _method, _properties, body in letters] == [b"one", b"two", b"three"]
        assert looks(letters) < 20

    def test_leaves_the_others_in_order_however_often_one_is_taken(self, channel, capsys):
        bury(channel, *[f"letter {number:02}".encode() for number in range(25)])
        ids = [letter["id"] for letter in listed(capsys)]

        for id in ids[:22]:
            self.requeue(id)

        letters = take(channel, f"{QUEUE}.dead", 3)
        assert [body for _method, _properties, body in letters] == [b"letter 22", b"letter 23", b"letter 24"]
        assert looks(letters) < 20

    def test_keeps_a_message_that_nobody_could_take(self, channel, capsys):
        bury(channel, b"one")
        channel.queue_delete(QUEUE)

        with pytest.raises(exits.NotThere, match="no queue"):
            self.requeue()

        assert len(listed(capsys)) == 1


class TestDiscard:
    def discard(self, *ids: str, execute: bool = True) -> int:
        return deadletters.discard(ids, ["quota"], [], execute=execute, as_json=True)

    def test_throws_away_those_that_are_named(self, channel, capsys):
        bury(channel, b"one", b"two")
        ids = [letter["id"] for letter in listed(capsys)]

        self.discard(ids[0])

        assert [letter["id"] for letter in listed(capsys)] == [ids[1]]

    def test_touches_none_if_one_of_them_is_not_there(self, channel, capsys):
        bury(channel, b"one")
        ids = [letter["id"] for letter in listed(capsys)]

        with pytest.raises(exits.NotThere):
            self.discard(*ids, "quota/billing/000000000000")

        assert len(listed(capsys)) == 1

    def test_only_says_so_unless_it_is_to_do_it(self, channel, capsys):
        bury(channel, b"one")

        self.discard(execute=False)

        assert len(listed(capsys)) == 1


class TestAway:
    def test_is_said_of_a_broker_that_is_not_there(self, surroundings):
        surroundings.setenv("AMQP_URI", "amqp://127.0.0.1:1/")

        with pytest.raises(exits.Away, match="RabbitMQ does not answer"):
            deadletters.list_letters(["quota"], [], 50, True)
