"""
Who may do what: the table of the product's description as data, and the one question asked of it.

The gateway asks at the door and the owning service asks again. Whose thing it is (a member's own secret, an org's own
bot) is for the owning service to say.
"""

from dataclasses import dataclass

from shared import context, errors


@dataclass(frozen=True, kw_only=True)
class Permission:
    """
    :param owner: whether the org's owner may
    :param member: whether any other member may
    :param scope: the scope with which an API secret may; None: no secret may
    :param service: whether another service of the company may
    :param anyone: whether it needs no token at all
    """

    owner: bool = False
    member: bool = False
    scope: str | None = None
    service: bool = False
    anyone: bool = False


_ANYONE = Permission(owner=True, member=True, service=True, anyone=True)
_PERSON = Permission(owner=True, member=True)
_OWNER = Permission(owner=True)
_SERVICE = Permission(service=True)


def _scoped(scope: str) -> Permission:
    return Permission(owner=True, member=True, scope=scope, service=True)


PERMISSIONS: dict[str, Permission] = {
    "account:register": _ANYONE,
    "session:create": _ANYONE,
    "password:reset": _ANYONE,
    "account:manage": _PERSON,
    "org:read": _scoped("profile:read"),
    "org:write": _OWNER,
    "org:manage": _OWNER,
    "subscription:read": Permission(owner=True, service=True),
    "billing:manage": _OWNER,
    "secrets:list": _PERSON,
    "secrets:add": _PERSON,
    "secrets:rotate": _PERSON,
    "secrets:revoke": _PERSON,
    "secrets:report_leak": _SERVICE,
    "bots:read": _scoped("bots:read"),
    "bots:write": _scoped("bots:write"),
    "messages:write": _scoped("messages:write"),
    "messages:refund": _scoped("messages:refund"),
    "usage:read": _scoped("usage:read"),
    "plans:read": _ANYONE,
    "webhooks:receive": Permission(service=True, anyone=True),
    "tokens:verify": _SERVICE,
    "profiles:read": _SERVICE,
    "log:read": _SERVICE,
    "messages:admit_batch": _SERVICE,
}

SCOPES: tuple[str, ...] = tuple(sorted({rule.scope for rule in PERMISSIONS.values() if rule.scope}))


def check(actor: context.Actor, permission: str) -> None:
    """
    :raises Forbidden: `insufficient_scope` for a secret without the scope, `owner_only` for a member where the owner
        may, else `not_allowed`
    """
    rule = PERMISSIONS[permission]
    if _allows(rule, actor):
        return
    if actor.kind == "secret" and rule.scope:
        raise errors.Forbidden("insufficient_scope", f"This needs a secret with the scope {rule.scope}.")
    if actor.kind == "person" and rule.owner:
        raise errors.Forbidden("owner_only", "Only the owner of the organisation may do this.")
    raise errors.Forbidden("not_allowed", f"A {actor.kind} may not do this.")


def _allows(rule: Permission, actor: context.Actor) -> bool:
    match actor.kind:
        case "person":
            return rule.owner if actor.role == "owner" else rule.member
        case "secret":
            return rule.anyone or rule.scope in actor.scopes
        case "service":
            return rule.service
        case "operator":
            return True
        case "anyone":
            return rule.anyone
