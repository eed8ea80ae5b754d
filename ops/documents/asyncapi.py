"""`docs/asyncapi.json`: the public events for programs, by AsyncAPI 3.0 and JSON Schema, from their classes."""

import json
from importlib import metadata
from typing import Any

from ops.documents import facts
from shared import envelope

PATH = "docs/asyncapi.json"

ABOUT = """\
What the services of Chatness tell each other, and whoever else listens. Messages come at least once; each service's \
events have one order, `position`, dense from 1, by which what came twice and what is missing shows. What is missing \
is asked for by the call `<service>.read_log`. See events.md."""


def render() -> str:
    return json.dumps(document(), indent=2) + "\n"


def document() -> dict[str, Any]:
    telling = list(facts.told())
    public = [fact for told in telling for fact in told.public]
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Chatness events", "version": metadata.version("chatness"), "description": ABOUT},
        "defaultContentType": envelope.CONTENT_TYPE,
        "channels": {f"{told.service}.events": _channel(told) for told in telling},
        "operations": {f"{told.service}.tell": _operation(told) for told in telling},
        "components": {
            "messages": {fact.name: _message(fact) for fact in public},
            "schemas": {"Envelope": envelope_schema(), **{fact.name: fact.schema for fact in public}},
        },
    }


def envelope_schema() -> dict[str, Any]:
    attributes = {name: {**schema, "description": says} for name, (schema, says) in facts.ATTRIBUTES.items()}
    return {
        "type": "object",
        "description": "A CloudEvents 1.0 document with its place in the service's log.",
        "properties": attributes,
        "required": list(attributes),
    }


def _channel(told: facts.Told) -> dict[str, Any]:
    exchange = f"{told.service}.events"
    return {
        "address": exchange,
        "description": told.about,
        "messages": {fact.title: {"$ref": f"#/components/messages/{fact.name}"} for fact in told.public},
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange, "type": "topic", "durable": True, "autoDelete": False},
                "bindingVersion": "0.3.0",
            }
        },
    }


def _operation(told: facts.Told) -> dict[str, Any]:
    channel = f"#/channels/{told.service}.events"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": f"What {told.service} tells",
        "messages": [{"$ref": f"{channel}/messages/{fact.title}"} for fact in told.public],
        "bindings": {"amqp": {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}},
    }


def _message(fact: facts.Fact) -> dict[str, Any]:
    of_this = {
        "type": {"const": fact.name},
        "schemaversion": {"const": fact.version},
        "data": {"$ref": f"#/components/schemas/{fact.name}"},
    }
    return {
        "name": fact.name,
        "title": fact.title,
        "summary": fact.said,
        "contentType": envelope.CONTENT_TYPE,
        "payload": {"allOf": [{"$ref": "#/components/schemas/Envelope"}, {"properties": of_this}]},
        "bindings": {"amqp": {"messageType": fact.name, "bindingVersion": "0.3.0"}},
    }
