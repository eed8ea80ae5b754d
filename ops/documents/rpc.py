"""`docs/rpc.md`: how another service of the company calls ours, and every door, from the doors themselves."""

import inspect
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ops import broker, rpc_doors
from shared import commands, rpc_wire
from shared.rpc import arguments

PATH = "docs/rpc.md"
WIDTH = 118
MESSAGES = broker.QUEUE_BOUNDS["max-length"]
MEBIBYTES = broker.QUEUE_BOUNDS["max-length-bytes"] // 1024**2
DAYS = broker.QUEUE_BOUNDS["expires"] // 86_400_000

TOP = f"""\
# Calling our services

Made from the code by `make docs`; do not edit. It is for other services of the company, on RabbitMQ. Programs outside
use the HTTP API.

## What you need

A user of RabbitMQ. Operations ask you what you want to call and to hear, and make it:

```
chatness broker foreign bot-runtime --password-file - \\
    --may-call quota.admit_messages --may-call quota.get_usage --may-hear quota.BotsStopped > bot-runtime.json
rabbitmqctl import_definitions bot-runtime.json
```

The user's name is yours: the actor of all that you do, in our events and in what customers see of them. With it comes
an exchange, `nameko-rpc.<name>`, on which you call and are answered; that it is yours tells us who calls. You may
make queues that are named `<name>.…`, and those that nameko makes for a service of that name. Each of these holds the
last {MESSAGES} messages or {MEBIBYTES} MiB, and goes when nobody takes from it for {DAYS} days. What it no longer
has, `read_log` gives you. Declare none with `x-overflow: reject-publish`: full, it would hold up our events for all.

nameko's client takes the exchange as a setting:

```python
from nameko.standalone.rpc import ClusterRpcProxy

config = {{"AMQP_URI": "amqp://bot-runtime:…@rabbitmq/", "rpc_exchange": "nameko-rpc.bot-runtime"}}

with ClusterRpcProxy(config, context_data={{"actor": {{"org_id": "org_…"}}}}, timeout=5) as cluster:
    usage = cluster.quota.get_usage()
```

Within a nameko service `RpcProxy("quota")` reads the same setting, and the actor is `actor` in the worker's context
data. To hear events there with `@event_handler("quota", "quota.BotsStopped")`, it needs three settings more:

```yaml
DECLARE_EVENT_EXCHANGES: false  # <service>.events is not yours to declare
ACCEPT: [json, cloudevents]
SERIALIZERS:
  cloudevents:
    {{encoder: json.dumps, decoder: json.loads, content_type: application/cloudevents+json, content_encoding: utf-8}}
```

An event may come twice, and one that fails in nameko's handler is lost: look at its `position`. What you missed of a
service's events, while you were away or before you began, its `read_log` gives, in order.

## A call

| | |
|---|---|
| exchange | `nameko-rpc.<name>`: topic, durable; publish mandatory, to learn that nobody answers |
| routing key | `<service>.<method>` |
| `content_type` | `application/json` |
| body | `{{"args": [], "kwargs": {{…}}}}` |
| `reply_to` | the routing key by which your queue is bound to your exchange; no dot in it |
| `correlation_id` | comes back with the answer |
| `delivery_mode` | 1: a call need not outlive the broker. (nameko sends 2, which does no harm.) |
| `expiration` | the milliseconds until your deadline, so that nothing is done for nobody |

Headers, none of which is required:

- `nameko.actor`: `{{"org_id": "org_…"}}`, the org in which you act. If `kind` and `id` stand beside it, they must be
  `service` and your name.
- `nameko.deadline`: when you stop waiting, in seconds since the epoch; without it, {rpc_wire.PATIENCE_SECONDS:.0f} s
  after the call reached us. Nothing is begun after it, and no statement of ours works or waits beyond it.
- `nameko.correlation_id`: up to 200 printable characters, for our logs and events; made if absent.
- `nameko.if_match`: a list of revisions, as `ETag` and `If-Match` over HTTP. A command on something that has none of
  them is refused with `precondition_failed`.

The answer is `{{"result": …, "error": null}}`, or:

```json
{{"result": null, "error": {{
  "exc_type": "NotFound", "exc_path": "shared.errors.NotFound",
  "exc_args": ["unknown_org", "There is no such organization.", {{}}],
  "value": "unknown_org: There is no such organization."}}}}
```

`exc_args` are a code for programs, a text for people, and an object of details. nameko raises `RemoteError` with
`exc_type` and `value`, which begins with the code. Where you want all three, enter a class of your own under
`exc_path` in `nameko.exceptions.registry`: it is built from `exc_args`.

What each code means and what to do about it: [errors](errors.md). The kinds:

| `exc_type` | |
|---|---|
| `Invalid` | the call makes no sense as it stands |
| `Forbidden` | you may not |
| `NotFound` | there is none, or it is another org's: the answer is the same |
| `Conflict` | not in the present state |
| `LimitReached` | it is used up |
| `Unavailable` | perhaps done and perhaps not: ask again, with the same ids |
| `RemoteError` | `internal_error`, a fault of ours: our log has it under your correlation id |

## What every door may answer

- `Invalid`: `unknown_method`, `invalid_arguments` (their names and types; a text that holds NUL is none),
  `invalid_context` (a header), `org_required`.
- `Forbidden`: `not_allowed`, `not_your_actor`.
- `Unavailable`: `deadline_passed`, `database_unavailable`.
- Every command: `Invalid` with `invalid_command_id` or `idempotency_key_reused`; `Conflict` with
  `idempotency_in_progress`, `precondition_failed` or `changed_meanwhile`.

What RabbitMQ refuses does not reach us. A method that you were not given closes your channel with 403 ACCESS_REFUSED,
and a call to a service that does not run comes back to you; nameko raises that as `UnknownService`.

## Doing it once

A command takes a `command_id`: 1 to {commands.LONGEST_ID} printable characters of your own, others for each thing
that you want done. The same id from you, in the same org and for the same method, is done once within 24 hours and
answered the same; with other arguments it is refused. So ask again after a time-out, with the same id.
`quota.admit_messages` takes none: each message has its id.

## What may change, and what not

Without notice: new methods, new arguments that have a default, new members of an answer, new codes of the kinds
above, the text for people, the order of members. Read answers so that these do not matter.

Not: the meaning of a method, an argument, a member or a code. What must differ becomes a new method, and the old one
stays while anybody's definitions name it. That holds for the first part below. The second is between our own
processes and changes with any release.
"""


@dataclass(frozen=True)
class Described:
    """A docstring taken apart. A refusal is (kind, text)."""

    summary: str
    arguments: dict[str, str]
    answer: str
    refusals: Sequence[tuple[str, str]]


def render() -> str:
    doors = rpc_doors.all_doors()
    for_others = [door for door in doors if door.is_for_others]
    internal = [door for door in doors if not door.is_for_others]
    parts = [
        TOP,
        "# Doors for other services\n",
        *map(_door, for_others),
        "# Doors between our own processes\n",
        "No other service can be given these. People and secrets come through the gateway, which names the actor.\n",
        *map(_door, internal),
    ]
    return "\n".join(parts)


def _door(door: rpc_doors.Door) -> str:
    described = describe(door.text)
    items = [f"Who: {_who(door)}"]
    items += [_argument(argument, described.arguments) for argument in door.arguments] or ["No arguments"]
    items += [f"Answer: {described.answer}"] if described.answer else []
    items += [f"`{kind}`: {text}" for kind, text in described.refusals]
    summary = [_wrapped(described.summary), ""] if described.summary else []
    return "\n".join([f"## `{door.name}`", "", *summary, *map(_item, items), ""])


def _item(text: str) -> str:
    return _wrapped(f"- {text}", indent="  ")


def _wrapped(text: str, *, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _who(door: rpc_doors.Door) -> str:
    rule = door.rule
    service = "a service" if not rule.ours_only else "a service of ours"
    may = {
        f"{service} that names its org" if rule.in_org else service: rule.service,
        "the owner": rule.owner,
        "a member": rule.member,
        f"a secret with `{rule.scope}`": rule.scope is not None,
        "anyone": rule.anyone,
    }
    return ", ".join(who for who, allowed in may.items() if allowed)


def _argument(argument: inspect.Parameter, texts: dict[str, str]) -> str:
    default = "" if argument.default is argument.empty else f" = {argument.default!r}".replace("'", '"')
    text = "the id of this command, see above" if argument.name == "command_id" else texts.get(argument.name, "")
    shown = f"`{argument.name}: {arguments.shown(argument.annotation)}{default}`"
    return f"{shown}: {text}" if text else shown


def describe(text: str) -> Described:
    """A docstring's fields begin a line with a colon; what follows indented belongs to them."""
    summary, *fields = re.split(r"^:", text, flags=re.MULTILINE)
    found = [_field(field) for field in fields]
    return Described(
        summary=_joined(summary),
        arguments={name: value for kind, name, value in found if kind == "param"},
        answer=next((value for kind, _name, value in found if kind == "returns"), ""),
        refusals=[(name, value) for kind, name, value in found if kind == "raises"],
    )


def _field(field: str) -> tuple[str, str, str]:
    head, _, value = field.partition(":")
    kind, _, name = head.partition(" ")
    return kind, name, _joined(value)


def _joined(lines: str) -> str:
    return " ".join(lines.split())


def codes(described: Described) -> list[str]:
    """Those that its refusals name."""
    return re.findall(r"`([a-z]+(?:_[a-z]+)+)`", " ".join(text for _kind, text in described.refusals))
