from collections.abc import Iterator

import pytest

from ops import rabbitmq
from sandbox.rabbitmq import RabbitmqServer
from tests.shared import broker


@pytest.fixture
def alarm(rabbitmq: RabbitmqServer) -> Iterator[None]:
    """RabbitMQ has less memory than it needs."""
    rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "1")
    yield
    rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "512MB")


class TestTakesMessages:
    def test_is_so_of_one_that_works(self, amqp_uri):
        assert rabbitmq.takes_messages(amqp_uri)

    @pytest.mark.usefixtures("alarm")
    def test_is_not_so_while_an_alarm_stops_all_who_publish(self, amqp_uri):
        assert not rabbitmq.takes_messages(amqp_uri)


class TestLookAt:
    def test_counts_what_waits_and_who_listens(self, amqp_uri):
        with broker.channel(amqp_uri) as channel:
            queue = broker.listen(channel)
            channel.basic_publish("counting.events", "name", b"")
            channel.queue_declare(queue, passive=True)  # answered after the message has arrived

            found = rabbitmq.look_at(channel.connection, queue)

        assert found == rabbitmq.Queue(queue, ready=1, consumers=0)

    def test_finds_nothing_where_there_is_no_queue(self, amqp_uri):
        with broker.channel(amqp_uri) as channel:
            assert rabbitmq.look_at(channel.connection, "nobodys") is None
            assert rabbitmq.look_at(channel.connection, "nobodys") is None
