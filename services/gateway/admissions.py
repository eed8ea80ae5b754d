"""From requests to quota: messages are gathered by the coalescer, sent as one call, answered one by one."""

from typing import Any

from services.gateway import coalescer
from shared import context, errors

GATEWAY = context.Actor(kind="service", id="gateway")


def sender(quota: Any) -> coalescer.Send:
    """:param quota: the RPC client"""

    def send(items: list[coalescer.Item], seconds: float) -> list[coalescer.Result]:
        # The batch is the gateway's; each item names the actor who asks, and quota looks at that one.
        actors = list(dict.fromkeys(item["actor"] for item in items))
        places = {actor: place for place, actor in enumerate(actors)}
        asked = [
            {
                "message_id": item["id"],
                "bot_id": item["bot_id"],
                "actor": places[item["actor"]],
                "deadline": item["deadline"],
            }
            for item in items
        ]
        asking = [actor.to_json() for actor in actors]
        with context.use(actor=GATEWAY, deadline=None):
            answers = quota.with_timeout(seconds).admit_messages(items=asked, actors=asking)
        return [_result(answer) for answer in answers]

    return send


def _result(answer: dict[str, Any]) -> coalescer.Result:
    if "admitted" in answer:
        admitted: dict[str, Any] = answer["admitted"]
        return admitted
    return errors.from_json(answer["refused"])


def unavailable(item: coalescer.Item) -> errors.Unavailable:
    message = "It is not known whether the message was counted. Ask again with the same id."
    return errors.Unavailable("service_unavailable", message, {"id": item["id"]})
