"""What is told of events, read from their classes: for `docs/events.md` and for `docs/asyncapi.json`."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, get_args, get_origin, get_type_hints

from ops import documents
from shared import events

# What a field of this name means wherever it stands; a `:param` of the event's own says more.
USUAL = {
    "account_id": "the person's account",
    "bot_id": "the bot",
    "credit_id": "the credit: extra messages that operations granted",
    "generation": "which count of the month this is: a reset begins the next",
    "intent_id": "the request for a change, made once",
    "limit": "how many messages the calendar month has",
    "max_resets": "how many actions in a month may reset its usage",
    "message_id": "the message, by the id that the client gave it or got",
    "name_version": "which version of its name it has now; the name itself is in no event",
    "org_id": "the org",
    "period": "the calendar month in UTC, as 2026-11",
    "plan": "the plan's name, as in the catalogue",
    "profile_version": "which version of its personal data holds now; the data themselves are in no event",
    "secret_id": "the secret; its value is nowhere",
    "subscription_version": "the version of billing.SubscriptionChanged that quota counts by",
    "used_before": "how many messages were used when it began anew",
}

ATTRIBUTES: dict[str, tuple[dict[str, Any], str]] = {
    "specversion": ({"const": "1.0"}, "the version of CloudEvents"),
    "id": ({"type": "string", "minLength": 1}, "the event's own; the same at every delivery"),
    "source": ({"type": "string", "pattern": "^/chatness/[a-z]+$"}, "the service that tells it: `/chatness/billing`"),
    "type": (
        {"type": "string", "minLength": 1},
        "the event's name, and its routing key: `billing.SubscriptionChanged`",
    ),
    "subject": ({"type": "string", "minLength": 1}, "the org or account that it is about, and is erased with"),
    "time": ({"type": "string", "format": "date-time"}, "when it happened, in UTC"),
    "datacontenttype": ({"const": "application/json"}, "what `data` is"),
    "schemaversion": ({"type": "integer", "minimum": 1}, "which shape `data` has; a field more makes a new one"),
    "epoch": ({"type": "string", "minLength": 1}, "names the life of the service's log; another one after a restore"),
    "position": (
        {"type": "integer", "minimum": 1},
        "its place in that log: dense, from 1, in the one order there is",
    ),
    "loghash": (
        {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "SHA-256 over the log's hash before it, the position and `eventhash`",
    ),
    "eventhash": (
        {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "the event's own hash, chained to the one before it in its stream",
    ),
    "stream": ({"type": "string", "pattern": "-"}, "the stream that it stands in: `<kind>-<subject>`"),
    "streamversion": ({"type": "integer", "minimum": 1}, "its place in that stream, where private events count too"),
    "correlationid": ({"type": "string"}, "the request that it came from; may be empty"),
    "causationid": ({"type": "string"}, "the event that it came from; empty if it was a request"),
    "data": ({"type": "object"}, "what happened"),
}


@dataclass(frozen=True, kw_only=True)
class Field:
    name: str
    schema: dict[str, Any]
    meaning: str

    @property
    def type(self) -> str:
        """As a reader would say it."""
        if self.schema["type"] == "array":
            return f"array of {self.schema['items']['type']}s"
        return str(self.schema["type"])


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One event: `said` is when it is told, in a sentence or two."""

    name: str
    version: int
    said: str
    fields: tuple[Field, ...]

    @property
    def title(self) -> str:
        return self.name.partition(".")[2]

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of its data."""
        return {
            "type": "object",
            "description": self.said,
            "properties": {field.name: {**field.schema, "description": field.meaning} for field in self.fields},
            "required": [field.name for field in self.fields],
            "additionalProperties": False,
        }


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one service tells: `about` is the introduction of its `events.py`."""

    service: str
    about: str
    public: tuple[Fact, ...]
    private: tuple[Fact, ...]


def services() -> tuple[str, ...]:
    return tuple(sorted(path.parent.name for path in (documents.ROOT / "services").glob("*/events.py")))


def told() -> Iterator[Told]:
    for service in services():
        module = import_module(f"services.{service}.events")
        catalogue: events.Catalogue = module.CATALOGUE
        facts = {name: fact_of(kind) for name, kind in catalogue.classes.items()}
        yield Told(
            service=service,
            about=inspect.getdoc(module) or "",
            public=tuple(fact for name, fact in facts.items() if name in catalogue.public),
            private=tuple(fact for name, fact in facts.items() if name not in catalogue.public),
        )


def fact_of(kind: type[Any]) -> Fact:
    documentation = inspect.getdoc(kind) or ""
    said, meanings = _read("" if documentation.startswith(f"{kind.__name__}(") else documentation)
    types = get_type_hints(kind)
    return Fact(
        name=kind.name,
        version=kind.schema,
        said=said,
        fields=tuple(
            Field(
                name=field.name,
                schema=_schema(types[field.name]),
                meaning=meanings.get(field.name) or USUAL.get(field.name, ""),
            )
            for field in fields(kind)
        ),
    )


def _read(documentation: str) -> tuple[str, dict[str, str]]:
    """What it says at first, and of each of its parameters."""
    said, *parameters = re.split(r"^:param (?=\w+:)", documentation, flags=re.MULTILINE)
    meanings = {}
    for parameter in parameters:
        name, _, meaning = parameter.partition(":")
        meanings[name] = " ".join(meaning.split())
    return " ".join(said.split()), meanings


def _schema(kind: Any) -> dict[str, Any]:
    """
    JSON Schema of a field's type.

    :raises ValueError: for one that events should not have
    """
    simple = {str: "string", int: "integer", bool: "boolean"}
    if kind in simple:
        return {"type": simple[kind]}
    if get_origin(kind) is tuple and get_args(kind)[1:] == (...,):
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    raise ValueError(f"an event holds texts, whole numbers, truth values and tuples of them, not {kind}")
