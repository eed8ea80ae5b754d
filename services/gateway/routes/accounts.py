"""People: sign up, sign in, and who they are."""

from typing import Any

import flask
from marshmallow import Schema, fields, validate

from services.gateway import routing, schemas

routes = routing.Routes("accounts", "People: sign up, sign in, and who they are.")


PASSWORD = "15 to 128 characters, none of the common ones"  # noqa: S105  # what it has to be
THROTTLED = {"rate_limited": 429}
PASSWORD_RULES = {"password_too_short": 422, "password_too_long": 422, "password_too_common": 422, "busy": 503}


class Registration(Schema):
    name = fields.String(required=True)
    email = fields.String(required=True)
    password = schemas.Hidden(required=True, metadata={"description": PASSWORD})
    org_name = fields.String(metadata={"description": "the person's name if absent"})


class Confirmation(Schema):
    token = schemas.Hidden(required=True, metadata={"description": "from the mailed link"})


class ResetRequest(Schema):
    email = fields.String(required=True)


class NewPassword(Schema):
    token = schemas.Hidden(required=True, metadata={"description": "from the mailed link"})
    password = schemas.Hidden(required=True, metadata={"description": PASSWORD})


class Credentials(Schema):
    email = fields.String(required=True)
    password = schemas.Hidden(required=True)


class Account(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    email = fields.String(required=True)
    picture_url = schemas.PictureUrl()
    created_at = schemas.Moment(required=True)


class Org(Schema):
    """Legal name, address, tax id and billing address are for the owner."""

    id = fields.String(required=True)
    name = fields.String(required=True)
    owner_id = fields.String(required=True)
    created_at = schemas.Moment(required=True)
    suspended_at = schemas.Moment(
        required=True, allow_none=True, metadata={"description": "since when operations have stopped it; null: no"}
    )
    legal_name = fields.String()
    address = fields.String()
    tax_id = fields.String()
    billing_email = fields.String()


class Membership(Schema):
    id = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True, validate=validate.OneOf(["owner", "member"]))


class Confirmed(Schema):
    account = fields.Nested(Account, required=True)
    org = fields.Nested(Org, required=True)


class SignedIn(Confirmed):
    token = fields.String(required=True, metadata={"description": "shown this once"})
    session_id = fields.String(required=True)
    expires_at = schemas.Moment(required=True)
    orgs = fields.List(fields.Nested(Membership), required=True)


class Session(Schema):
    id = fields.String(required=True)
    org_id = fields.String(required=True)
    user_agent = fields.String(required=True)
    created_at = schemas.Moment(required=True)
    last_used_at = schemas.Moment(required=True)
    expires_at = schemas.Moment(required=True)
    current = fields.Boolean(required=True)


class Sessions(Schema):
    data = fields.List(fields.Nested(Session), required=True)


class AccountChange(Schema):
    name = fields.String(required=True)


class PasswordChange(Schema):
    current_password = schemas.Hidden(required=True)
    new_password = schemas.Hidden(required=True, metadata={"description": PASSWORD})


class EmailChange(Schema):
    email = fields.String(required=True)
    current_password = schemas.Hidden(required=True)


class WhoAmI(Schema):
    kind = fields.String(required=True, validate=validate.OneOf(["person", "secret"]))
    id = fields.String(required=True, metadata={"description": "`acc_…` or `sec_…`"})
    org_id = fields.String(required=True)
    role = fields.String(metadata={"description": "of a person: `owner` or `member`"})
    scopes = fields.List(fields.String(), metadata={"description": "of a secret"})


@routes.operation(
    "POST",
    "/v1/accounts",
    permission=routing.ANYONE,
    body=Registration,
    answers={202: Schema},
    refusals={
        "invalid_name": 422,
        "invalid_email": 422,
        "invalid_org_name": 422,
        **PASSWORD_RULES,
        **THROTTLED,
        **routing.COMMAND,
    },
)
def register(body: dict[str, Any]) -> Any:
    """
    Sign up. A link to confirm the address is mailed.

    The answer is the same whether the address is known or not; the owner of a known one gets a notice.
    """
    return flask.g.services.accounts.register(command_id=routing.command_id(), **body)


@routes.operation(
    "POST",
    "/v1/email-confirmations",
    permission=routing.ANYONE,
    body=Confirmation,
    answers={200: Confirmed},
    refusals={"invalid_token": 422, **THROTTLED, **routing.COMMAND},
)
def confirm_email(body: dict[str, Any]) -> Any:
    """
    Confirm an address with a mailed token, once.

    That of a new account: it and its org begin here. The new one of an account: it is changed, the account's other
    sessions end, and the old address gets a notice with a link to undo it.
    """
    confirmed = flask.g.services.accounts.confirm_email(command_id=routing.command_id(), token=body["token"])
    flask.g.authentication.forget_sessions()
    return confirmed


@routes.operation(
    "POST",
    "/v1/password-resets",
    permission=routing.ANYONE,
    body=ResetRequest,
    answers={202: Schema},
    refusals={"invalid_email": 422, **THROTTLED, **routing.COMMAND},
)
def request_password_reset(body: dict[str, Any]) -> Any:
    """
    Ask for a new password. A link to set one is mailed, good for an hour and once.

    The answer is the same whether the address is known or not; to an unknown one nothing is mailed, to a known one at
    most three links an hour.
    """
    return flask.g.services.accounts.request_password_reset(command_id=routing.command_id(), email=body["email"])


@routes.operation(
    "PUT",
    "/v1/password-resets",
    permission=routing.ANYONE,
    body=NewPassword,
    answers={204: None},
    refusals={"invalid_token": 422, **PASSWORD_RULES, **THROTTLED, **routing.COMMAND},
)
def reset_password(body: dict[str, Any]) -> None:
    """
    Set a new password with a mailed token.

    It ends every session of the account and every other such link, and its owner is told by mail. Repeated with the
    same Idempotency-Key but another password it is refused with `idempotency_key_reused`.
    """
    flask.g.services.accounts.reset_password(command_id=routing.command_id(), **body)
    flask.g.authentication.forget_sessions()


@routes.operation(
    "POST",
    "/v1/sessions",
    permission=routing.ANYONE,
    body=Credentials,
    answers={201: SignedIn},
    refusals={
        "wrong_credentials": 401,
        "address_unconfirmed": 403,
        "session_already_created": 409,
        "busy": 503,
        **THROTTLED,
        **routing.COMMAND,
    },
)
def sign_in(body: dict[str, Any]) -> routing.Answer:
    """
    Sign in. The token goes into `Authorization: Bearer`.

    After ten failures within five minutes for an address, known or not, or from one client, it answers `rate_limited`
    until they are over. Sessions go on, and clients from which the person has signed in before are counted apart.

    Asked again with the same Idempotency-Key it says that the session exists: the token is not kept.
    """
    user_agent = flask.request.headers.get("User-Agent", "")[:200]
    signed_in = flask.g.services.accounts.create_session(
        command_id=routing.command_id(), **body, user_agent=user_agent
    )
    return routing.Answer(data=signed_in, location=f"/v1/sessions/{signed_in['session_id']}")


@routes.operation("GET", "/v1/sessions", permission="account:manage", answers={200: Sessions})
def list_sessions() -> dict[str, Any]:
    """List where one is signed in. There are few, so the list has one page."""
    return {"data": flask.g.services.accounts.list_sessions()}


@routes.operation(
    "DELETE",
    "/v1/sessions/current",
    permission="account:manage",
    answers={204: None},
    refusals=routing.COMMAND,
)
def sign_out() -> None:
    """Sign out."""
    flask.g.services.accounts.end_current_session(command_id=routing.command_id())
    flask.g.authentication.forget_sessions()


@routes.operation(
    "DELETE",
    "/v1/sessions/<session_id>",
    permission="account:manage",
    answers={204: None},
    refusals={"unknown_session": 404, **routing.COMMAND},
)
def end_session(session_id: str) -> None:
    """End another of one's sessions."""
    flask.g.services.accounts.end_session(command_id=routing.command_id(), session_id=session_id)
    flask.g.authentication.forget_sessions()


@routes.operation("GET", "/v1/whoami", permission=routing.ANY_TOKEN, answers={200: WhoAmI})
def who_am_i() -> dict[str, Any]:
    """Show whose token this is."""
    actor = routing.actor()
    common = {"kind": actor.kind, "id": actor.id, "org_id": actor.org_id}
    return {**common, "scopes": list(actor.scopes)} if actor.kind == "secret" else {**common, "role": actor.role}


@routes.operation("GET", "/v1/account", permission="account:manage", answers={200: Account}, tagged=True)
def get_account() -> Any:
    """Show one's own account."""
    return flask.g.services.accounts.get_account()


@routes.operation(
    "PATCH",
    "/v1/account",
    permission="account:manage",
    body=AccountChange,
    answers={200: Account},
    refusals={"invalid_name": 422, **routing.COMMAND},
    tagged=True,
    conditional=True,
)
def change_account(body: dict[str, Any]) -> Any:
    """Change one's name, which is used system-wide and in conversations."""
    return flask.g.services.accounts.change_name(command_id=routing.command_id(), name=body["name"])


@routes.operation(
    "PUT",
    "/v1/account/password",
    permission="account:manage",
    body=PasswordChange,
    answers={204: None},
    refusals={"wrong_password": 403, **PASSWORD_RULES, **THROTTLED, **routing.COMMAND},
)
def change_password(body: dict[str, Any]) -> None:
    """
    Change one's password.

    It ends the other sessions and every link for a new password, and the owner is told by mail.
    """
    flask.g.services.accounts.change_password(command_id=routing.command_id(), **body)
    flask.g.authentication.forget_sessions()


@routes.operation(
    "PUT",
    "/v1/account/email",
    permission="account:manage",
    body=EmailChange,
    answers={202: Schema},
    refusals={
        "invalid_email": 422,
        "wrong_password": 403,
        "email_unchanged": 409,
        "busy": 503,
        **THROTTLED,
        **routing.COMMAND,
    },
)
def change_email(body: dict[str, Any]) -> Any:
    """
    Ask for another address. A link to confirm it is mailed there, good for an hour and once.

    The token goes to `POST /v1/email-confirmations`; until then nothing changes. The answer is the same whether the
    address is another account's or not; its owner gets a notice.
    """
    return flask.g.services.accounts.request_email_change(command_id=routing.command_id(), **body)


@routes.operation(
    "POST",
    "/v1/email-undos",
    permission=routing.ANYONE,
    body=Confirmation,
    answers={204: None},
    refusals={"invalid_token": 422, "email_taken": 409, **THROTTLED, **routing.COMMAND},
)
def undo_email_change(body: dict[str, Any]) -> None:
    """
    Give an account its old address back, with the token that was mailed there; good for seven days and once.

    It ends every session. Whoever changed the address knew the password: so none is good any more, and a link to set
    another is mailed to the old address.
    """
    flask.g.services.accounts.undo_email_change(command_id=routing.command_id(), token=body["token"])
    flask.g.authentication.forget_sessions()
