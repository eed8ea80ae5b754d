# ruff: noqa: E402 - green threads first, everything else after
"""
Services to run in a process of their own, because eventlet patches all of a process: `example`, at whose doors the
tests knock, and `front`, which calls it.

    python -m tests.shared.rpc_example AMQP_URI HEALTH_PORT SERVICE...
"""

from shared import serve

serve.green()

import sys
import time
from typing import Any

import eventlet
from nameko.extensions import DependencyProvider

from shared import context, errors, health, hub, logs, rpc
from shared.rpc.client import Replies

calls: list[str] = []
outcomes: list[dict[str, Any]] = []
revoked: list[Any] = []
subscriptions: list[float] = []


class Pending(DependencyProvider):  # type: ignore[misc]
    """How many answers the process waits for."""

    replies = Replies()

    def get_dependency(self, worker_ctx: Any) -> Any:
        return lambda: len(self.replies.pending)


class Example:
    name = "example"

    @rpc.door
    def echo(self, value: Any) -> Any:
        return value

    @rpc.door
    def whoami(self) -> dict[str, Any]:
        now = context.current()
        return {
            "actor": now.actor.to_json(),
            "correlation_id": now.correlation_id,
            "deadline": now.deadline,
            "client": now.client,
        }

    @rpc.door
    def refuse(self, kind: str, code: str, details: dict[str, Any]) -> None:
        raise getattr(errors, kind)(code, "No.", details)

    @rpc.door
    def fail(self, secret: str) -> None:
        raise RuntimeError(secret)

    @rpc.door
    def answer_with_nonsense(self) -> Any:
        return {"answer": object()}

    @rpc.door
    def wait(self, seconds: float, name: str = "") -> str:
        calls.append(name)
        eventlet.sleep(seconds)
        return name

    @rpc.door
    def list_calls(self) -> list[str]:
        return calls

    @rpc.door
    def block(self) -> None:
        """Keep the whole process busy, every green thread of it."""
        while True:
            pass


class Front:
    name = "front"
    example = rpc.Client("example")
    idle = rpc.Client("idle")
    nobody = rpc.Client("nobody")
    pending = Pending()

    @rpc.door
    def ask(self, service: str, method: str, arguments: dict[str, Any], seconds: float = 2.0) -> Any:
        """What came of a call, and after how many seconds."""
        return self._outcome(service, method, arguments, seconds)

    @rpc.door
    def ask_at_once(self, method: str, list_of_arguments: list[dict[str, Any]], seconds: float = 2.0) -> Any:
        pool = eventlet.GreenPool()
        outcomes[:] = pool.imap(
            lambda arguments: self._outcome("example", method, arguments, seconds), list_of_arguments
        )
        return outcomes

    @rpc.door
    def list_outcomes(self) -> list[dict[str, Any]]:
        """What the last `ask_at_once` found, for whoever lost its answer."""
        return outcomes

    @rpc.door
    def pass_on(self, method: str, arguments: dict[str, Any]) -> Any:
        return getattr(self.example, method)(**arguments)

    @rpc.door
    def count_pending(self) -> int:
        return self.pending()

    def _outcome(self, service: str, method: str, arguments: dict[str, Any], seconds: float) -> dict[str, Any]:
        started = time.monotonic()
        try:
            remote = getattr(self, service).with_timeout(seconds)
            outcome = {"result": getattr(remote, method)(**arguments)}
        except errors.ServiceError as refusal:
            outcome = {"refused": type(refusal).__name__, "code": refusal.code, "details": refusal.details}
        except rpc.RemoteBug as bug:
            outcome = {"bug": str(bug)}
        return {**outcome, "seconds": time.monotonic() - started}


class Listener:
    name = "listener"

    @rpc.on_broadcast("secrets", "secrets.SecretRevoked", on_subscribed=lambda: subscriptions.append(time.time()))
    def forget(self, event: dict[str, Any]) -> None:
        revoked.append(event["id"])

    @rpc.door
    def heard(self) -> dict[str, Any]:
        return {"revoked": revoked, "subscriptions": len(subscriptions)}


class Fatal(DependencyProvider):  # type: ignore[misc]
    """Ends its container as a broken extension does."""

    def start(self) -> None:
        self.container.spawn_managed_thread(self._die)

    def _die(self) -> None:
        raise ZeroDivisionError("by zero")


class Occupied(DependencyProvider):  # type: ignore[misc]
    """Finds the address in use on which it should listen."""

    def start(self) -> None:
        raise OSError(98, "Address already in use")


class Unlucky:
    name = "unlucky"
    occupied = Occupied()


class Mortal:
    name = "mortal"
    fatal = Fatal()

    @rpc.door
    def live(self) -> None: ...


def announce() -> None:
    """Say when the process becomes ready, and when it no longer is."""
    was_ready = False
    while True:
        if serve.ready() != was_ready:
            was_ready = not was_ready
            print("ready" if was_ready else "away", flush=True)  # noqa: T201
        eventlet.sleep(0.05)


if __name__ == "__main__":
    logs.configure("example", level="DEBUG")
    eventlet.spawn(announce)
    our_hub = hub.Hub()
    our_hub.start()
    health.serve(
        int(sys.argv[2]), {"running": serve.running, "rpc": serve.ready}, stuck=our_hub.stuck, spawn=our_hub.spawn
    )
    services = {service.name: service for service in (Example, Front, Listener, Mortal, Unlucky)}
    sys.exit(
        serve.serve(
            [services[name] for name in sys.argv[3:]],
            amqp_uri=sys.argv[1],
            config={},
            max_workers=64,
            on_stop=lambda: print("closed", flush=True),  # noqa: T201
        )
    )
