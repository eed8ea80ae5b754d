"""secrets' doors."""

from functools import partial
from typing import Annotated, Any, Never

from sqlalchemy import text
from sqlalchemy.orm import Session

from services import access
from services.secrets import activity, digests, domain, projections
from services.secrets import leaks as ending
from shared import activity_doors, clock, context, database, doors, errors, ids, personal, rpc, store

OVERLAP_SECONDS = 86_400
Overlap = Annotated[int, range(7 * 86_400 + 1)]


def _already_created(_session: Session, *, secret_id: str, **_of_this_time: str) -> Never:
    """The first answer carried the value; nobody has it any more, and the new one was never kept."""
    raise errors.Conflict(
        "secret_already_created",
        "This request has made a secret before, whose value was shown that once. Rotate it to get another value.",
        {"id": secret_id},
    )


def _already_rotated(_session: Session, *, secret_id: str, **_of_this_time: str) -> Never:
    raise errors.Conflict(
        "secret_already_rotated",
        "This request has rotated the secret before; its value was shown that once. Rotate it once more.",
        {"id": secret_id},
    )


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


class SecretsService(activity_doors.Activity):
    name = "secrets"
    trail = activity.TRAIL

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

    @doors.command("secrets:rotate", answer=projections.secret, repeat=_already_rotated, secret=("sha256", "hint"))
    def rotate_secret(
        self, session: Session, *, secret_id: str, sha256: str, hint: str, overlap_seconds: Overlap = OVERLAP_SECONDS
    ) -> dict[str, str]:
        """
        Give a secret another value.

        :param sha256: of the value that the gateway made, hexadecimal
        :param overlap_seconds: for how long the value before works too
        """
        org_id, now = self.actor.org_id, database.now(session)
        domain.check_fingerprint(sha256=sha256, hint=hint)
        rotate = partial(
            domain.rotate, by=self.actor.id, role=self.actor.role, now=now, overlap_seconds=overlap_seconds
        )
        secret = store.execute(session, projections.stream(org_id, secret_id), projections.SECRET, rotate)
        digests.replace(
            session,
            secret_id,
            sha256=sha256,
            hint=hint,
            pepper=self.house.settings.peppers[0],
            former_until=clock.parse(secret.former_until),
        )
        return {"org_id": org_id, "secret_id": secret_id}

    @doors.query("secrets:list")
    def list_secrets(self, session: Session, after: str = "", limit: rpc.PageSize = 50) -> list[dict[str, Any]]:
        projections.refuse_if_erased(session, self.actor.org_id)
        return projections.list_secrets(session, self.actor.org_id, after=after, limit=limit)

    @doors.query("activity:read")
    def name_secrets(self, session: Session, secret_ids: list[str]) -> dict[str, str]:
        """The names of secrets by their ids: of those among them that are the actor's org's, and of no others."""
        return activity.names(session, self.actor.org_id, secret_ids)

    @doors.query("secrets:list")
    def get_secret(self, session: Session, secret_id: str) -> dict[str, Any]:
        """
        :returns: `{"id", "name", "hint", "scopes", "made_by", "state", "revoked_reason", "leak_url", "created_at",
            "expires_at", "rotated_at", "last_used_at", "former"}`; the state is active, expired or revoked; the
            former value is `{"hint", "works_until"}` while it works, else None
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

    @doors.opened("tokens:verify")
    def note_uses(self, secret_ids: list[str]) -> None:
        """
        These secrets are in use in this hour. Each gateway says so once, and a second time does no harm.

        :param secret_ids: those that do not exist are passed over
        """
        with self.house.database.begin(deadline=context.current().deadline) as session:
            digests.note_uses(session, secret_ids)

    @doors.command("secrets:revoke", answer=_nothing)
    def revoke_secret(self, session: Session, secret_id: str) -> dict[str, str]:
        revoke = partial(domain.revoke, by=self.actor.id, role=self.actor.role)
        store.execute(session, projections.stream(self.actor.org_id, secret_id), projections.SECRET, revoke)
        return {}

    @doors.command("secrets:report_leak", answer=_nothing)
    def report_leaks(self, session: Session, leaks: list[dict[str, Any]]) -> dict[str, str]:
        """
        End what others have found in public. The answer does not tell whether there was anything to end.

        :param leaks: 1 to 100, each with the `sha256` of a value and perhaps the `url` where it was found
        :returns: `{}`
        :raises Invalid: `invalid_leaks`
        """
        ending.end(session, domain.leaks(leaks), self.house.settings.peppers)
        return {}

    def _make_room(self, session: Session, org_id: str) -> None:
        """Lock out other creations in the org, and count. :raises Conflict: `secret_limit`"""
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:org_id, 1))"), {"org_id": org_id})
        limit = self.house.settings.active_limit
        if projections.count_active(session, org_id) >= limit:
            raise errors.Conflict("secret_limit", f"An organization has at most {limit} secrets; revoke one first.")


SERVICE = SecretsService
