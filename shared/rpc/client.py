"""Calling another service from a green thread, with an end to the waiting."""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import amqp
import eventlet
import kombu
from eventlet.event import Event
from nameko.extensions import DependencyProvider, SharedExtension

from shared import logs, metrics, rpc_wire
from shared.rpc import publisher
from shared.rpc.consumer import Consumer
from shared.rpc.publisher import Publisher

log = logs.logger(__name__)

TIMEOUT_SECONDS = 1.8  # so that who asks us is told within 2 s that a service is away
CONFIRM_SECONDS = 1.5  # a broker that takes no message by then is away, however long the answer may take


class Replies(SharedExtension):  # type: ignore[misc]
    """The answers to a container's calls. Their queue dies with its connection, and so does what waits for them."""

    queue_consumer = Consumer()
    no_ack = True

    def __init__(self) -> None:
        self.address = ""  # where answers reach us; empty while they cannot
        self.pending: dict[str, Event] = {}

    def setup(self) -> None:
        self.queue_consumer.register_provider(self)

    @contextmanager
    def expected(self) -> Iterator[tuple[str, Event]]:
        """
        A correlation id and an event, which gets the answer's message, or Undelivered when there will be none.

        :raises Undelivered: if no answer could reach us
        """
        if not self.address:
            raise publisher.Undelivered("no connection")
        correlation_id, answer = uuid.uuid4().hex, Event()
        self.pending[correlation_id] = answer
        try:
            yield correlation_id, answer
        finally:
            self.pending.pop(correlation_id, None)

    def failed(self, correlation_id: str, reason: Exception) -> None:
        answer = self.pending.pop(correlation_id, None)
        if answer is not None:
            answer.send_exception(reason)

    def new_queue(self) -> kombu.Queue:
        # A new name each time, since the broker may not have noticed yet that the last connection is gone.
        address = str(uuid.uuid4())
        return kombu.Queue(
            f"rpc.reply-{self.container.service_name}-{address}",
            exchange=kombu.Exchange(rpc_wire.EXCHANGE, type="topic", durable=True),
            routing_key=address,
            exclusive=True,
            durable=False,
        )

    def subscribed(self, queue: kombu.Queue) -> None:
        self.address = queue.routing_key

    def received(self, message: amqp.Message) -> None:
        answer = self.pending.pop(message.properties.get("correlation_id"), None)
        if answer is not None:  # else it is too late: nobody waits any more
            answer.send(message)

    def unsubscribed(self) -> None:
        self.address = ""
        for correlation_id in list(self.pending):
            self.failed(correlation_id, publisher.Undelivered("connection lost"))


class Client(DependencyProvider):  # type: ignore[misc]
    """`quota = rpc.Client("quota")` in a service class gives its methods `self.quota.get_usage(period=...)`."""

    replies = Replies()
    publisher = Publisher()

    def __init__(self, service: str) -> None:
        self.service = service

    def get_dependency(self, worker_ctx: Any) -> "Remote":  # noqa: ARG002
        return Remote(self.service, self.call)

    def call(self, method: str, arguments: dict[str, Any], timeout_seconds: float) -> Any:
        called = f"{self.service}.{method}"
        with metrics.calling(called):
            return rpc_wire.read_reply(self._ask(called, arguments, timeout_seconds), called=called)

    def _ask(self, called: str, arguments: dict[str, Any], timeout_seconds: float) -> amqp.Message:
        deadline = rpc_wire.deadline_after(timeout_seconds)
        too_late = publisher.Undelivered("no answer in time")
        try:
            with (
                eventlet.Timeout(deadline - time.time(), too_late),
                eventlet.Timeout(CONFIRM_SECONDS, publisher.Undelivered("not taken by the broker")) as patience,
                self.replies.expected() as (correlation_id, answer),
            ):
                request = rpc_wire.request(
                    arguments, reply_to=self.replies.address, correlation_id=correlation_id, deadline=deadline
                )
                settle = partial(self._settle, correlation_id, patience)
                self.publisher.publish(request, routing_key=called, settle=settle, mandatory=True)
                return answer.wait()
        except publisher.Undelivered as error:
            log.warning("call not answered", method=called, reason=str(error))
            raise rpc_wire.unavailable(self.service) from error

    def _settle(self, correlation_id: str, patience: eventlet.Timeout, failure: Exception | None) -> None:
        patience.cancel()
        if failure is not None:
            self.replies.failed(correlation_id, failure)


class Remote:
    """
    Another service, as its callers see it: its doors are methods with keyword arguments.

    Each call raises the service's own ServiceError, Unavailable if there is no answer in time, and RemoteBug.
    """

    def __init__(
        self,
        service: str,
        call: Callable[[str, dict[str, Any], float], Any],
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._service = service
        self._call = call
        self._timeout_seconds = timeout_seconds

    def with_timeout(self, seconds: float) -> "Remote":
        return Remote(self._service, self._call, seconds)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            return self._call(method, arguments, self._timeout_seconds)

        return call
