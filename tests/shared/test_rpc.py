"""The transport between services, on real processes and a real broker."""

import json
import os
import pickle
import time
import uuid
from collections.abc import Iterator
from typing import Any

import amqp
import kombu
import pytest
from nameko.exceptions import RemoteError
from nameko.standalone.rpc import ClusterRpcProxy

from shared import context, errors, rpc_wire
from shared.rpc_client import BlockingClient
from tests.shared.rpc_processes import Process, Start, calls_of, eventually, start

__all__ = ["start"]

PERSON = context.Actor(kind="person", id="acc_1", org_id="org_1", role="owner")


@pytest.fixture(scope="module")
def example(amqp_uri: str, start: Start) -> Process:
    process = start(amqp_uri, "example")
    process.becomes_ready()
    return process


@pytest.fixture(scope="module")
def front(amqp_uri: str, start: Start, example: Process) -> Process:
    process = start(amqp_uri, "front", "listener")
    process.becomes_ready()
    return process


@pytest.fixture(scope="module")
def client(amqp_uri: str) -> Iterator[BlockingClient]:
    with BlockingClient(amqp_uri) as client:
        yield client


@pytest.fixture
def channel(amqp_uri: str) -> Iterator[amqp.Channel]:
    connection = kombu.Connection(amqp_uri).transport.establish_connection()
    yield connection.channel()
    connection.close()


class Replies:
    """A reply queue of a caller of the test's own."""

    def __init__(self, channel: amqp.Channel, exchange: str = rpc_wire.EXCHANGE) -> None:
        self.address = uuid.uuid4().hex
        self._channel = channel
        channel.queue_declare(self.address, exclusive=True)
        if exchange != rpc_wire.EXCHANGE:
            channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
            channel.exchange_bind(rpc_wire.EXCHANGE, exchange, "#")
        channel.queue_bind(self.address, exchange, routing_key=self.address)

    def next(self) -> dict[str, Any]:
        found: list[amqp.Message] = []

        def arrived() -> bool:
            found.append(self._channel.basic_get(self.address, no_ack=True))
            return found[-1] is not None

        eventually(arrived, "a reply")
        body: dict[str, Any] = json.loads(found[-1].body)
        return body


def message(body: Any = None, headers: dict[str, Any] | None = None, **properties: Any) -> amqp.Message:
    """A call of a door without arguments, unless something else is wanted."""
    body = {"args": [], "kwargs": {}} if body is None else body
    properties = {"content_type": "application/json", "correlation_id": "c", **properties}
    return amqp.Message(
        body if isinstance(body, bytes) else json.dumps(body).encode(),
        application_headers=headers or {},
        **{name: value for name, value in properties.items() if value is not None},
    )


@pytest.mark.usefixtures("example")
class TestDoor:
    def test_answers_with_what_the_method_returns(self, client: BlockingClient):
        value = {"text": "é", "number": 1, "float": 1.5, "nothing": None, "list": [True]}

        assert client.call("example", "echo", timeout=5, value=value) == value

    @pytest.mark.parametrize(
        "kind", [errors.Invalid, errors.Forbidden, errors.NotFound, errors.Conflict, errors.LimitReached]
    )
    def test_lets_a_refusal_through_with_its_details(self, client: BlockingClient, kind: type[errors.ServiceError]):
        details = {"used": 200, "resets_at": None, "upgrade": True}

        with pytest.raises(kind) as refusal:
            client.call("example", "refuse", timeout=5, kind=kind.__name__, code="no_more", details=details)

        assert (refusal.value.code, refusal.value.message) == ("no_more", "No.")
        assert refusal.value.details == details

    def test_keeps_a_bug_to_itself(self, example: Process, channel: amqp.Channel):
        replies = Replies(channel)
        body = {"args": [], "kwargs": {"secret": "hunter2"}}

        channel.basic_publish(message(body, reply_to=replies.address), rpc_wire.EXCHANGE, "example.fail")

        answer = replies.next()
        assert answer["error"]["value"] == "internal_error"
        assert "hunter2" not in json.dumps(answer)
        assert "RuntimeError" not in json.dumps(answer)

    def test_logs_a_bug_once_with_its_traceback(self, example: Process, client: BlockingClient):
        with pytest.raises(rpc_wire.RemoteBug):
            client.call("example", "fail", timeout=5, secret="traceable")

        lines = [line for line in example.log.splitlines() if "traceable" in line]
        assert len(lines) == 1
        logged = json.loads(lines[0])
        assert (logged["level"], logged["method"], logged["code"]) == ("error", "example.fail", "internal_error")
        assert "Traceback" in logged["exception"]

    def test_treats_an_answer_that_is_not_json_as_a_bug(self, client: BlockingClient):
        with pytest.raises(rpc_wire.RemoteBug):
            client.call("example", "answer_with_nonsense", timeout=5)

    def test_refuses_a_method_that_does_not_exist(self, client: BlockingClient):
        with pytest.raises(errors.Invalid) as refusal:
            client.call("example", "missing", timeout=5)

        assert refusal.value.code == "unknown_method"

    @pytest.mark.parametrize("arguments", [{}, {"value": 1, "other": 2}, {"valeu": 1}])
    def test_refuses_wrong_arguments(self, client: BlockingClient, arguments: dict[str, Any]):
        with pytest.raises(errors.Invalid) as refusal:
            client.call("example", "echo", timeout=5, **arguments)

        assert refusal.value.code == "invalid_arguments"

    def test_refuses_arguments_of_other_types(self, client: BlockingClient):
        with pytest.raises(errors.Invalid) as refusal:
            client.call("example", "wait", timeout=5, seconds=0, name=["a private word"])

        assert (refusal.value.code, refusal.value.message) == ("invalid_arguments", "wait: name is not str")

    def test_works_on_behalf_of_the_caller(self, client: BlockingClient):
        with context.use(actor=PERSON, correlation_id="req_1", client="198.51.100.66"):
            seen = client.call("example", "whoami", timeout=5)

        assert context.Actor.from_json(seen["actor"]) == PERSON
        assert (seen["correlation_id"], seen["client"]) == ("req_1", "198.51.100.66")
        assert time.time() < seen["deadline"] <= time.time() + 5

    def test_gives_a_call_without_context_a_correlation_id_and_no_actor(self, channel: amqp.Channel):
        replies = Replies(channel)

        channel.basic_publish(message(reply_to=replies.address), rpc_wire.EXCHANGE, "example.whoami")

        seen = replies.next()["result"]
        assert context.Actor.from_json(seen["actor"]) == context.ANYONE
        assert seen["correlation_id"].startswith("req_")
        assert seen["deadline"] > time.time()

    def test_does_not_start_a_call_past_its_deadline(self, client: BlockingClient, channel: amqp.Channel):
        replies = Replies(channel)
        body = {"args": [], "kwargs": {"seconds": 0, "name": "too late"}}
        late = message(body, {"nameko.deadline": time.time() - 1}, reply_to=replies.address)

        channel.basic_publish(late, rpc_wire.EXCHANGE, "example.wait")

        assert replies.next()["error"]["exc_args"][0] == "deadline_passed"
        assert "too late" not in calls_of(client)

    def test_answers_a_plain_nameko_client(self, amqp_uri: str):
        with ClusterRpcProxy({"AMQP_URI": amqp_uri}, context_data={"actor": PERSON.to_json()}, timeout=5) as cluster:
            assert cluster.example.echo("hello") == "hello"
            assert cluster.example.whoami()["actor"]["id"] == "acc_1"
            with pytest.raises(errors.LimitReached):
                cluster.example.refuse("LimitReached", "no_more", {})
            with pytest.raises(RemoteError) as bug:
                cluster.example.fail("hunter2")
        assert "hunter2" not in str(bug.value)

    def test_answers_a_foreign_caller_on_its_own_exchange_and_by_no_other_name(
        self, example: Process, channel: amqp.Channel
    ):
        exchange = rpc_wire.foreign_exchange("stranger")
        replies = Replies(channel, exchange)

        for claimed in ({"org_id": "org_1"}, {"id": "gateway"}, PERSON.to_json()):
            asked = message(headers={"nameko.actor": claimed}, reply_to=replies.address)
            channel.basic_publish(asked, exchange, "example.whoami")

        answers = [replies.next() for _ in range(3)]
        seen = [answer["result"]["actor"] for answer in answers if answer["result"]]
        assert [context.Actor.from_json(actor) for actor in seen] == [
            context.Actor(kind="service", id="stranger", org_id="org_1")
        ]
        codes = sorted(answer["error"]["exc_args"][0] for answer in answers if answer["error"])
        assert codes == ["not_your_actor"] * 2
        assert example.log.count('"caller": "stranger"') == 3

    def test_answers_others_when_a_foreign_caller_has_deleted_its_exchange(
        self, example: Process, client: BlockingClient, channel: amqp.Channel
    ):
        exchange = rpc_wire.foreign_exchange("quitter")
        Replies(channel, exchange)
        asked = message({"args": [0.3, "then it is gone"], "kwargs": {}}, reply_to="nowhere")
        channel.basic_publish(asked, exchange, "example.wait")
        eventually(lambda: "then it is gone" in calls_of(client))

        channel.exchange_delete(exchange)

        eventually(
            lambda: client.call("example", "echo", timeout=1, value=1) == 1 and "reply not sent" in example.log
        )
        assert example.log.count("broker connection lost") == 1

    def test_logs_no_argument(self, example: Process, client: BlockingClient):
        client.call("example", "echo", timeout=5, value="a private word")
        with pytest.raises(errors.Invalid):
            client.call("example", "echo", timeout=5, secret="a private word")

        assert "a private word" not in example.log


class Nothing:
    """Something that runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.abort, ()


class TestMessagesThatMakeNoSense:
    @pytest.mark.parametrize(
        "nonsense",
        [
            pytest.param(message(b"{a private word", reply_to="a"), id="no JSON"),
            pytest.param(message(b"\xff\xfea private word", reply_to="a"), id="no text"),
            pytest.param(message(b"[" * 100_000 + b"a private word", reply_to="a"), id="nested too deep"),
            pytest.param(message(["a private word"], reply_to="a"), id="no object"),
            pytest.param(message(b'"a private word"', content_type=None, reply_to="a"), id="no content type"),
            pytest.param(message(content_type="text/a private word", reply_to="a"), id="wrong content type"),
            pytest.param(
                message(pickle.dumps(Nothing()), content_type="application/x-python-serialize", reply_to="a"),
                id="pickle",
            ),
            pytest.param(message({"args": ["a private word"], "kwargs": {}}), id="no reply_to"),
            pytest.param(message({"args": ["a private word"], "kwargs": {}}, reply_to=""), id="empty reply_to"),
            pytest.param(message({"args": ["a private word"], "kwargs": {}}, reply_to="example.echo"), id="a door"),
        ],
    )
    def test_are_dropped_and_their_words_logged_nowhere(
        self, example: Process, client: BlockingClient, channel: amqp.Channel, nonsense: amqp.Message
    ):
        nonsense.properties["message_id"] = f"msg-{uuid.uuid4()}"

        channel.basic_publish(nonsense, rpc_wire.EXCHANGE, "example.echo")

        eventually(lambda: nonsense.properties["message_id"] in example.log)
        assert "a private word" not in example.log
        assert client.call("example", "echo", timeout=5, value=1) == 1
        assert example.log.count(nonsense.properties["message_id"]) == 1
        assert example.lives

    @pytest.mark.parametrize("body", [{}, {"args": 1, "kwargs": {}}, {"args": [], "kwargs": []}, {"args": None}])
    def test_are_refused_when_they_hold_no_arguments(self, channel: amqp.Channel, example: Process, body: Any):
        replies = Replies(channel)

        channel.basic_publish(message(body, reply_to=replies.address), rpc_wire.EXCHANGE, "example.list_calls")

        assert replies.next()["error"]["exc_args"][0] == "invalid_arguments"

    @pytest.mark.parametrize(
        "headers",
        [
            {"nameko.actor": "acc_1"},
            {"nameko.actor": [1]},
            {"nameko.actor": {"unknown": "key"}},
            {"nameko.actor": {"id": 7}},
            {"nameko.actor": {"scopes": 7}},
            {"nameko.deadline": "tomorrow"},
            {"nameko.correlation_id": ["x"]},
            {"nameko.client": ["198.51.100.66"]},
            {"nameko.client": "1" * 46},
        ],
    )
    def test_are_refused_when_their_context_is_none(
        self, channel: amqp.Channel, example: Process, headers: dict[str, Any]
    ):
        replies = Replies(channel)

        channel.basic_publish(message(headers=headers, reply_to=replies.address), rpc_wire.EXCHANGE, "example.whoami")

        assert replies.next()["error"]["exc_args"][0] == "invalid_context"
        assert example.lives

    def test_do_no_harm_with_a_header_that_nameko_trusts(self, channel: amqp.Channel, example: Process):
        replies = Replies(channel)
        headers = {"nameko.call_id_stack": [1, None], "compression": "application/x-gzip"}

        channel.basic_publish(message(headers=headers, reply_to=replies.address), rpc_wire.EXCHANGE, "example.whoami")

        assert replies.next()["error"] is None

    def test_do_no_harm_when_nobody_waits_for_the_reply(
        self, channel: amqp.Channel, client: BlockingClient, example: Process
    ):
        body = {"args": [0, "answered into the void"], "kwargs": {}}

        channel.basic_publish(message(body, reply_to="nowhere"), rpc_wire.EXCHANGE, "example.wait")

        eventually(lambda: "answered into the void" in calls_of(client))
        assert example.lives


@pytest.mark.usefixtures("front")
class TestClient:
    def ask(
        self, client: BlockingClient, method: str, *, of: str = "example", within: float = 2, **arguments: Any
    ) -> Any:
        return client.call("front", "ask", timeout=10, service=of, method=method, arguments=arguments, seconds=within)

    def test_gives_each_of_many_callers_its_own_answer(self, client: BlockingClient):
        asked = [{"seconds": 0.01 * (n % 7), "name": f"call {n}"} for n in range(200)]

        outcomes = client.call(
            "front", "ask_at_once", timeout=20, method="wait", list_of_arguments=asked, seconds=10.0
        )

        assert [outcome["result"] for outcome in outcomes] == [arguments["name"] for arguments in asked]

    def test_raises_the_refusal_it_gets(self, client: BlockingClient):
        outcome = self.ask(client, "refuse", kind="Conflict", code="taken", details={"by": 3})

        assert (outcome["refused"], outcome["code"], outcome["details"]) == ("Conflict", "taken", {"by": 3})

    def test_tells_a_bug_from_a_refusal(self, client: BlockingClient):
        assert self.ask(client, "fail", secret="hunter2")["bug"] == "example.fail failed"

    def test_stops_waiting_in_time_and_forgets_the_call(self, client: BlockingClient):
        outcome = self.ask(client, "wait", within=0.3, seconds=0.6, name="slow")

        assert (outcome["refused"], outcome["code"]) == ("Unavailable", "service_unavailable")
        assert 0.3 <= outcome["seconds"] < 0.5
        assert client.call("front", "count_pending", timeout=5) == 0

    def test_takes_no_late_answer_for_its_own(self, client: BlockingClient):
        self.ask(client, "wait", within=0.1, seconds=0.3, name="late")

        assert self.ask(client, "wait", within=2, seconds=0.5, name="in time")["result"] == "in time"

    def test_says_at_once_that_a_service_does_not_exist(self, client: BlockingClient):
        outcome = self.ask(client, "anything", of="nobody", within=5)

        assert (outcome["refused"], outcome["code"]) == ("Unavailable", "service_unavailable")
        assert outcome["seconds"] < 1

    def test_waits_no_longer_than_its_own_caller(self, client: BlockingClient):
        started = time.time()
        with context.use(deadline=started + 0.5), pytest.raises(errors.Unavailable):
            client.call("front", "pass_on", timeout=10, method="wait", arguments={"seconds": 3, "name": "long"})

        assert time.time() - started < 0.8

    def test_passes_the_caller_on(self, client: BlockingClient):
        with context.use(actor=PERSON, correlation_id="req_2"):
            seen = client.call("front", "pass_on", timeout=5, method="whoami", arguments={})

        assert context.Actor.from_json(seen["actor"]) == PERSON
        assert seen["correlation_id"] == "req_2"

    def test_sends_requests_that_are_not_stored_and_expire_with_their_caller(
        self, front: Process, channel: amqp.Channel
    ):
        channel.queue_declare("rpc-idle", exclusive=True)
        channel.queue_bind("rpc-idle", rpc_wire.EXCHANGE, routing_key="idle.*")
        body = {"args": ["idle", "anything", {}, 1.5], "kwargs": {}}
        found: list[amqp.Message] = []

        channel.basic_publish(message(body, reply_to="nowhere"), rpc_wire.EXCHANGE, "front.ask")

        eventually(lambda: found.append(channel.basic_get("rpc-idle")) or found[-1] is not None)
        assert found[-1].properties["delivery_mode"] == 1
        assert 1000 < int(found[-1].properties["expiration"]) <= 1500
        assert 1 < found[-1].headers["nameko.deadline"] - time.time() + 0.5 <= 2


class TestOnBroadcast:
    def test_hands_over_each_event_and_drops_what_is_none(
        self, front: Process, channel: amqp.Channel, client: BlockingClient
    ):
        cloud_event = "application/cloudevents+json; charset=utf-8"

        for event in (
            message({"id": "sec_1"}, content_type=cloud_event),
            message(b"{a private word", content_type=cloud_event),
            message({"no": "id, so that the handler fails"}, content_type=cloud_event),
            message({"id": "sec_2"}, content_type="application/json"),
            message({"id": "sec_3"}, content_type=cloud_event),
        ):
            channel.basic_publish(event, "secrets.events", "secrets.SecretRevoked")

        eventually(lambda: client.call("listener", "heard", timeout=5)["revoked"] == ["sec_1", "sec_3"])
        assert front.log.count("broadcast not handled") == 1
        assert "a private word" not in front.log
        assert front.lives
