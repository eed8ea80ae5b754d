"""`docs/events.md`: every event, from its class."""

from ops.documents import facts

PATH = "docs/events.md"

INTRODUCTION = """\
# Events

Made from `services/*/events.py` by `make docs`: change it there. For programs the public ones are described in
[asyncapi.json](asyncapi.json), by AsyncAPI 3.0 and JSON Schema.

**Public** events are told to whoever listens: at the topic exchange `<service>.events` of RabbitMQ, with the event's
name as routing key. **Private** ones never leave the database of their service; they are here for whoever reads a
stream (`chatness events list`), and may change with any release.

No event holds personal data, free text, a secret or its hash: ids and versions only. Moments are RFC 3339 texts in
UTC.

## What a listener can rely on

- **At least once.** A message may come again, after a crash or a lost connection even much later. `id` is the same
  each time; so are `epoch` and `position`.
- **Order.** A service's public events have one order, `position`, dense from 1. Messages arrive in it, except that
  those that come again are out of place. So remember the highest position that you have applied, in the transaction
  that applies it: what is not higher is known, and what is not the next shows that something is missing.
- **Nothing is lost.** What is missing is asked for: by the [call](rpc.md) `<service>.read_log`, with the position and
  `loghash` that were applied last. RabbitMQ is only the quick way: a listener that was away for a month does so too.
- **Between services there is no order.** An event carries the state that it leads to and a version where that
  matters, so that none depends on having heard an event of another service before.
- **Another `epoch`** means that the service's database was restored. If its log does not know your position and
  `loghash`, `read_log` refuses with `log_diverged`: stop, and ask a person.
- **Shapes.** A field that is added, taken away or understood anew makes a new `schemaversion`; a shape never changes
  under its number. Pass over names that you do not know. Stop at a version that you do not know, or put the event
  aside with all that follow in its `stream`, as our own listeners do.

## The envelope

A CloudEvents 1.0 document in JSON; the message's content type is `application/cloudevents+json`.
"""


def render() -> str:
    attributes = [
        f"| `{name}` | {schema.get('type', 'string')} | {meaning} |"
        for name, (schema, meaning) in facts.ATTRIBUTES.items()
    ]
    envelope = "\n".join(["| Attribute | Type | What it is |", "|---|---|---|", *attributes, ""])
    return "\n".join([INTRODUCTION, envelope, *(_service(told) for told in facts.told())])


def _service(told: facts.Told) -> str:
    parts = [f"## {told.service}", "", told.about, ""]
    for kind, listed in (("Public", told.public), ("Private", told.private)):
        if listed:
            parts += [f"### {kind} events of {told.service}", "", *(_fact(fact) for fact in listed)]
    return "\n".join(parts)


def _fact(fact: facts.Fact) -> str:
    rows = [f"| `{field.name}` | {field.type} | {field.meaning} |" for field in fact.fields]
    table = ["| Field | Type | What it is |", "|---|---|---|", *rows, ""] if rows else ["No fields.", ""]
    return "\n".join([f"#### {fact.name}", "", f"Schema version {fact.version}. {fact.said}", "", *table])
