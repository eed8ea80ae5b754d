"""Events that every process hears, where a lost one costs nothing because what it says can also be asked."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import amqp
import kombu
import nameko.events
from nameko.exceptions import ContainerBeingKilled

from shared import logs
from shared.rpc.consumer import Consumer

log = logs.logger(__name__)

CONTENT_TYPE = "application/cloudevents+json"

F = TypeVar("F", bound=Callable[..., Any])


def on_broadcast(service: str, event: str, *, on_subscribed: Callable[[], None]) -> Callable[[F], F]:
    """
    Hand each of a service's events of one name to a method, in every process, while it is connected.

    :param event: the routing key, such as `secrets.SecretRevoked`; `#` for all
    :param on_subscribed: called whenever listening begins, at first and after each interruption: what was said before
        was not heard. It must not wait for anything
    """
    decorator: Callable[[F], F] = Broadcast.decorator(service, event, on_subscribed)
    return decorator


class Broadcast(nameko.events.EventHandler):  # type: ignore[misc]
    queue_consumer = Consumer()
    no_ack = False

    def __init__(self, service: str, event: str, on_subscribed: Callable[[], None]) -> None:
        super().__init__(service, event, handler_type=nameko.events.BROADCAST, reliable_delivery=False)
        self.on_subscribed = on_subscribed

    def setup(self) -> None:
        self.queue_consumer.register_provider(self)

    def new_queue(self) -> kombu.Queue:
        # A new name each time, since the broker may not have noticed yet that the last connection is gone.
        listener = f"{self.container.service_name}.{self.method_name}-{uuid.uuid4().hex}"
        return kombu.Queue(
            f"evt-{self.source_service}-{self.event_type}--{listener}",
            exchange=kombu.Exchange(f"{self.source_service}.events", type="topic", durable=True),
            routing_key=self.event_type,
            exclusive=True,
            durable=False,
        )

    def subscribed(self, queue: kombu.Queue) -> None:  # noqa: ARG002
        try:
            self.on_subscribed()
        except Exception:
            log.exception("broadcast not prepared for", event_name=self.event_type)

    def unsubscribed(self) -> None:
        pass

    def received(self, message: amqp.Message) -> None:
        event = self.queue_consumer.read_or_reject(message, CONTENT_TYPE)
        if event is not None:
            self.container.spawn_managed_thread(partial(self.handle_message, event, message))

    def handle_message(self, event: dict[str, Any], message: amqp.Message) -> None:
        try:
            self.container.spawn_worker(self, (event,), {}, handle_result=partial(self.handle_result, message))
        except ContainerBeingKilled:
            self.queue_consumer.requeue(message)

    def handle_result(self, message: amqp.Message, _worker_ctx: Any, result: Any, exc_info: Any) -> tuple[Any, Any]:
        if exc_info is not None:
            log.error("broadcast not handled", event_name=message.delivery_info["routing_key"], exc_info=exc_info)
        self.queue_consumer.ack(message)
        return result, exc_info
