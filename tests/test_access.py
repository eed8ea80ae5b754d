"""The table "Who may do what", cell by cell."""

import pytest

from services import access
from shared import context, errors

pytestmark = pytest.mark.pure

# permission: owner, member, scope of a secret, service, anyone
TABLE = {
    "account:register": (True, True, "", False, True),
    "session:create": (True, True, "", False, True),
    "password:reset": (True, True, "", False, True),
    "email:undo": (True, True, "", False, True),
    "deletion:confirm": (True, True, "", False, True),
    "invitation:accept": (True, True, "", False, True),
    "account:manage": (True, True, None, False, False),
    "org:read": (True, True, "profile:read", True, False),
    "org:write": (True, False, None, False, False),
    "org:manage": (True, False, None, False, False),
    "members:remove": (True, True, None, False, False),
    "subscription:read": (True, False, None, True, False),
    "billing:manage": (True, False, None, False, False),
    "activity:read": (True, False, None, False, False),
    "secrets:list": (True, True, None, False, False),
    "secrets:add": (True, True, None, False, False),
    "secrets:rotate": (True, True, None, False, False),
    "secrets:revoke": (True, True, None, False, False),
    "secrets:report_leak": (True, True, "", True, True),
    "bots:read": (True, True, "bots:read", True, False),
    "bots:write": (True, True, "bots:write", True, False),
    "messages:write": (True, True, "messages:write", True, False),
    "messages:refund": (True, True, "messages:refund", True, False),
    "usage:read": (True, True, "usage:read", True, False),
    "plans:read": (True, True, "", True, True),
    "pictures:read": (True, True, "", True, True),
}
BOTS, MESSAGES = ("bots:read", "bots:write"), ("messages:write", "messages:refund")
EVERY_SCOPE = ("bots:read", "bots:write", "messages:refund", "messages:write", "profile:read", "usage:read")


def may(actor, permission):
    try:
        access.check(actor, permission)
    except errors.Forbidden:
        return False
    return True


def refusal(actor, permission):
    with pytest.raises(errors.Forbidden) as refused:
        access.check(actor, permission)
    return refused.value.code


class TestCheck:
    def test_knows_every_permission_of_the_table_and_beyond_it_none_that_a_token_gives(self):
        clients = [context.Actor(kind="person", role=role) for role in ("owner", "member")]
        clients.append(context.Actor(kind="secret", scopes=EVERY_SCOPE))
        beyond = {name for name, rule in access.PERMISSIONS.items() if name not in TABLE and not rule.anyone}

        assert set(TABLE) <= set(access.PERMISSIONS)
        assert not [permission for permission in beyond for client in clients if may(client, permission)]
        assert access.SCOPES == EVERY_SCOPE

    @pytest.mark.parametrize("permission", TABLE)
    def test_answers_as_the_table_says(self, permission):
        owner, member, scope, service, anyone = TABLE[permission]
        with_all_scopes = context.Actor(kind="secret", scopes=EVERY_SCOPE)
        with_one_scope = context.Actor(kind="secret", scopes=(scope or "x",))
        with_the_others = context.Actor(kind="secret", scopes=tuple(set(EVERY_SCOPE) - {scope}))

        assert may(context.Actor(kind="person", role="owner"), permission) == owner
        assert may(context.Actor(kind="person", role="member"), permission) == member
        assert may(with_all_scopes, permission) == (scope is not None)
        assert may(with_one_scope, permission) == (scope is not None)
        assert may(with_the_others, permission) == (scope == "")
        assert may(context.Actor(kind="service", id="runtime", org_id="org_1"), permission) == service
        assert may(context.ANYONE, permission) == anyone
        assert may(context.Actor(kind="operator"), permission)

    def test_says_what_is_missing(self):
        secret, member = context.Actor(kind="secret"), context.Actor(kind="person", role="member")

        assert refusal(secret, "bots:read") == "insufficient_scope"
        assert refusal(secret, "billing:manage") == "not_allowed"
        assert refusal(member, "billing:manage") == "owner_only"
        assert refusal(member, "log:read") == "not_allowed"

    def test_asks_a_service_for_its_org_where_it_acts_in_one(self):
        nowhere = context.Actor(kind="service", id="runtime")
        somewhere = context.Actor(kind="service", id="runtime", org_id="org_1")
        in_org = {name for name, rule in access.PERMISSIONS.items() if rule.in_org}

        assert in_org == {"org:read", "subscription:read", "usage:read", *BOTS, *MESSAGES}
        for permission in in_org:
            assert may(somewhere, permission)
            with pytest.raises(errors.Invalid) as refused:
                access.check(nowhere, permission)
            assert refused.value.code == "org_required"

    def test_keeps_to_our_own_processes_what_no_other_service_may(self):
        ours, foreign = (context.Actor(kind="service", id=name, org_id="org_1") for name in ("gateway", "runtime"))
        kept = {"deletion:request_by_mail", "tokens:verify", "usage:watch", "webhooks:receive"}

        assert {permission for permission in access.PERMISSIONS if may(ours, permission)} == kept | {
            permission for permission in access.PERMISSIONS if may(foreign, permission)
        }
        assert not [permission for permission in kept if may(foreign, permission)]
