"""secrets' doors."""

from functools import partial
from typing import Any, Never

from sqlalchemy import text
from sqlalchemy.orm import Session

from services import access
from services.secrets import digests, domain, projections
from shared import context, database, doors, errors, ids, personal, rpc, store


def _already_created(_session: Session, *, secret_id: str, **_of_this_time: str) -> Never:
    """The first answer carried the value; nobody has it any more, and the new one was never kept."""
    raise errors.Conflict(
        "secret_already_created",
        "This request has made a secret before, whose value was shown that once. Revoke it and make another.",
        {"id": secret_id},
    )


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


class SecretsService(doors.Service):
    name = "secrets"

    @doors.command("secrets:add", answer=projections.secret, repeat=_already_created, secret=("sha256", "hint"))
    def create_secret(
        self,
        session: Session,
        *,
        name: str,
        sha256: str,
        hint: str,
        scopes: list[str] | None = None,
        expires_at: str | None = None,
    ) -> dict[str, str]:
        """
        :param sha256: of the value that the gateway made, hexadecimal
        :param scopes: None: `messages:write` alone
        """
        org_id, secret_id = self.actor.org_id, ids.new("sec")
        domain.check_fingerprint(sha256=sha256, hint=hint)
        wanted = domain.scopes(scopes, known=access.SCOPES)
        expiry = domain.expiry(expires_at, now=database.now(session))
        title = domain.name(name)
        self._make_room(session, org_id)
        digests.keep(session, secret_id, sha256=sha256, hint=hint, pepper=self.house.settings.peppers[0])
        create = partial(
            domain.create,
            org_id=org_id,
            secret_id=secret_id,
            made_by=self.actor.id,
            name_version=personal.put(session, secret_id, subject=org_id, name=title),
            scopes=wanted,
            expires_at=expiry,
        )
        store.execute(session, projections.stream(org_id, secret_id), projections.SECRET, create)
        return {"org_id": org_id, "secret_id": secret_id}

    @doors.query("secrets:list")
    def list_secrets(self, session: Session, after: str = "", limit: rpc.PageSize = 50) -> list[dict[str, Any]]:
        projections.refuse_if_erased(session, self.actor.org_id)
        return projections.list_secrets(session, self.actor.org_id, after=after, limit=limit)

    @doors.query("secrets:list")
    def get_secret(self, session: Session, secret_id: str) -> dict[str, Any]:
        """
        :returns: `{"id", "name", "hint", "scopes", "made_by", "state", "created_at", "expires_at", "last_used_at"}`;
            the state is active, expired or revoked
        :raises NotFound: `unknown_secret`
        """
        return projections.secret(session, org_id=self.actor.org_id, secret_id=secret_id)

    @doors.query("secrets:list")
    def list_newest(self, session: Session, limit: rpc.PageSize = 50) -> dict[str, Any]:
        """
        The secrets that are good, and those that no longer are: of each the newest, the last one first.

        :returns: `{"active": [], "others": []}`, of each secret what `get_secret` gives
        """
        projections.refuse_if_erased(session, self.actor.org_id)
        return projections.list_newest(session, self.actor.org_id, limit=limit)

    @doors.opened("tokens:verify")
    def verify_secret(self, sha256: str) -> dict[str, Any]:
        """
        Whose secret it is.

        :returns: `{"secret_id", "org_id", "scopes", "expires_at"}`
        :raises NotFound: `unknown_secret`
        """
        with self.house.database.begin(deadline=context.current().deadline) as session:
            return digests.verify(session, sha256, self.house.settings.peppers)

    @doors.command("secrets:revoke", answer=_nothing)
    def revoke_secret(self, session: Session, secret_id: str) -> dict[str, str]:
        revoke = partial(domain.revoke, by=self.actor.id, role=self.actor.role)
        store.execute(session, projections.stream(self.actor.org_id, secret_id), projections.SECRET, revoke)
        return {}

    def _make_room(self, session: Session, org_id: str) -> None:
        """Lock out other creations in the org, and count. :raises Conflict: `secret_limit`"""
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:org_id, 1))"), {"org_id": org_id})
        limit = self.house.settings.active_limit
        if projections.count_active(session, org_id) >= limit:
            raise errors.Conflict("secret_limit", f"An organization has at most {limit} secrets; revoke one first.")


SERVICE = SecretsService
