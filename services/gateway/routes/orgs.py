"""Orgs: who pays, and who belongs to it."""

from typing import Any

import flask
from marshmallow import Schema, fields

from services.gateway import pagination, routing, schemas
from services.gateway.routes.accounts import Membership, Org, SignedIn

routes = routing.Routes("orgs", "Organizations: who pays, and who belongs to it.")


class Memberships(Schema):
    data = fields.List(fields.Nested(Membership), required=True)


class NewOrg(Schema):
    name = fields.String(required=True)


class Choice(Schema):
    org_id = schemas.Token(required=True, metadata={"description": "an org that one belongs to"})


class OrgChange(Schema):
    """What is left out stays; what is empty is cleared."""

    name = fields.String()
    legal_name = fields.String()
    address = fields.String()
    tax_id = fields.String()
    billing_email = fields.String()


class Successor(Schema):
    account_id = schemas.Token(required=True, metadata={"description": "a member of the org"})
    password = schemas.Hidden(required=True, metadata={"description": "of whoever hands it over"})


class Member(Schema):
    account_id = fields.String(required=True)
    name = fields.String(required=True)
    picture_url = schemas.PictureUrl()
    role = fields.String(required=True)
    joined_at = schemas.Moment(required=True)


@routes.operation("GET", "/v1/orgs", permission="account:manage", answers={200: Memberships})
def list_orgs() -> dict[str, Any]:
    """List the orgs that one belongs to. There are few, so the list has one page."""
    return {"data": flask.g.services.accounts.list_orgs()}


@routes.operation(
    "POST",
    "/v1/orgs",
    permission="account:manage",
    body=NewOrg,
    answers={201: Org},
    refusals={"invalid_name": 422, "too_many_orgs": 409, "unknown_org": 404, **routing.COMMAND},
)
def found_org(body: dict[str, Any]) -> routing.Answer:
    """
    Found another org, on the plan Free. One can own ten.

    The session goes on in the org it is in; see `PUT /v1/sessions/current/org`.
    """
    founded = flask.g.services.accounts.found_org(command_id=routing.command_id(), name=body["name"])
    return routing.Answer(data=founded, location="/v1/orgs")


@routes.operation(
    "PUT",
    "/v1/sessions/current/org",
    permission="account:manage",
    body=Choice,
    answers={200: SignedIn},
    refusals={"unknown_org": 404, "unknown_session": 404, "unknown_account": 404, "changed_meanwhile": 409},
)
def switch_org(body: dict[str, Any]) -> Any:
    """
    Go on in another org that one belongs to, with another token.

    A token acts in one org for as long as it is good. The session ends, and another begins, which lasts no longer
    than the first would have. Whoever loses the answer signs in again.
    """
    switched = flask.g.services.accounts.switch_org(org_id=body["org_id"])
    flask.g.authentication.forget_sessions()
    return switched


@routes.operation("GET", "/v1/org", permission="org:read", answers={200: Org}, tagged=True)
def get_org() -> Any:
    """Show the org that one acts in."""
    return flask.g.services.accounts.get_org()


@routes.operation(
    "PATCH",
    "/v1/org",
    permission="org:write",
    body=OrgChange,
    answers={200: Org},
    refusals={
        "invalid_name": 422,
        "invalid_legal_name": 422,
        "invalid_address": 422,
        "invalid_tax_id": 422,
        "invalid_billing_email": 422,
        **routing.COMMAND,
    },
    tagged=True,
    conditional=True,
)
def change_org(body: dict[str, Any]) -> Any:
    """Change the org's details, used internally and for billing."""
    return flask.g.services.accounts.change_org(command_id=routing.command_id(), **body)


@routes.operation(
    "GET",
    "/v1/org/members",
    permission="org:read",
    query=pagination.PageQuery,
    answers={200: pagination.page_of(Member)},
)
def list_members(query: dict[str, Any]) -> dict[str, Any]:
    """List who belongs to the org."""
    after = pagination.position(query) or ""
    return pagination.page_after(
        query,
        lambda limit: flask.g.services.accounts.list_members(after=after, limit=limit),
        key="account_id",
    )


@routes.operation(
    "DELETE",
    "/v1/org/members/<account_id>",
    permission="members:remove",
    answers={204: None},
    refusals={"unknown_org": 404, "unknown_member": 404, "owner_stays": 409, **routing.COMMAND},
)
def remove_member(account_id: str) -> None:
    """
    Remove somebody from the org, or leave it oneself. Only the owner removes others.

    Their sessions in it end at once. What they made stays, their API secrets too. The owner hands the org over first.
    """
    flask.g.services.accounts.remove_member(command_id=routing.command_id(), account_id=account_id)
    flask.g.authentication.forget_sessions()


@routes.operation(
    "PUT",
    "/v1/org/owner",
    permission="org:manage",
    body=Successor,
    answers={200: Org},
    refusals={
        "wrong_password": 403,
        "unknown_org": 404,
        "unknown_member": 404,
        "already_owner": 409,
        "busy": 503,
        "rate_limited": 429,
        **routing.COMMAND,
    },
)
def hand_over_org(body: dict[str, Any]) -> Any:
    """
    Hand the org over to another member, with one's password. Both are told by mail.

    From then on only the new owner reaches billing, and whoever was the owner is a member who may leave. Asked again,
    it is refused with `owner_only`.
    """
    shown = flask.g.services.accounts.hand_over_org(command_id=routing.command_id(), **body)
    flask.g.authentication.forget_sessions()
    return shown
