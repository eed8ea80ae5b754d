"""RabbitMQ's users on a real RabbitMQ: what it lets them do, and what it refuses."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pika
import pika.exceptions
import pytest
from click.testing import CliRunner, Result
from pika.adapters.blocking_connection import BlockingChannel

from ops import cli
from sandbox.rabbitmq import RabbitmqServer
from shared import rpc_wire
from tests.shared import broker, kernel

NAME = "mailer"
OWN = rpc_wire.foreign_exchange(NAME)
REPLIES = f"rpc.reply-{NAME}-6f9619ff-8b86-4d01-b42d-00c04fc964ff"
METHODS = ("quota.get_usage", "accounts.get_profile")
EVENTS = ("quota.BotsStopped",)


def run(*words: str, password: str = "") -> Result:
    return CliRunner().invoke(cli.main, ["broker", *words], input=password)


def foreign(*, name: str = NAME, password: str, vhost: str, methods: tuple[str, ...] = METHODS) -> Result:
    words = [word for method in methods for word in ("--may-call", method)]
    words += [word for event in EVENTS for word in ("--may-hear", event)]
    return run("foreign", name, *words, "--vhost", vhost, "--password-file", "-", password=password)


@pytest.fixture(scope="module")
def vhost(amqp_uri: str) -> str:
    return amqp_uri.rpartition("/")[2]


@pytest.fixture(scope="module")
def ours(amqp_uri: str, vhost: str, rabbitmq: RabbitmqServer) -> Iterator[BlockingChannel]:
    """Our side: the queues of two services, after the caller's definitions came in twice."""
    definitions = foreign(password=rabbitmq.password_of(NAME), vhost=vhost).stdout
    for _ in range(2):
        rabbitmq.import_definitions(definitions)
    with broker.channel(amqp_uri) as channel:
        channel.confirm_delivery()  # or what we publish may not be there yet when somebody looks
        for service in ("quota", "billing"):
            channel.queue_declare(f"rpc-{service}")
            channel.queue_bind(f"rpc-{service}", rpc_wire.EXCHANGE, f"{service}.*")
        yield channel


@pytest.fixture
def theirs(rabbitmq: RabbitmqServer, vhost: str, ours: BlockingChannel) -> Iterator[BlockingChannel]:
    for queue in ("rpc-quota", "rpc-billing"):
        ours.queue_purge(queue)
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq.uri_of(vhost, user=NAME)))) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def arrived(ours: BlockingChannel, service: str) -> list[tuple[str, str]]:
    """Exchange and routing key of each call that waits for the service."""
    found = []
    while (method := ours.basic_get(f"rpc-{service}", auto_ack=True)[0]) is not None:
        found.append((method.exchange, method.routing_key))
    return found


class TestAForeignCaller:
    def test_calls_what_it_may_on_an_exchange_that_names_it(self, ours: BlockingChannel, theirs: BlockingChannel):
        theirs.exchange_declare(OWN, "topic", durable=True)  # as nameko's client does
        theirs.queue_declare(REPLIES, exclusive=True)
        theirs.queue_bind(REPLIES, OWN, "an address")

        theirs.basic_publish(OWN, "quota.get_usage", b"{}", mandatory=True)
        ours.basic_publish(OWN, "an address", b"an answer")

        assert arrived(ours, "quota") == [(OWN, "quota.get_usage")]
        assert theirs.basic_get(REPLIES, auto_ack=True)[2] == b"an answer"

    def test_learns_that_nobody_answers(self, theirs: BlockingChannel):
        with pytest.raises(pika.exceptions.UnroutableError):
            theirs.basic_publish(OWN, "accounts.get_profile", b"{}", mandatory=True)

    def test_hears_what_it_may(self, ours: BlockingChannel, theirs: BlockingChannel):
        queue = f"evt-quota-quota.BotsStopped--{NAME}.on_stopped"  # nameko's name for it
        theirs.queue_declare(queue)
        theirs.queue_bind(queue, "quota.events", "quota.BotsStopped")

        ours.basic_publish("quota.events", "quota.BotsStopped", b"1")
        ours.basic_publish("quota.events", "quota.BotPaused", b"2")

        assert theirs.basic_get(queue, auto_ack=True)[2] == b"1"
        assert theirs.basic_get(queue)[0] is None
        theirs.queue_delete(queue)

    def test_makes_no_queue_without_bounds(self, theirs: BlockingChannel, rabbitmq: RabbitmqServer, vhost: str):
        durable = {f"{NAME}.inbox", f"evt-quota-quota.BotsStopped--{NAME}.on_stopped"}
        for queue in durable:
            theirs.queue_declare(queue, durable=True)

        queues = json.loads(rabbitmq.ctl("list_queues", "--vhost", vhost, "--formatter", "json", "name", "policy"))
        policies = json.loads(rabbitmq.ctl("list_policies", "--vhost", vhost, "--formatter", "json"))

        (policy,) = policies
        assert {queue["name"] for queue in queues if queue["policy"] == policy["name"]} == durable
        bounds = json.loads(policy["definition"])
        assert {"max-length", "max-length-bytes", "expires"} < bounds.keys()
        assert bounds["overflow"] == "drop-head", "or a full queue would refuse our events"
        for queue in durable:
            theirs.queue_delete(queue)

    @pytest.mark.parametrize(
        "attempt",
        [
            pytest.param(lambda at: at.basic_publish(OWN, "quota.delete_bot", b""), id="call another method"),
            pytest.param(lambda at: at.basic_publish(OWN, "billing.cancel", b""), id="call another service"),
            pytest.param(lambda at: at.basic_publish(rpc_wire.EXCHANGE, METHODS[0], b""), id="call as one of ours"),
            pytest.param(lambda at: at.basic_publish("", "rpc-quota", b""), id="write into a queue of ours"),
            pytest.param(lambda at: at.basic_publish("quota.events", EVENTS[0], b""), id="tell an event"),
            pytest.param(lambda at: at.queue_bind(REPLIES, "quota.events", "quota.BotPaused"), id="hear another"),
            pytest.param(lambda at: at.queue_bind(REPLIES, "quota.events", "#"), id="hear all"),
            pytest.param(lambda at: at.queue_bind(REPLIES, "billing.events", "#"), id="hear another service"),
            pytest.param(lambda at: at.queue_bind(REPLIES, rpc_wire.EXCHANGE, "#"), id="listen to calls"),
            pytest.param(lambda at: at.exchange_bind(rpc_wire.EXCHANGE, OWN, "#"), id="lead its exchange on"),
            pytest.param(lambda at: at.exchange_bind(OWN, rpc_wire.EXCHANGE, "#"), id="lead calls to it"),
            pytest.param(lambda at: at.exchange_bind(OWN, "quota.events", "#"), id="lead events to it"),
            pytest.param(
                lambda at: at.queue_declare(f"{NAME}.x", arguments={"x-dead-letter-exchange": rpc_wire.EXCHANGE}),
                id="dead-letter into calls",
            ),
            pytest.param(
                lambda at: at.queue_declare(f"{NAME}.x", arguments={"x-dead-letter-exchange": ""}),
                id="dead-letter into queues",
            ),
            pytest.param(lambda at: at.queue_declare("rpc-quota"), id="declare a queue of ours"),
            pytest.param(lambda at: at.queue_declare("quota.from.billing"), id="declare a consumer's queue"),
            pytest.param(lambda at: at.queue_delete("rpc-quota"), id="delete a queue"),
            pytest.param(lambda at: at.queue_purge("rpc-quota"), id="purge a queue"),
            pytest.param(lambda at: at.basic_get("rpc-quota"), id="take calls"),
            pytest.param(lambda at: at.exchange_delete(rpc_wire.EXCHANGE), id="delete our exchange"),
            pytest.param(lambda at: at.exchange_declare("billing.events", "topic"), id="declare an exchange"),
        ],
    )
    def test_is_refused_whatever_else(self, theirs: BlockingChannel, attempt: Callable[[BlockingChannel], Any]):
        theirs.queue_declare(REPLIES, exclusive=True)

        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            attempt(theirs)

    def test_reaches_no_other_method_by_dead_letters_and_copies(self, ours: BlockingChannel, theirs: BlockingChannel):
        """Neither is checked against topic permissions; from its own exchange no way leads there."""
        smuggle = {"x-message-ttl": 0, "x-dead-letter-exchange": OWN, "x-dead-letter-routing-key": "billing.cancel"}
        queue = theirs.queue_declare(f"{NAME}.smuggle", exclusive=True, arguments=smuggle).method.queue
        theirs.queue_bind(queue, OWN, "quota.get_usage")
        copied = pika.BasicProperties(headers={"CC": ["billing.cancel"]})

        theirs.basic_publish(OWN, "quota.get_usage", b"{}", copied, mandatory=True)

        kernel.eventually(lambda: theirs.queue_declare(queue, passive=True).method.message_count == 0, "it is dead")
        # What a copy reaches names the method that it may call, and that one billing does not have.
        assert arrived(ours, "billing") in ([], [(OWN, "quota.get_usage")])

    def test_loses_at_once_what_it_may_call(
        self, ours: BlockingChannel, theirs: BlockingChannel, surroundings: pytest.MonkeyPatch
    ):
        assert "would be deleted" in run("forget", NAME).output
        theirs.basic_publish(OWN, "quota.get_usage", b"{}", mandatory=True)

        assert run("forget", NAME, "--execute").exit_code == 0

        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="NOT_FOUND"):
            theirs.basic_publish(OWN, "quota.get_usage", b"{}", mandatory=True)
        assert run("forget", NAME, "--execute").exit_code == 3


class TestDefinitions:
    def test_hold_no_password(self):
        printed = foreign(password="a long long password\n", vhost="/").stdout

        assert "a long long password" not in printed
        assert printed != foreign(password="a long long password\n", vhost="/").stdout  # salted

    @pytest.mark.parametrize(
        "changes, complaint",
        [
            ({"password": "short"}, "fewer than 16 characters"),
            ({"name": "quota"}, "is a name of ours"),
            ({"name": "rpc"}, "is a name of ours"),
            ({"name": "nameko-rpc"}, "is a name of ours"),
            ({"name": "evt-secrets-secrets"}, "is a name of ours"),
            ({"name": "Mailer"}, "is no name"),
            ({"name": "a.b"}, "is no name"),
            ({"methods": ("quota.get_usag",)}, "'quota.get_usag' is nothing that another service may call: one of"),
            ({"methods": ("accounts.verify_session",)}, "is nothing that another service may call"),
        ],
    )
    def test_are_refused_for_what_makes_no_sense(self, changes: dict[str, Any], complaint: str):
        refused = foreign(**{"password": "a long long password", "vhost": "/", **changes})

        assert (refused.exit_code, refused.stdout) == (2, "")
        assert complaint in refused.stderr


class TestAUserOfOurs:
    def test_lets_other_services_be(self, rabbitmq: RabbitmqServer, vhost: str, ours: BlockingChannel):
        words = ("--runs", "quota", "--vhost", vhost, "--password-file", "-")
        rabbitmq.import_definitions(
            run("own", "ours-quota", *words, password=rabbitmq.password_of("ours-quota")).stdout
        )

        parameters = pika.URLParameters(rabbitmq.uri_of(vhost, user="ours-quota"))
        attempts: list[Callable[[BlockingChannel], Any]] = [
            lambda at: at.basic_publish(rpc_wire.EXCHANGE, "billing.cancel", b""),
            lambda at: at.basic_publish("billing.events", "billing.SubscriptionChanged", b""),
            lambda at: at.basic_get("rpc-billing"),
            lambda at: at.queue_declare("billing.from.accounts"),
        ]
        for attempt in attempts:
            with closing(pika.BlockingConnection(parameters)) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
                    attempt(channel)


def test_a_broken_document_is_refused(rabbitmq: RabbitmqServer):
    with pytest.raises(subprocess.CalledProcessError):
        rabbitmq.import_definitions("{")
