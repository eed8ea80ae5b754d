"""
The doors of a service: `@doors.command` and `@doors.query` turn a method into an RPC that opens one transaction.

A command runs once per command id: its method appends events and gives ids; `answer` renders the answer from the
database, the first time and at every repeat. Both check first that the actor may do it; and a command, unless it is a
repeat, that the org may, which can be suspended.
"""

import functools
import inspect
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from nameko.extensions import DependencyProvider

from shared import commands, context, database, errors, failpoints, outbox, rpc, store, suspensions

RETRIES = 3
Method = Callable[..., Any]
Around = Callable[..., AbstractContextManager[Any]]


@dataclass(frozen=True, kw_only=True)
class House:
    """
    What the doors of one service open onto; made at start, the same for every call.

    :param authorise: (actor, permission), raises Forbidden
    :param fingerprint_key: for telling two bodies apart without keeping them
    :param settings: the service's own settings class
    :param refused: the commands, as `quota.create_bot`, that refuse whoever acts in a suspended org
    """

    database: database.Database
    authorise: Callable[[context.Actor, str], None]
    fingerprint_key: bytes
    settings: Any
    refused: frozenset[str] = frozenset()


class HouseProvider(DependencyProvider):  # type: ignore[misc]
    """Gives each service its own house from the container's configuration."""

    def get_dependency(self, _worker_context: Any) -> House:
        house: House = self.container.config["houses"][self.container.service_name]
        return house


class Service:
    """What every service with a database has. The doors below are written as its methods."""

    name: str
    house = HouseProvider()

    @property
    def actor(self) -> context.Actor:
        return context.current().actor

    @staticmethod
    def misses(_settings: Any) -> list[str]:
        """What the service needs outside and finds away at the moment, beside its database and RabbitMQ."""
        return []

    @rpc.door
    def read_log(self, after: int, hash: str, limit: int) -> dict[str, Any]:
        """
        The public events beyond a position, for another service that missed them: of all orgs, in their order.

        :param after: the position of the last event that was applied; 0: none
        :param hash: the log's hash there, as in the event's `hash`
        :param limit: 100 at most are given
        :returns: `{"events", "head"}`: events as they are published, and the position of the newest
        :raises Conflict: `log_diverged` if this log never had that hash there: one of the two was restored
        """
        with database.unavailable_when_away():
            self.house.authorise(self.actor, "log:read")
            with self.house.database.begin(deadline=context.current().deadline) as session:
                return outbox.pull(session, self.name, after=after, hash=hash, limit=limit)

    read_log.__dict__.update(permission="log:read", is_query=True)


def opened(permission: str) -> Callable[[Method], Method]:
    """
    For a method that opens its own transactions, because it must do something outside between two of them. Whether
    its org is suspended is for the method to ask, behind the question whether the same was done before.
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def door(self: Service, **arguments: Any) -> Any:
            with database.unavailable_when_away():
                self.house.authorise(self.actor, permission)
                return with_retries(lambda: method(self, **arguments))

        return _hang(door, method, permission)

    return decorate


def query(permission: str) -> Callable[[Method], Method]:
    """The method gets `(session, …)` and gives the answer; it changes nothing."""

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def door(self: Service, **arguments: Any) -> Any:
            with database.unavailable_when_away():
                self.house.authorise(self.actor, permission)
                return with_retries(lambda: _look(self, method, arguments))

        hung = _hang(door, method, permission)
        hung.__dict__["is_query"] = True
        return hung

    return decorate


def _look(service: Service, method: Method, arguments: dict[str, Any]) -> Any:
    with service.house.database.begin(deadline=context.current().deadline) as session:
        return method(service, session, **arguments)


def command(
    permission: str,
    *,
    answer: Callable[..., Any],
    repeat: Callable[..., Any] | None = None,
    secret: Sequence[str] = (),
    around: Around | None = None,
) -> Callable[[Method], Method]:
    """
    The method gets `(session, …)`, appends, and gives the ids that `answer(session, **ids)` needs.

    :param repeat: renders the answer of a repeat, where it must differ from the first; it gets the ids, and the
        arguments named in `secret` as they came this time
    :param secret: arguments that are left out of the fingerprint, because nothing of them may be kept
    :param around: entered before the transaction begins, at repeats too, with the service and the arguments, for what
        takes so long that no connection may be kept meanwhile; what it gives, if anything, the method gets as
        `prepared`
    """

    def decorate(method: Method) -> Method:
        @functools.wraps(method)
        def door(self: Service, command_id: str, **arguments: Any) -> Any:
            with database.unavailable_when_away():
                self.house.authorise(self.actor, permission)
                kept = {name: value for name, value in arguments.items() if name not in secret}
                once = _Once(f"{self.name}.{method.__name__}", command_id, self.house, kept)
                again = functools.partial(repeat, **_only(secret, arguments)) if repeat else answer
                with around(self, **arguments) if around else nullcontext() as prepared:
                    given = {} if prepared is None else {"prepared": prepared}
                    run = functools.partial(method, self, **given)
                    return with_retries(lambda: once.run(run, arguments, answer, again))

        return _hang(door, method, permission, command=True)

    return decorate


def _only(names: Sequence[str], arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: arguments[name] for name in names if name in arguments}


@dataclass(frozen=True)
class _Once:
    route: str
    command_id: str
    house: House
    kept: dict[str, Any]

    def run(
        self, method: Method, arguments: dict[str, Any], answer: Callable[..., Any], repeat: Callable[..., Any]
    ) -> Any:
        mark = commands.fingerprint(self.house.fingerprint_key, self.kept)
        with self.house.database.begin(deadline=context.current().deadline) as session:
            known = commands.recall(session, route=self.route, command_id=self.command_id, fingerprint=mark)
            if known is not None:
                return repeat(session, **known)
            if self.route in self.house.refused:
                suspensions.check(session, context.current().actor.org_id)
            outcome = method(session, **arguments) or {}
            commands.remember(
                session, route=self.route, command_id=self.command_id, fingerprint=mark, outcome=outcome
            )
            answered = answer(session, **outcome)
        failpoints.reach("command.committed")
        return answered


def with_retries(run: Callable[[], Any]) -> Any:
    """
    The one place where a version conflict, a deadlock or a serialization failure is tried again.

    :raises Conflict: `changed_meanwhile` after three more tries
    :raises Beaten: if PostgreSQL undid the last of them too
    """
    for attempt in range(RETRIES + 1):
        try:
            return run()
        except (store.VersionConflict, database.Beaten) as lost:
            if attempt == RETRIES and isinstance(lost, database.Beaten):
                raise
        if attempt < RETRIES:
            time.sleep(random.uniform(0.005, 0.03) * (attempt + 1))  # noqa: S311  # jitter
    raise errors.Conflict("changed_meanwhile", "Somebody else changed this at the same moment; try again.")


_OURS = {"session", "_session", "prepared"}  # the doors' own, and no caller's


def _hang(door: Method, method: Method, permission: str, *, command: bool = False) -> Method:
    """Make it an RPC with the method's arguments: without the session, and with a command id where it has one."""
    seen = inspect.signature(method)
    arguments = [parameter for name, parameter in seen.parameters.items() if name not in _OURS]
    if command:
        arguments.insert(1, inspect.Parameter("command_id", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=str))
    door.__dict__["__signature__"] = seen.replace(parameters=arguments)
    door.__dict__["permission"] = permission
    hung: Method = rpc.door(door)
    return hung
