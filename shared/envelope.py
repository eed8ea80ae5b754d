"""
A public event on its way: a CloudEvents 1.0 JSON document with its place in the producer's log.

CloudEvents allows extension attributes of lower case letters and digits only.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared import clock, events

CONTENT_TYPE = "application/cloudevents+json"
_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """
    :param producer: the service whose log this is
    :param epoch: names the life of that log; a restored database starts a new one
    :param position: its dense place there, from 1; `hash` is the log's chain up to it
    :param stream: the source stream, `version` the event's place in it
    """

    producer: str
    epoch: str
    position: int
    hash: str
    event_hash: str
    stream: str
    version: int
    id: str
    name: str
    schema: int
    time: datetime
    data: dict[str, Any]
    correlation_id: str = ""
    causation_id: str = ""

    @property
    def subject(self) -> str:
        return events.subject_of(self.stream)

    def follows(self, previous_hash: bytes) -> bool:
        return self.hash == events.log_hash(previous_hash, self.position, bytes.fromhex(self.event_hash)).hex()

    def fact(self, catalogue: events.Catalogue) -> Any:
        return catalogue.decode(self.name, self.schema, self.data)

    def to_json(self) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": f"/chatness/{self.producer}",
            "type": self.name,
            "subject": self.subject,
            "time": clock.rfc3339(self.time),
            "datacontenttype": "application/json",
            "schemaversion": self.schema,
            "epoch": self.epoch,
            "position": self.position,
            "loghash": self.hash,
            "eventhash": self.event_hash,
            "stream": self.stream,
            "streamversion": self.version,
            "correlationid": self.correlation_id,
            "causationid": self.causation_id,
            "data": self.data,
        }

    def encode(self) -> bytes:
        return events.encode(self.to_json())


def decode(body: bytes | str) -> Envelope:
    """
    :raises ValueError: if it is no envelope of ours; the message never holds any of the content
    """
    try:
        return from_json(json.loads(body))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("not JSON") from None


def from_json(document: Any) -> Envelope:
    """:raises ValueError: if a required attribute is missing or of another type"""
    try:
        envelope = Envelope(
            producer=document["source"].removeprefix("/chatness/"),
            epoch=document["epoch"],
            position=document["position"],
            hash=document["loghash"],
            event_hash=document["eventhash"],
            stream=document["stream"],
            version=document["streamversion"],
            id=document["id"],
            name=document["type"],
            schema=document["schemaversion"],
            time=clock.parse(document["time"]),
            data=document["data"],
            correlation_id=document.get("correlationid", ""),
            causation_id=document.get("causationid", ""),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        raise ValueError("not an event envelope") from None
    if not _is_sound(envelope):
        raise ValueError("not an event envelope")
    return envelope


def _is_sound(envelope: Envelope) -> bool:
    """Whether every attribute has its type: what is not sound must not reach a database."""
    texts = (envelope.producer, envelope.epoch, envelope.stream, envelope.id, envelope.name)
    traces = (envelope.correlation_id, envelope.causation_id)
    numbers = (envelope.position, envelope.version, envelope.schema)
    return (
        all(isinstance(text, str) and "\x00" not in text for text in (*texts, *traces))
        and all(type(number) is int and 0 < number < 2**63 for number in numbers)
        and all(isinstance(hash, str) and _HASH.fullmatch(hash) for hash in (envelope.hash, envelope.event_hash))
        and all(texts)
        and "-" in envelope.stream
        and isinstance(envelope.data, dict)
    )
