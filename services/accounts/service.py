"""accounts' doors."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from services.accounts import (
    account,
    addresses,
    changing,
    credentials,
    deletions,
    email_changes,
    inputs,
    members,
    membership,
    org,
    org_profile,
    password_resets,
    passwords,
    picturing,
    projections,
    registrations,
    sessions,
    throttling,
)
from shared import commands, context, doors, errors, personal, revisions, rpc, store


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


def _opened(session: Session, *, account_id: str, org_id: str) -> dict[str, Any]:
    return {
        "account": projections.own_account(session, account_id),
        "org": projections.visible_org(session, org_id, role=projections.role_in(session, org_id, account_id)),
    }


class AccountsService(membership.Membership, picturing.Picturing):
    name = "accounts"

    @contextmanager
    def _wish(self, name: str, email: str, password: str, org_name: str = "") -> Iterator[registrations.Wish]:
        person, address = inputs.name(name), addresses.parse(email)
        org_name = inputs.line(org_name, field="org_name", maximum=100)
        inputs.check_password(password, context_words=[address.local_part])
        with passwords.place(), throttling.bounded(self.house, throttling.REGISTRATION, address.key):
            password_hash = passwords.hash(password)
            yield registrations.Wish(
                name=person, address=address, org_name=org_name or person, password_hash=password_hash
            )

    @doors.command("account:register", answer=_nothing, secret=("password",), around=_wish)
    def register(
        self,
        session: Session,
        name: str,  # noqa: ARG002  # this and what follows is in `prepared`
        email: str,  # noqa: ARG002
        password: str,  # noqa: ARG002
        org_name: str = "",  # noqa: ARG002
        *,
        prepared: registrations.Wish,
    ) -> dict[str, str]:
        """
        Whether the address is known or not: the same answer, after the same work.

        :raises LimitReached: `rate_limited`
        """
        registrations.receive(session, prepared, public_url=self.house.settings.public_url)
        return {}

    @contextmanager
    def _tokens_bounded(self, **_arguments: str) -> Iterator[None]:
        with throttling.bounded(self.house, throttling.TOKEN):
            yield

    @doors.command("account:register", answer=_opened, around=_tokens_bounded)
    def confirm_email(self, session: Session, token: str) -> dict[str, str]:
        """
        Open the account that was registered, or give an account the new address that it asked for.

        :raises Invalid: `invalid_token`
        :raises LimitReached: `rate_limited`
        """
        account_id = email_changes.confirm(session, token, public_url=self.house.settings.public_url)
        if account_id is None:
            return registrations.confirm(session, token)
        return {"account_id": account_id, "org_id": members.org_to_begin_in(session, account_id)}

    @contextmanager
    def _resets_bounded(self, email: str) -> Iterator[None]:
        with throttling.bounded(self.house, throttling.RESET, addresses.parse(email).key):
            yield

    @doors.command("password:reset", answer=_nothing, around=_resets_bounded)
    def request_password_reset(self, session: Session, email: str) -> dict[str, str]:
        """
        Whether the address is known or not: the same answer, after the same work.

        :raises LimitReached: `rate_limited`
        """
        password_resets.request(session, addresses.parse(email))
        return {}

    @contextmanager
    def _reset_hash(self, token: str, password: str) -> Iterator[str]:
        """Of the password, if the token is good; at a repeat it is good no more, and another hash is not needed."""
        with passwords.place(), throttling.bounded(self.house, throttling.TOKEN):
            with self.house.database.begin(deadline=context.current().deadline) as session:
                owner = password_resets.owner_if_any(session, token)
            if owner is None:
                yield ""
                return
            inputs.check_password(password, context_words=[addresses.parse(owner.typed_email).local_part])
            yield passwords.hash(password)

    @doors.command(
        "password:reset", answer=_nothing, repeat=changing.same_password, secret=("password",), around=_reset_hash
    )
    def reset_password(
        self,
        session: Session,
        token: str,
        password: str,  # noqa: ARG002  # its hash is `prepared`
        *,
        prepared: str,
    ) -> dict[str, str]:
        """
        :raises LimitReached: `rate_limited`
        :raises Invalid: `invalid_token`; `password_too_short`, `password_too_long`, `password_too_common`;
            `idempotency_key_reused` at a repeat with what is not, or no longer, the account's password
        """
        owner = password_resets.owner(session, token)
        password_resets.use(
            session, owner.account_id, token, password_hash=prepared, public_url=self.house.settings.public_url
        )
        throttling.make_familiar(session, self.house, owner.email)
        return {"account_id": owner.account_id}

    @doors.opened("session:create")
    def create_session(self, command_id: str, email: str, password: str, user_agent: str = "") -> dict[str, Any]:
        """
        Sign in, once per command id and person.

        :returns: `{"token", "session_id", "expires_at", "account", "org", "orgs"}`
        :raises Invalid: `wrong_credentials`, for an unknown address too
        :raises LimitReached: `rate_limited`, for an unknown address too
        :raises Forbidden: `address_unconfirmed`, only after the right password
        :raises Conflict: `session_already_created` at a repeat: the token was shown that once, and is not kept
        """
        with passwords.place(), throttling.bounded(self.house, throttling.SIGN_IN, credentials.subject(email)):
            return self._sign_in(command_id, email=email, password=password, user_agent=user_agent)

    def _sign_in(self, command_id: str, *, email: str, password: str, user_agent: str) -> dict[str, Any]:
        with self.house.database.begin(deadline=context.current().deadline) as session:
            candidate = credentials.candidate(session, email)
        if not passwords.verify(candidate.password_hash, password):
            raise _wrong_credentials()
        if not candidate.account_id:
            raise errors.Forbidden("address_unconfirmed", "Open the link in the mail that you got, then sign in.")
        outdated = passwords.is_outdated(candidate.password_hash)
        stronger_hash = passwords.hash(password) if outdated else None
        with self.house.database.begin(deadline=context.current().deadline) as session:
            if not credentials.still_stands(session, candidate, stronger_hash=stronger_hash):
                raise _wrong_credentials()
            with context.use(actor=context.Actor(kind="person", id=candidate.account_id)):
                return self._start_once(session, command_id, email=email, user_agent=user_agent)

    def _start_once(self, session: Session, command_id: str, *, email: str, user_agent: str) -> dict[str, Any]:
        place: Any = {
            "route": "accounts.create_session",
            "command_id": command_id,
            "fingerprint": commands.fingerprint(self.house.fingerprint_key, {"email": email}),
        }
        known = commands.recall(session, **place)
        if known is not None:
            raise errors.Conflict(
                "session_already_created",
                "This request has signed in before, and the token was shown that once. Sign in with another key.",
                known,
            )
        signed_in = _signed_in(session, self.actor.id, user_agent)
        commands.remember(session, **place, outcome={"session_id": signed_in["session_id"]})
        throttling.make_familiar(session, self.house, credentials.subject(email))
        password_resets.forget(session, self.actor.id)
        return signed_in

    @doors.opened("tokens:verify")
    def verify_session(self, sha256: str) -> dict[str, Any]:
        """
        Whose token it is.

        :returns: `{"account_id", "org_id", "role", "session_id", "expires_at"}`
        :raises NotFound: `unknown_session`
        """
        with self.house.database.begin(deadline=context.current().deadline) as session:
            return sessions.verify(session, sha256)

    @doors.query("account:manage")
    def list_sessions(self, session: Session) -> list[dict[str, Any]]:
        return sessions.list_of(session, self.actor.id, current_id=self.actor.session_id)

    @doors.command("account:manage", answer=_nothing)
    def end_session(self, session: Session, session_id: str) -> dict[str, str]:
        sessions.end(session, session_id=session_id, account_id=self.actor.id)
        return {}

    @doors.command("account:manage", answer=_nothing)
    def end_current_session(self, session: Session) -> dict[str, str]:
        sessions.end(session, session_id=self.actor.session_id, account_id=self.actor.id)
        return {}

    @doors.query("account:manage")
    def get_account(self, session: Session) -> dict[str, Any]:
        return projections.own_account(session, self.actor.id)

    @doors.command("account:manage", answer=projections.own_account)
    def change_name(self, session: Session, name: str) -> dict[str, str]:
        account_id = self.actor.id
        projections.lock_account(session, account_id)
        revisions.check(partial(projections.own_account, session, account_id))
        profile = {**personal.get(session, account_id), "name": inputs.name(name)}
        profile_version = personal.put(session, account_id, subject=account_id, **profile)
        change = partial(account.change_profile, profile_version=profile_version)
        store.execute(session, projections.account_stream(account_id), projections.ACCOUNT, change)
        return {"account_id": account_id}

    @doors.query("account:manage")
    def get_deletion(self, session: Session) -> dict[str, Any]:
        """
        Whether the actor is about to leave.

        :returns: `{"state", "requested_at", "expires_at", "erases_at"}`; the state is `requested` until the mailed
            link is used, which it can be until `expires_at`; then `confirmed`, and it happens at `erases_at`
        :raises NotFound: `no_deletion`
        """
        return deletions.shown(session, self.actor.id)

    @contextmanager
    def _deletion_bounded(self, password: str) -> Iterator[str]:
        with self._checked_password(password) as checked:
            yield checked

    @doors.command("account:manage", answer=deletions.shown, secret=("password",), around=_deletion_bounded)
    def request_deletion(
        self,
        session: Session,
        password: str,  # noqa: ARG002  # the hash that it fits is `prepared`
        *,
        prepared: str,
    ) -> dict[str, str]:
        """
        Mail a link with which the deletion of the actor's account is confirmed.

        :returns: as `get_deletion`
        :raises Forbidden: `wrong_password`
        :raises Conflict: `deletion_confirmed`; `org_has_members` for the owner of an org that others are in
        """
        self._locked(session, prepared, field="password")
        deletions.request(session, self.actor.id, public_url=self.house.settings.public_url)
        return {"account_id": self.actor.id}

    @doors.command("deletion:request_by_mail", answer=deletions.heard)
    def request_deletion_by_mail(self, session: Session, email: str) -> dict[str, Any]:
        """
        For the mailroom, which has found a mail authentic: mail a link to the account, or whom to hand the org first.

        :param email: whose mail it was
        :returns: `{"known"}`: whether it is an account's address. What was mailed, if anything, shows nowhere
        """
        address = addresses.parse(email)
        return {"known": deletions.request_by_mail(session, address, public_url=self.house.settings.public_url)}

    @doors.command("deletion:confirm", answer=deletions.shown)
    def confirm_deletion(self, session: Session, token: str) -> dict[str, str]:
        """
        With the mailed link. The same link does it once.

        :returns: as `get_deletion`
        :raises Invalid: `invalid_token`
        :raises Conflict: `org_has_members`
        """
        settings = self.house.settings
        cooling_off = timedelta(hours=settings.cooling_off_hours)
        account_id = deletions.confirm(session, token, cooling_off=cooling_off, public_url=settings.public_url)
        return {"account_id": account_id}

    @doors.command("account:manage", answer=_nothing)
    def withdraw_deletion(self, session: Session) -> dict[str, str]:
        """:raises NotFound: `no_deletion`"""
        deletions.withdraw(session, self.actor.id)
        return {}

    @doors.command("deletion:confirm", answer=_nothing)
    def withdraw_deletion_by_link(self, session: Session, token: str) -> dict[str, str]:
        """:raises Invalid: `invalid_token`, also once the erasure has begun"""
        deletions.withdraw_by_link(session, token)
        return {}

    @doors.query("account:manage")
    def list_orgs(self, session: Session) -> list[dict[str, Any]]:
        return projections.list_orgs(session, self.actor.id)

    @doors.query("org:read")
    def get_org(self, session: Session) -> dict[str, Any]:
        """
        The actor's org.

        :returns: `{"id", "name", "owner_id", "created_at", "suspended_at"}`, the last null unless it is suspended;
            for the owner also `"legal_name", "address", "tax_id", "billing_email"`
        :raises NotFound: `unknown_org`
        """
        return projections.visible_org(session, self.actor.org_id, role=self.actor.role)

    @doors.command("org:write", answer=projections.owners_org)
    def change_org(
        self,
        session: Session,
        *,
        name: str | None = None,
        legal_name: str | None = None,
        address: str | None = None,
        tax_id: str | None = None,
        billing_email: str | None = None,
    ) -> dict[str, str]:
        """What is None stays, what is empty is cleared."""
        org_id = self.actor.org_id
        changes = org_profile.checked(
            {
                "name": name,
                "legal_name": legal_name,
                "address": address,
                "tax_id": tax_id,
                "billing_email": billing_email,
            }
        )
        projections.lock_org(session, org_id)
        revisions.check(partial(projections.owners_org, session, org_id))
        profile_version = personal.put(session, org_id, subject=org_id, **personal.get(session, org_id) | changes)
        change = partial(org.change_profile, profile_version=profile_version)
        store.execute(session, projections.org_stream(org_id), projections.ORG, change)
        return {"org_id": org_id}

    @doors.query("org:read")
    def list_members(self, session: Session, after: str = "", limit: rpc.PageSize = 50) -> list[dict[str, Any]]:
        """
        The people of the actor's org, in the order of their ids.

        :param after: the id of the last account of the page before
        :returns: of each `{"account_id", "name", "picture", "role", "joined_at"}`, the picture's key or null; none
            for an org that does not exist
        """
        return projections.list_members(session, self.actor.org_id, after=after, limit=limit)

    @doors.query("profiles:read")
    def get_profile(self, session: Session, account_id: str) -> dict[str, Any]:
        """
        A person as other services may know them. `accounts.ProfileChanged` tells of each new `profile_version`.

        :returns: `{"account_id", "name", "email", "picture_url", "profile_version"}`; the address of the picture is
            public and dies with it, so look again when it answers 404; null without one
        :raises NotFound: `unknown_account`
        """
        return projections.profile(session, account_id, public_url=self.house.settings.public_url)

    @doors.query("profiles:read")
    def get_org_profile(self, session: Session, org_id: str) -> dict[str, Any]:
        """
        Whom to write to, and what stands on an invoice. `accounts.OrgChanged` tells of each new `profile_version`.

        :returns: `{"org_id", "owner_id", "profile_version", "name", "legal_name", "address", "tax_id",
            "billing_email"}`; the address to write to is the owner's where the org has none of its own
        :raises NotFound: `unknown_org`
        """
        return projections.org_profile(session, org_id)


def _signed_in(session: Session, account_id: str, user_agent: str) -> dict[str, Any]:
    org_id = members.org_to_begin_in(session, account_id)
    begun = sessions.start(session, account_id=account_id, org_id=org_id, user_agent=user_agent)
    return membership.signed_in(session, *begun)


def _wrong_credentials() -> errors.Invalid:
    return errors.Invalid("wrong_credentials", "The address or the password is wrong.")


SERVICE = AccountsService
