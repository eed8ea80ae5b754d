"""Orgs: who pays, and who belongs to it."""

from typing import Any

import flask
from marshmallow import Schema, fields

from services.gateway import pagination, routing, schemas
from services.gateway.routes.accounts import Membership, Org

routes = routing.Routes("orgs", "Organizations: who pays, and who belongs to it.")


class Memberships(Schema):
    data = fields.List(fields.Nested(Membership), required=True)


class OrgChange(Schema):
    """What is left out stays; what is empty is cleared."""

    name = fields.String()
    legal_name = fields.String()
    address = fields.String()
    tax_id = fields.String()
    billing_email = fields.String()


class Member(Schema):
    account_id = fields.String(required=True)
    name = fields.String(required=True)
    role = fields.String(required=True)
    joined_at = schemas.Moment(required=True)


@routes.operation("GET", "/v1/orgs", permission="account:manage", answers={200: Memberships})
def list_orgs() -> dict[str, Any]:
    """List the orgs that one belongs to. There are few, so the list has one page."""
    return {"data": flask.g.services.accounts.list_orgs()}


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
