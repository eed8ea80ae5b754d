"""Leaving: ask for it with the password, confirm it with a mailed link, withdraw it while there is time."""

from typing import Any

import flask
from marshmallow import Schema, fields, validate

from services.gateway import routing, schemas
from services.gateway.routes.accounts import Confirmation

routes = routing.Routes("leaving", "Leaving for good, with all data.")


def _moment(description: str) -> dict[str, str]:
    return {"format": "date-time", "description": description}


class Wish(Schema):
    password = schemas.Hidden(required=True)


class Deletion(Schema):
    state = fields.String(required=True, validate=validate.OneOf(["requested", "confirmed"]))
    requested_at = schemas.Moment(required=True)
    expires_at = schemas.Moment(required=True, metadata=_moment("until when the mailed link confirms it"))
    erases_at = schemas.Moment(
        required=True,
        allow_none=True,
        metadata=_moment("until when it can be withdrawn; then it happens. Null before it is confirmed"),
    )


@routes.operation(
    "POST",
    "/v1/account/deletion",
    permission="account:manage",
    body=Wish,
    answers={202: Deletion},
    refusals={
        "wrong_password": 403,
        "rate_limited": 429,
        "deletion_confirmed": 409,
        "org_has_members": 409,
        "no_deletion": 404,
        "erased": 404,
        "busy": 503,
        **routing.COMMAND,
    },
)
def request_deletion(body: dict[str, Any]) -> Any:
    """
    Ask that one's account be deleted. A link to confirm it is mailed, good for an hour.

    The org goes along with its only member: its subscription ends, and its secrets, bots and usage are erased.
    The owner of an org that others are in hands it over first; a member leaves it as it is.
    """
    return flask.g.services.accounts.request_deletion(command_id=routing.command_id(), password=body["password"])


@routes.operation(
    "GET",
    "/v1/account/deletion",
    permission="account:manage",
    answers={200: Deletion},
    refusals={"no_deletion": 404},
)
def get_deletion() -> Any:
    """Show whether one is about to leave."""
    return flask.g.services.accounts.get_deletion()


@routes.operation(
    "DELETE",
    "/v1/account/deletion",
    permission="account:manage",
    answers={204: None},
    refusals={"no_deletion": 404, **routing.COMMAND},
)
def withdraw_deletion() -> None:
    """Stay: withdraw it, whether it is confirmed or not."""
    flask.g.services.accounts.withdraw_deletion(command_id=routing.command_id())


@routes.operation(
    "POST",
    "/v1/deletion-confirmations",
    permission=routing.ANYONE,
    body=Confirmation,
    answers={200: Deletion},
    refusals={"invalid_token": 422, "org_has_members": 409, "no_deletion": 404, **routing.COMMAND},
)
def confirm_deletion(body: dict[str, Any]) -> Any:
    """
    Confirm it with the mailed token. From now on the cooling-off time runs; a mail says until when.

    At its end all sessions end, and everything is erased, in every service, for good.
    """
    return flask.g.services.accounts.confirm_deletion(command_id=routing.command_id(), token=body["token"])


@routes.operation(
    "POST",
    "/v1/deletion-withdrawals",
    permission=routing.ANYONE,
    body=Confirmation,
    answers={204: None},
    refusals={"invalid_token": 422, **routing.COMMAND},
)
def withdraw_deletion_by_link(body: dict[str, Any]) -> None:
    """Withdraw it with the token of the mail that said the date."""
    flask.g.services.accounts.withdraw_deletion_by_link(command_id=routing.command_id(), token=body["token"])
