"""The doors of a service: what may be called from outside, and what becomes of each call."""

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import amqp
import eventlet
import kombu
import nameko.rpc
from eventlet.event import Event
from nameko.exceptions import ContainerBeingKilled, MethodNotFound
from nameko.extensions import DependencyProvider

from shared import context, errors, logs, metrics, rpc_wire
from shared.rpc.arguments import Arguments
from shared.rpc.consumer import Consumer
from shared.rpc.publisher import ForeignPublisher, Publisher, Undelivered

log = logs.logger(__name__)

REPLY_SECONDS = 2.0
CONTEXT_KEY = "context"

F = TypeVar("F", bound=Callable[..., Any])


def door(method: F) -> F:
    """
    Let other services call a method, by name and with JSON arguments.

    What it raises as a ServiceError reaches the caller as it is. Anything else is a bug: logged here, told to nobody.
    """
    opened: F = Door.decorator(expected_exceptions=errors.ServiceError)(method)
    return opened


class Requests(nameko.rpc.RpcConsumer):  # type: ignore[misc]
    """The queue of calls to a service."""

    queue_consumer = Consumer()
    publisher = Publisher()
    foreign_publisher = ForeignPublisher()
    no_ack = False

    def new_queue(self) -> kombu.Queue:
        # It goes with the last process that answers, so that callers hear at once that nobody is there.
        self.queue.auto_delete = True
        return self.queue  # type: ignore[no-any-return]

    def subscribed(self, queue: kombu.Queue) -> None:
        pass

    def unsubscribed(self) -> None:
        pass

    def received(self, message: amqp.Message) -> None:
        body = self.queue_consumer.read_or_reject(message, rpc_wire.CONTENT_TYPE)
        if body is None:
            return
        if not _is_reply_address(message.properties.get("reply_to")):
            self.queue_consumer.drop(message, "it says nowhere to reply to")
            return
        message.delivery_info["received_at"] = time.monotonic()
        self.container.spawn_managed_thread(partial(self.handle_message, body, message))

    def handle_message(self, body: dict[str, Any], message: amqp.Message) -> None:
        try:
            self._called(message).handle_message(body, message)
        except errors.ServiceError:
            self.handle_result(message, None, sys.exc_info())
        except ContainerBeingKilled:
            self.queue_consumer.requeue(message)

    def handle_result(self, message: amqp.Message, result: Any, exc_info: Any) -> tuple[Any, Any]:
        """Answer and acknowledge a call. Never raises, because nameko would end the process."""
        correlation_id = message.properties.get("correlation_id")
        try:
            reply = rpc_wire.reply(correlation_id=correlation_id, result=result, error=_shown(exc_info))
        except (TypeError, ValueError, RecursionError):
            exc_info = sys.exc_info()
            reply = rpc_wire.reply(correlation_id=correlation_id, error=rpc_wire.INTERNAL_ERROR)
        _tell(message, exc_info)
        self._send(reply, message)
        self.queue_consumer.ack(message)
        return result, exc_info

    def _called(self, message: amqp.Message) -> "Door":
        called = message.delivery_info["routing_key"]
        try:
            door: Door = self.get_provider_for_method(called)
        except MethodNotFound:
            raise errors.Invalid("unknown_method", f"{called} does not exist.") from None
        message.delivery_info["known"] = called
        return door

    def _send(self, reply: amqp.Message, request: amqp.Message) -> None:
        """On the exchange on which the request came: a foreign caller hears on no other."""
        exchange, address = request.delivery_info["exchange"], request.properties["reply_to"]
        publisher = self.publisher if exchange == rpc_wire.EXCHANGE else self.foreign_publisher
        confirmed = Event()
        try:
            with eventlet.Timeout(REPLY_SECONDS, Undelivered("not confirmed in time")):
                publisher.until_connected()
                publisher.publish(reply, exchange=exchange, routing_key=address, settle=confirmed.send)
                failure = confirmed.wait()
        except Undelivered as error:
            failure = error
        if failure:
            log.warning("reply not sent", reason=str(failure))


class Door(nameko.rpc.Rpc):  # type: ignore[misc]
    rpc_consumer = Requests()

    def bind(self, container: Any, method_name: str) -> "Door":
        bound: Door = super().bind(container, method_name)
        if not any(isinstance(dependency, Caller) for dependency in container.dependencies):
            container.dependencies.add(Caller().bind(container, "caller"))
        return bound

    def setup(self) -> None:
        super().setup()
        self._arguments = Arguments(self.method_name, getattr(self.container.service_cls, self.method_name))
        metrics.expect_rpc(f"{self.container.service_name}.{self.method_name}")

    def handle_message(self, body: dict[str, Any], message: amqp.Message) -> None:
        """
        Start the method in a worker of its own.

        :raises Invalid: if the call or its context makes no sense
        :raises Unavailable: if nobody waits for the answer any more
        """
        headers = message.properties.get("application_headers", {})
        caller = rpc_wire.read_context(headers, exchange=message.delivery_info["exchange"])
        context.enter(caller)
        if caller.deadline is not None and caller.deadline <= time.time():
            raise errors.Unavailable("deadline_passed", "The call arrived after its deadline.")
        arguments = self._arguments.read(body)
        if not self.rpc_consumer.queue_consumer.serves(self.rpc_consumer):
            raise ContainerBeingKilled
        self.container.spawn_worker(
            self,
            (),
            arguments,
            context_data={CONTEXT_KEY: caller},
            handle_result=partial(self.handle_result, message),
        )


class Caller(DependencyProvider):  # type: ignore[misc]
    """Enters the caller's context in the worker's own green thread, in every service that has a door."""

    def worker_setup(self, worker_ctx: Any) -> None:
        if CONTEXT_KEY in worker_ctx.data:
            context.enter(worker_ctx.data[CONTEXT_KEY])


def _is_reply_address(value: Any) -> bool:
    """The name of a queue, and not of a door: an answer must never become somebody's call."""
    return isinstance(value, str) and value != "" and "." not in value


def _shown(exc_info: Any) -> dict[str, Any] | None:
    if exc_info is None:
        return None
    if isinstance(exc_info[1], errors.ServiceError):
        return rpc_wire.refusal(exc_info[1])
    return rpc_wire.INTERNAL_ERROR


def _tell(message: amqp.Message, exc_info: Any) -> None:
    fault = exc_info[1] if exc_info else None
    exchange, method = message.delivery_info["exchange"], message.delivery_info["routing_key"]
    seconds = time.monotonic() - message.delivery_info["received_at"]
    call = {"method": method, "milliseconds": round(seconds * 1000, 1)}
    if exchange != rpc_wire.EXCHANGE:
        call["caller"] = exchange.removeprefix(rpc_wire.FOREIGN)
    metrics.served_rpc(message.delivery_info.get("known", "(unknown)"), fault, seconds)
    if fault is None:
        log.debug("call answered", **call, code="ok")
    elif isinstance(fault, errors.Unavailable):
        log.warning("call refused", **call, code=fault.code)
    elif isinstance(fault, errors.ServiceError):
        log.info("call refused", **call, code=fault.code)
    else:
        log.error("call failed", **call, code="internal_error", exc_info=exc_info)
