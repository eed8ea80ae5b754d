"""accounts' doors about who is in an org: invitations, removal, handing over; and which org one acts in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from services.accounts import (
    activity,
    addresses,
    changing,
    inputs,
    invitations,
    members,
    models,
    passwords,
    projections,
    registrations,
    sessions,
    throttling,
)
from shared import activity_doors, clock, context, doors


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


def _accepted(session: Session, *, account_id: str, org_id: str) -> dict[str, Any]:
    return {
        "account": projections.own_account(session, account_id),
        "org": projections.public_org(session, org_id),
    }


def signed_in(session: Session, token: str, begun: models.SignedIn) -> dict[str, Any]:
    """What is shown of a session that begins: `{"token", "session_id", "expires_at", "account", "org", "orgs"}`."""
    orgs = projections.list_orgs(session, begun.account_id)
    [role] = [one["role"] for one in orgs if one["id"] == begun.org_id]
    return {
        "token": token,
        "session_id": begun.id,
        "expires_at": clock.rfc3339(sessions.ends_at(begun)),
        "account": projections.own_account(session, begun.account_id),
        "org": projections.visible_org(session, begun.org_id, role=role),
        "orgs": orgs,
    }


class Membership(changing.Changing, activity_doors.Activity):
    """A part of the accounts service, which is what is started."""

    trail = activity.TRAIL

    @doors.command("org:manage", answer=invitations.shown)
    def invite(self, session: Session, email: str) -> dict[str, str]:
        """
        Mail a link with which whoever has the address may join the actor's org.

        Whether the address has an account shows nowhere.

        :returns: `{"id", "email", "created_at", "expires_at"}`
        :raises Invalid: `invalid_email`
        :raises Conflict: `already_member`, `too_many_invitations`
        """
        address, public_url = addresses.parse(email), self.house.settings.public_url
        invited = invitations.invite(session, self.actor.org_id, address, by=self.actor.id, public_url=public_url)
        return {"invitation_id": invited}

    @doors.query("org:manage")
    def list_invitations(self, session: Session) -> list[dict[str, Any]]:
        """Those of the actor's org that are open, as of `invite`, the newest first."""
        return invitations.list_open(session, self.actor.org_id)

    @doors.command("org:manage", answer=_nothing)
    def withdraw_invitation(self, session: Session, invitation_id: str) -> dict[str, str]:
        """:raises NotFound: `unknown_invitation` if it is none of the org's, or not open any more"""
        invitations.withdraw(session, self.actor.org_id, invitation_id, by=self.actor.id)
        return {}

    @doors.opened("invitation:accept")
    def get_invitation(self, token: str) -> dict[str, Any]:
        """
        What whoever holds a mailed link is asked.

        :returns: `{"org_name", "email", "has_account"}`
        :raises Invalid: `invalid_invitation`
        :raises LimitReached: `rate_limited`, with `retry_after_seconds`
        """
        deadline = context.current().deadline
        with (
            throttling.bounded(self.house, throttling.TOKEN),
            self.house.database.begin(deadline=deadline) as session,
        ):
            return invitations.look_at(session, token)

    @contextmanager
    def _newcomer(self, token: str, name: str = "", password: str = "") -> Iterator[registrations.Wish | None]:
        """None for whoever has an account, and if the token is not good, as at a repeat."""
        if self.actor.kind == "person":
            with throttling.bounded(self.house, throttling.TOKEN):
                yield None
            return
        with passwords.place(), throttling.bounded(self.house, throttling.TOKEN):
            with self.house.database.begin(deadline=context.current().deadline) as session:
                invited = invitations.look_if_any(session, token)
            if invited is None:
                yield None
                return
            if invited["has_account"]:
                raise invitations.sign_in_first()
            person, address = inputs.name(name), addresses.parse(invited["email"])
            inputs.check_password(password, context_words=[address.local_part])
            password_hash = passwords.hash(password)
            yield registrations.Wish(name=person, address=address, org_name="", password_hash=password_hash)

    @doors.command("invitation:accept", answer=_accepted, secret=("password",), around=_newcomer)
    def accept_invitation(
        self,
        session: Session,
        token: str,
        name: str = "",  # noqa: ARG002  # this and the next are in `prepared`
        password: str = "",  # noqa: ARG002
        *,
        prepared: registrations.Wish | None = None,
    ) -> dict[str, str]:
        """
        Join an org with a mailed token: the person who acts, else somebody new, whose account is opened.

        :param name: of the new account, as `password`; whoever is signed in needs neither
        :returns: `{"account", "org"}`
        :raises Invalid: `invalid_invitation`; `invalid_name`, `password_too_short`, `password_too_long`,
            `password_too_common`
        :raises Forbidden: `other_address` if it was mailed to another address than the actor's
        :raises Conflict: `already_member`; `sign_in_to_accept` to somebody new whose address has an account
        :raises LimitReached: `rate_limited`
        """
        if self.actor.kind == "person":
            account_id = self.actor.id
            return {"account_id": account_id, "org_id": invitations.accept(session, token, account_id=account_id)}
        if prepared is None:
            raise invitations.invalid()
        account_id, org_id = invitations.accept_as_new(session, token, prepared)
        return {"account_id": account_id, "org_id": org_id}

    @doors.query("activity:read")
    def name_members(self, session: Session, account_ids: list[str]) -> dict[str, str]:
        """The names of people by their ids: of those among them who are in the actor's org now, and of no others."""
        return activity.names(session, self.actor.org_id, account_ids)

    @doors.command("members:remove", answer=_nothing)
    def remove_member(self, session: Session, account_id: str) -> dict[str, str]:
        """
        The owner removes somebody from the actor's org, or a member leaves it. Their sessions in it end.

        :raises NotFound: `unknown_org`, `unknown_member`
        :raises Forbidden: `owner_only` for a member who means another
        :raises Conflict: `owner_stays`
        """
        members.remove(session, self.actor.org_id, account_id=account_id, by=self.actor.id)
        return {}

    @contextmanager
    def _handing_over(self, account_id: str, password: str) -> Iterator[str]:  # noqa: ARG002
        with self._checked_password(password) as checked:
            yield checked

    @doors.command("org:manage", answer=projections.public_org, secret=("password",), around=_handing_over)
    def hand_over_org(
        self,
        session: Session,
        account_id: str,
        password: str,  # noqa: ARG002  # the hash that it fits is `prepared`
        *,
        prepared: str,
    ) -> dict[str, str]:
        """
        Make a member of the actor's org its owner; the actor is a member from now on.

        :param password: the actor's
        :returns: `{"id", "name", "owner_id", "created_at", "suspended_at"}`
        :raises Forbidden: `wrong_password`, `owner_only`
        :raises NotFound: `unknown_org`, `unknown_member`
        :raises Conflict: `already_owner`
        :raises LimitReached: `rate_limited`
        """
        org_id, public_url = self.actor.org_id, self.house.settings.public_url
        self._locked(session, prepared, field="password")
        members.hand_over(session, org_id, account_id=account_id, by=self.actor.id, public_url=public_url)
        return {"org_id": org_id}

    @doors.command("account:manage", answer=projections.owners_org)
    def found_org(self, session: Session, name: str) -> dict[str, str]:
        """
        Another org that the actor owns, on the plan Free. Their session goes on in the one it is in.

        :returns: as `get_org` to the owner
        :raises Invalid: `invalid_name`
        :raises Conflict: `too_many_orgs`
        """
        return {"org_id": members.found_another(session, self.actor.id, name=inputs.name(name))}

    @doors.opened("account:manage")
    def switch_org(self, org_id: str) -> dict[str, Any]:
        """
        End the actor's session, and begin another in that org. The token is shown this once, and never kept.

        :returns: `{"token", "session_id", "expires_at", "account", "org", "orgs"}`
        :raises NotFound: `unknown_org` if the actor is not in it; `unknown_session`
        """
        ids = {"session_id": self.actor.session_id, "account_id": self.actor.id, "org_id": org_id}
        with self.house.database.begin(deadline=context.current().deadline) as session:
            return signed_in(session, *sessions.switch(session, **ids))
