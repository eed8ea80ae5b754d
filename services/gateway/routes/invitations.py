"""Invitations: the owner makes and withdraws them, whoever gets the mail accepts."""

from typing import Any

import flask
from marshmallow import Schema, fields

from services.gateway import routing, schemas
from services.gateway.routes.accounts import PASSWORD, PASSWORD_RULES, THROTTLED, Confirmed

routes = routing.Routes("invitations", "How others come into an organization.")


class Invitee(Schema):
    email = fields.String(required=True)


class Invitation(Schema):
    id = fields.String(required=True)
    email = fields.String(required=True)
    created_at = schemas.Moment(required=True)
    expires_at = schemas.Moment(required=True)


class Invitations(Schema):
    data = fields.List(fields.Nested(Invitation), required=True)


class Acceptance(Schema):
    """Name and password are for somebody who has no account yet."""

    token = schemas.Hidden(required=True, metadata={"description": "from the mailed link"})
    name = fields.String()
    password = schemas.Hidden(metadata={"description": PASSWORD})


@routes.operation("GET", "/v1/org/invitations", permission="org:manage", answers={200: Invitations})
def list_invitations() -> dict[str, Any]:
    """List the invitations that are open. There are at most 50, so the list has one page."""
    return {"data": flask.g.services.accounts.list_invitations()}


@routes.operation(
    "POST",
    "/v1/org/invitations",
    permission="org:manage",
    body=Invitee,
    answers={201: Invitation},
    refusals={
        "invalid_email": 422,
        "already_member": 409,
        "too_many_invitations": 409,
        "unknown_org": 404,
        "unknown_invitation": 404,
        **routing.COMMAND,
    },
)
def invite(body: dict[str, Any]) -> routing.Answer:
    """
    Invite somebody into the org. A link is mailed, good for seven days and once.

    Whether the address has an account shows neither here nor in the mail. Invited again, the link before is no longer
    good. In seven days an org can have 50 mailed, three of them to one address.
    """
    invited = flask.g.services.accounts.invite(command_id=routing.command_id(), email=body["email"])
    return routing.Answer(data=invited, location=f"/v1/org/invitations/{invited['id']}")


@routes.operation(
    "DELETE",
    "/v1/org/invitations/<invitation_id>",
    permission="org:manage",
    answers={204: None},
    refusals={"unknown_invitation": 404, "unknown_org": 404, **routing.COMMAND},
)
def withdraw_invitation(invitation_id: str) -> None:
    """Withdraw an invitation: its link is no longer good."""
    flask.g.services.accounts.withdraw_invitation(command_id=routing.command_id(), invitation_id=invitation_id)


@routes.operation(
    "POST",
    "/v1/invitation-acceptances",
    permission="invitation:accept",
    token_optional=True,
    body=Acceptance,
    answers={200: Confirmed},
    refusals={
        "invalid_invitation": 422,
        "invalid_name": 422,
        "other_address": 403,
        "already_member": 409,
        "sign_in_to_accept": 409,
        "unknown_account": 404,
        "unknown_org": 404,
        **PASSWORD_RULES,
        **THROTTLED,
        **routing.COMMAND,
    },
)
def accept_invitation(body: dict[str, Any]) -> Any:
    """
    Join an org with a mailed token.

    Who has an account sends their session's token along, and its address must be the one that was invited. Who has
    none sends `name` and `password`: the account is opened, and its address counts as confirmed.
    """
    return flask.g.services.accounts.accept_invitation(command_id=routing.command_id(), **body)
