"""Routes for those who run the gateway, not for clients. Switched on by a setting."""

from typing import Any

from services.gateway import routing, schemas
from shared import ids

routes = routing.Routes("operations", "For those who run this gateway.")


@routes.operation(
    "POST",
    "/v1/noop",
    permission="messages:write",
    body=schemas.NewMessage,
    answers={201: schemas.Admission},
)
def do_nothing(body: dict[str, Any]) -> dict[str, Any]:
    """
    Do all that POST /v1/messages does, but ask nobody.

    What the gateway itself costs, measured against what an admission costs.
    """
    return _nothing(body)


@routes.operation(
    "POST",
    "/v1/open-noop",
    permission=routing.ANYONE,
    body=schemas.NewMessage,
    answers={201: schemas.Admission},
)
def do_nothing_for_anyone(body: dict[str, Any]) -> dict[str, Any]:
    """
    Do the same without looking at who asks.

    What authentication costs, measured against POST /v1/noop.
    """
    return _nothing(body)


def _nothing(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": body.get("id") or ids.new("msg"),
        "bot_id": body["bot_id"],
        "period": "2026-11",
        "used": 1234,
        "limit": 10_000,
        "credits_remaining": 0,
        "remaining": 8766,
    }
