"""Messages: each asks before it is sent, and counts once."""

from typing import Any

import flask

from services.gateway import routing, schemas
from shared import context, errors, ids

routes = routing.Routes("messages", "Each message asks before it is sent, and counts once.")


@routes.operation(
    "POST",
    "/v1/messages",
    permission="messages:write",
    body=schemas.NewMessage,
    answers={201: schemas.Admission},
    refusals={
        "unknown_bot": 404,
        "bot_paused": 409,
        "message_id_reused": 409,
        "message_refunded": 409,
        "idempotency_key_reused": 422,
        "message_limit_reached": 429,
        "org_not_ready": 503,
    },
)
def admit_message(body: dict[str, Any]) -> routing.Answer:
    """
    Ask whether a bot may send a message, and count it.

    The same id asked again gets the same answer. After a 503 ask again with the `id` that it carries: then the
    message is counted once, whatever became of the first request. Without an `id` an Idempotency-Key does the same.
    """
    item = {
        "id": body.get("id") or _own_id(),
        "bot_id": body["bot_id"],
        "actor": routing.actor(),
        "deadline": routing.deadline(),
    }
    try:
        admission = flask.g.services.admissions.admit(item, deadline=item["deadline"])
    except errors.Conflict as refusal:
        if refusal.code == "message_id_reused" and "id" not in body:  # the id was made of the key
            raise errors.Invalid("idempotency_key_reused", "This key was used before for another bot.") from None
        raise
    except errors.LimitReached as refusal:
        details = {**refusal.details, "upgrade_url": f"{flask.current_app.config['SETTINGS'].public_url}/billing"}
        raise errors.LimitReached(refusal.code, refusal.message, details) from None
    except errors.Unavailable as refusal:
        raise errors.Unavailable(refusal.code, refusal.message, {**refusal.details, "id": item["id"]}) from None
    return routing.Answer(data=admission, location=f"/v1/messages/{admission['id']}")


@routes.operation(
    "GET",
    "/v1/messages/<message_id>",
    permission="messages:write",
    answers={200: schemas.Message},
    refusals={"unknown_message": 404},
    tagged=True,
)
def get_message(message_id: str) -> Any:
    """Show whether a message was counted, with the answer it got, and when it was refunded."""
    return flask.g.services.quota.get_message(message_id=message_id)


@routes.operation(
    "DELETE",
    "/v1/messages/<message_id>",
    permission="messages:refund",
    answers={204: None},
    refusals={"unknown_message": 404, "refund_window_over": 409, **routing.COMMAND},
)
def refund_message(message_id: str) -> None:
    """
    Take back a message that could not be sent, within 15 minutes of its admission.

    It counts no more, if its month still runs and no change of the plan has reset usage since; either way its id is
    spent. A repeat changes nothing, and is answered the same.
    """
    flask.g.services.quota.refund_message(command_id=routing.command_id(), message_id=message_id)


def _own_id() -> str:
    """
    The id of a message whose sender gave none: from the Idempotency-Key if there is one, so that asking again with
    the same key is asking for the same message.
    """
    key = flask.request.environ.get("HTTP_IDEMPOTENCY_KEY")
    return ids.derived("msg", context.current().actor.id, key) if key else ids.new("msg")
