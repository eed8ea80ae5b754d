"""
Who may do what: the table of the product's description as data, and the one question asked of it.

The gateway asks at the door and the owning service asks again. Whose thing it is (a member's own secret, an org's own
bot) is for the owning service to say.
"""

from dataclasses import dataclass

from shared import context, errors

GATEWAY = "gateway"
# Our own processes, as they name themselves. What else calls itself a service is another one of the company.
OUR_SERVICES = frozenset({"accounts", "billing", "secrets", "quota", GATEWAY, "mailroom"})


@dataclass(frozen=True, kw_only=True)
class Permission:
    """
    :param owner: whether the org's owner may
    :param member: whether any other member may
    :param scope: the scope with which an API secret may; None: no secret may
    :param service: whether another service of the company may
    :param anyone: whether it needs no token at all
    :param ours_only: whether, of the services, only our own processes may
    :param in_org: whether it is done in the actor's org, which a service must name
    """

    owner: bool = False
    member: bool = False
    scope: str | None = None
    service: bool = False
    anyone: bool = False
    ours_only: bool = False
    in_org: bool = False


_ANYONE = Permission(owner=True, member=True, service=True, anyone=True)
_VISITOR = Permission(owner=True, member=True, anyone=True)
_PERSON = Permission(owner=True, member=True)
_OWNER = Permission(owner=True)
_SERVICE = Permission(service=True)
_OURS = Permission(service=True, ours_only=True)


def _scoped(scope: str) -> Permission:
    return Permission(owner=True, member=True, scope=scope, service=True, in_org=True)


PERMISSIONS: dict[str, Permission] = {
    "account:register": _VISITOR,
    "session:create": _VISITOR,
    "password:reset": _VISITOR,
    "email:undo": _VISITOR,
    "deletion:confirm": _VISITOR,
    "deletion:request_by_mail": _OURS,
    "invitation:accept": _VISITOR,
    "account:manage": _PERSON,
    "org:read": _scoped("profile:read"),
    "org:write": _OWNER,
    "org:manage": _OWNER,
    "members:remove": _PERSON,
    "subscription:read": Permission(owner=True, service=True, in_org=True),
    "billing:manage": _OWNER,
    "activity:read": _OWNER,
    "secrets:list": _PERSON,
    "secrets:add": _PERSON,
    "secrets:rotate": _PERSON,
    "secrets:revoke": _PERSON,
    "secrets:report_leak": _ANYONE,
    "bots:read": _scoped("bots:read"),
    "bots:write": _scoped("bots:write"),
    "messages:write": _scoped("messages:write"),
    "messages:refund": _scoped("messages:refund"),
    "usage:read": _scoped("usage:read"),
    "usage:watch": _OURS,
    "plans:read": _ANYONE,
    "pictures:read": _ANYONE,
    "webhooks:receive": Permission(service=True, anyone=True, ours_only=True),
    "tokens:verify": _OURS,
    "profiles:read": _SERVICE,
    "log:read": _SERVICE,
    "messages:admit_batch": _SERVICE,
}

SCOPES: tuple[str, ...] = tuple(sorted({rule.scope for rule in PERMISSIONS.values() if rule.scope}))


def check(actor: context.Actor, permission: str) -> None:
    """
    :raises Forbidden: `insufficient_scope` for a secret without the scope, `owner_only` for a member where the owner
        may, else `not_allowed`
    :raises Invalid: `org_required` for a service that names no org where one is needed
    """
    rule = PERMISSIONS[permission]
    if _allows(rule, actor):
        if rule.in_org and actor.kind == "service" and not actor.org_id:
            raise errors.Invalid("org_required", "A service names the org in which it acts: `org_id` of its actor.")
        return
    if actor.kind == "secret" and rule.scope:
        raise errors.Forbidden("insufficient_scope", f"This needs a secret with the scope {rule.scope}.")
    if actor.kind == "person" and rule.owner:
        raise errors.Forbidden("owner_only", "Only the owner of the organization may do this.")
    raise errors.Forbidden("not_allowed", f"A {actor.kind} may not do this.")


def _allows(rule: Permission, actor: context.Actor) -> bool:
    match actor.kind:
        case "person":
            return rule.owner if actor.role == "owner" else rule.member
        case "secret":
            return rule.anyone or rule.scope in actor.scopes
        case "service":
            return rule.service and (actor.id in OUR_SERVICES or not rule.ours_only)
        case "operator":
            return True
        case "anyone":
            return rule.anyone
