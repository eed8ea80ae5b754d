"""
RabbitMQ's users: who may declare, write and hear what, as a document that `rabbitmqctl import_definitions` takes.

A foreign caller, another service of the company, writes to an exchange of its own, `nameko-rpc.<name>`, from which
just the methods it may call lead on to ours. So the exchange on which a call arrives says who it is, whatever the
call says of itself, and no binding, dead-lettering or copying that RabbitMQ allows its clients leads any further.
"""

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from ops import exits, rabbitmq, reach, rpc_doors
from services import access
from shared import consumer, rpc_wire

Document = dict[str, Any]

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
RESERVED = frozenset({*access.OUR_SERVICES, "chatness", "client", "guest", "nameko", "operator", "rpc"})
RESERVED_BEGINNINGS = (
    "amq",
    "dead-letters",
    "evt-",
    "nameko-",
    "rpc-",
)  # of queues and exchanges that are not its own
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
HEXADECIMAL = "[0-9a-f]{32}"
REPLY = f"{UUID}|{HEXADECIMAL}"  # what answers are addressed to
OURS = re.escape(rpc_wire.EXCHANGE)
# What a queue of another service may hold. That service may be gone for good: without bounds its queue would fill the
# disk, and RabbitMQ would then let nobody publish. (Of a stream, RabbitMQ reads only the bytes.)
QUEUE_BOUNDS = {
    "max-length": 100_000,
    "max-length-bytes": 256 * 1024**2,
    "expires": 7 * 86_400_000,  # milliseconds in which nobody takes from it
}
DROP_OLDEST = {"overflow": "drop-head"}  # or a queue that is full would refuse what we publish


@dataclass(frozen=True, kw_only=True)
class Account:
    """:param vhost: the virtual host that the user may enter"""

    name: str
    password: str = field(repr=False)
    vhost: str = "/"


@dataclass(frozen=True, kw_only=True)
class _Rights:
    """
    Patterns of the names of queues and exchanges.

    :param topics: by exchange: the routing keys that may be written, and those that may be bound
    """

    configure: Sequence[str]
    write: Sequence[str]
    read: Sequence[str]
    topics: Mapping[str, tuple[Sequence[str], Sequence[str]]]


def of_foreign_caller(account: Account, *, may_call: Sequence[str], may_hear: Sequence[str]) -> Document:
    """
    :param may_call: methods, as `quota.get_usage`
    :param may_hear: events, as `quota.BotsStopped`
    """
    exchange = rpc_wire.foreign_exchange(account.name)
    heard: dict[str, list[str]] = {}
    for event in may_hear:
        heard.setdefault(f"{event.partition('.')[0]}.events", []).append(re.escape(event))
    own = [
        re.escape(exchange),  # nameko's client declares it at each connection
        rf"rpc\.reply-({account.name}|standalone_rpc_proxy)-{UUID}",
        rf"evt-.+--{account.name}\..+",  # nameko's queue of an event handler
        rf"{account.name}\..+",
    ]
    rights = _Rights(
        configure=own,
        write=own,
        read=[*own, *map(re.escape, heard)],
        topics={
            exchange: ([re.escape(method) for method in may_call], [".*"]),
            **{source: ([], events) for source, events in heard.items()},
        },
    )
    return {
        **_user(account, rights),
        "exchanges": [_exchange(account.vhost, name) for name in (rpc_wire.EXCHANGE, exchange, *heard)],
        "bindings": [_binding(account.vhost, exchange, method) for method in may_call],
        "policies": [_bounds(account)],
    }


def of_ours(account: Account, *, runs: Iterable[str]) -> Document:
    """:param runs: what the processes run that sign in with it: services, `gateway`, `mailroom`"""
    special = {"gateway": _of_gateway, "mailroom": _of_mailroom}
    rights = [special[name]() if name in special else _of_service(name) for name in runs]
    exchanges = sorted({exchange for one in rights for exchange in one.topics})
    together = _Rights(
        configure=[name for one in rights for name in one.configure],
        write=[name for one in rights for name in one.write],
        read=[name for one in rights for name in one.read],
        topics={exchange: _topic(rights, exchange) for exchange in exchanges},
    )
    return _user(account, together)


def as_json(document: Document) -> str:
    return json.dumps(document, indent=1)


def forget(name: str, execute: bool) -> int:
    """Delete a foreign caller's exchange, and with it the way to each method."""
    exchange = rpc_wire.foreign_exchange(name)
    try:
        with rabbitmq.connected(reach.amqp_uri()) as connection:
            if not rabbitmq.has_exchange(connection, exchange):
                raise exits.NotThere(f"{name!r} has no exchange {exchange}: it can call nothing")
            if execute:
                connection.channel().exchange_delete(exchange)
    except rabbitmq.AWAY as error:
        raise exits.Away(f"RabbitMQ does not answer: {rabbitmq.reason_of(error)}") from error
    click.echo(f"{exchange}: {'deleted' if execute else 'would be deleted'}")
    if not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return exits.OK


def check_foreign_caller(name: str, *, may_call: Iterable[str], may_hear: Iterable[str]) -> None:
    """:raises ValueError: for a name that is one of ours, and for what no other service may call or hear"""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: a small letter, then up to 39 small letters, digits and hyphens")
    if name in RESERVED or name.startswith(RESERVED_BEGINNINGS):
        raise ValueError(f"{name!r} is a name of ours; call it otherwise")
    _check_known("call", may_call, [door.name for door in rpc_doors.all_doors() if door.is_for_others])
    _check_known("hear", may_hear, rpc_doors.public_events())


def _check_known(may: str, wanted: Iterable[str], known: Collection[str]) -> None:
    for name in wanted:
        if name not in known:
            raise ValueError(f"{name!r} is nothing that another service may {may}: one of {', '.join(known)}")


def _of_service(name: str) -> _Rights:
    """Of its `serve`, which answers anybody, and of its `worker`, which asks others only for their logs."""
    queues = [
        f"rpc-{name}",
        rf"rpc\.reply-({name}-{UUID}|client-{HEXADECIMAL})",
        rf"{name}\.from\.[a-z]+(\.dead)?",
    ]
    return _Rights(
        configure=[*queues, OURS, consumer.DEAD_LETTERS, r"[a-z]+\.events"],
        write=[*queues, rf"{OURS}(\..+)?", consumer.DEAD_LETTERS, rf"{name}\.events"],
        read=[*queues, OURS, consumer.DEAD_LETTERS, r"[a-z]+\.events"],
        topics={
            rpc_wire.EXCHANGE: ([REPLY, r"[a-z]+\.read_log"], [REPLY, rf"{name}\.\*"]),
            f"{name}.events": ([rf"{name}\..+"], [".*"]),
        },
    )


def _of_gateway() -> _Rights:
    queues = [rf"rpc\.reply-gateway-{UUID}", r"evt-.+--gateway\..+"]
    return _Rights(
        configure=[*queues, OURS, r"[a-z]+\.events"],
        write=[*queues, OURS],
        read=[*queues, OURS, r"[a-z]+\.events"],
        topics={rpc_wire.EXCHANGE: ([r"[a-z]+\.[a-z_]+"], [REPLY])},
    )


def _of_mailroom() -> _Rights:
    """It asks accounts one thing, and can do nothing else, whoever gets into it."""
    queues = [rf"rpc\.reply-client-{HEXADECIMAL}"]
    return _Rights(
        configure=[*queues, OURS],
        write=[*queues, OURS],
        read=[*queues, OURS],
        topics={rpc_wire.EXCHANGE: ([r"accounts\.request_deletion_by_mail"], [REPLY])},
    )


def _topic(rights: Iterable[_Rights], exchange: str) -> tuple[list[str], list[str]]:
    pairs = [one.topics.get(exchange, ([], [])) for one in rights]
    return [key for written, _ in pairs for key in written], [key for _, bound in pairs for key in bound]


def _user(account: Account, rights: _Rights) -> Document:
    place = {"user": account.name, "vhost": account.vhost}
    may = {"configure": _any(rights.configure), "write": _any(rights.write), "read": _any(rights.read)}
    return {
        "vhosts": [{"name": account.vhost}],
        "users": [{"name": account.name, "tags": "", **_hashed(account.password)}],
        "permissions": [{**place, **may}],
        "topic_permissions": [
            {**place, "exchange": exchange, "write": _any(written), "read": _any(bound)}
            for exchange, (written, bound) in rights.topics.items()
        ],
    }


def _any(patterns: Iterable[str]) -> str:
    """One pattern that fits what one of them fits as a whole; of none, one that fits no name."""
    return f"^({'|'.join(patterns)})$"


def _hashed(password: str) -> dict[str, str]:
    """As RabbitMQ keeps it: the salt, and SHA-512 over salt and password. (An internal user's password is random.)"""
    salt = secrets.token_bytes(4)
    digest = hashlib.sha512(salt + password.encode()).digest()
    return {
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha512",
    }


def _exchange(vhost: str, name: str) -> Document:
    shape = {"type": "topic", "durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    return {"name": name, "vhost": vhost, **shape}


def _binding(vhost: str, source: str, method: str) -> Document:
    way = {"source": source, "destination": rpc_wire.EXCHANGE, "destination_type": "exchange"}
    return {**way, "vhost": vhost, "routing_key": method, "arguments": {}}


def _bounds(account: Account) -> Document:
    """A policy for all queues that the user may make and keep; those of answers go with its connection."""
    shape = {"pattern": rf"^(evt-.+--{account.name}\.|{account.name}\.)", "apply-to": "queues", "priority": 10}
    name, bounds = f"bounds of {account.name}", {**QUEUE_BOUNDS, **DROP_OLDEST}
    return {"vhost": account.vhost, "name": name, **shape, "definition": bounds}
