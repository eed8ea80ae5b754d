"""
From Stripe's requests to billing. They come in bursts, thousands at once, and nobody waits for one as for a message:
so they travel together, one batch after another, and messages find the way free between two of them.
"""

from typing import Any

from services.gateway import coalescer
from services.gateway.admissions import GATEWAY
from shared import context, errors

AT_ONCE = 8  # for a moment in which no message is answered
PERIOD_SECONDS = 0.033  # from one batch to the next, each of which takes some ten milliseconds: 240 webhooks a second
SECONDS = 10.0  # for Stripe to wait in all, should there be thousands before it
TRY_SECONDS = 0.8  # for each of a batch's two tries: that billing is away is said within 2 s


def gathered(billing: Any, *, max_waiting: int) -> coalescer.Coalescer:
    """:param billing: the RPC client"""

    def send(items: list[coalescer.Item], seconds: float) -> list[coalescer.Result]:
        with context.use(actor=GATEWAY, deadline=None):
            answers = billing.with_timeout(min(seconds, TRY_SECONDS)).receive_webhooks(items=items)
        return [errors.from_json(answer["refused"]) if "refused" in answer else answer for answer in answers]

    return coalescer.Coalescer(
        send,
        unavailable=_unavailable,
        max_batch=AT_ONCE,
        max_in_flight=1,
        max_waiting=max_waiting,
        period_seconds=PERIOD_SECONDS,
    )


def _unavailable(_item: coalescer.Item) -> errors.Unavailable:
    return errors.Unavailable("service_unavailable", "It is not known whether the webhook was stored. Send it again.")
