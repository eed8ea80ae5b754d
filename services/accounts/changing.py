"""accounts' doors for what somebody signs in with: the password and the address. Each asks for the password again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy.orm import Session

from services.accounts import (
    addresses,
    change_mails,
    credentials,
    deletions,
    email_changes,
    inputs,
    mailing,
    models,
    password_resets,
    passwords,
    sessions,
    throttling,
)
from shared import context, database, doors, errors


def _nothing(_session: Session, **_ids: str) -> dict[str, Any]:
    return {}


def same_password(session: Session, *, account_id: str = "", **passwords_given: str) -> dict[str, Any]:
    """
    A repeat with another password would be told that it is set: no fingerprint of it is kept, so its hash decides.

    :param account_id: empty where a release before this one has remembered the command
    :param passwords_given: the new one is `new_password` or `password`
    """
    password = passwords_given.get("new_password") or passwords_given["password"]
    credential = session.get(models.Credential, account_id)
    if credential is not None and not passwords.verify(credential.password_hash, password):
        raise errors.Invalid("idempotency_key_reused", "This id was used before with another password.")
    return {}


class Changing(doors.Service):
    """Its methods are doors of the accounts service."""

    @contextmanager
    def _new_hash(self, current_password: str, new_password: str) -> Iterator[tuple[str, str]]:
        """The hash that `current_password` fits, and one of `new_password`; both empty if it does not fit."""
        with self._checked_password(current_password) as checked:
            if not checked:
                yield "", ""
                return
            with self.house.database.begin(deadline=context.current().deadline) as session:
                credential = session.get(models.Credential, self.actor.id)
            words = [addresses.parse(credential.typed_email).local_part] if credential else []
            inputs.check_password(new_password, context_words=words, field="new_password")
            yield checked, passwords.hash(new_password)

    @contextmanager
    def _checked_password(self, current_password: str) -> Iterator[str]:
        """
        The hash that it fits, for the command to compare. Empty if it does not: only the command knows whether it is
        a repeat, after which the password before is rightly wrong.

        :raises LimitReached: `rate_limited`
        """
        with passwords.place(), throttling.bounded(self.house, throttling.PASSWORD, self.actor.id):
            with self.house.database.begin(deadline=context.current().deadline) as session:
                credential = session.get(models.Credential, self.actor.id)
            kept = passwords.NOBODYS if credential is None else credential.password_hash
            yield kept if passwords.verify(kept, current_password) else ""

    @doors.command(
        "account:manage",
        answer=_nothing,
        repeat=same_password,
        secret=("current_password", "new_password"),
        around=_new_hash,
    )
    def change_password(
        self,
        session: Session,
        current_password: str,  # noqa: ARG002  # this and the next are in `prepared`
        new_password: str,  # noqa: ARG002
        *,
        prepared: tuple[str, str],
    ) -> dict[str, str]:
        """
        Set another password, end the actor's other sessions and every link for a new one, and tell the owner by mail.

        :raises Forbidden: `wrong_password`
        :raises Invalid: `password_too_short`, `password_too_long`, `password_too_common`
        :raises LimitReached: `rate_limited`
        """
        checked, password_hash = prepared
        credential = self._locked(session, checked)
        credential.password_hash, credential.changed_at = password_hash, database.now(session)
        password_resets.forget(session, credential.account_id)
        email_changes.forget_wishes(session, credential.account_id)
        sessions.end_others(session, credential.account_id, kept_id=self.actor.session_id)
        notice = change_mails.password_replaced(reset_link=f"{self.house.settings.public_url}/forgotten-password")
        mailing.mail_to(session, credential.typed_email, notice, subject=credential.account_id)
        return {"account_id": credential.account_id}

    @contextmanager
    def _change_bounded(self, email: str, current_password: str) -> Iterator[str]:
        wanted = addresses.parse(email)
        with (
            self._checked_password(current_password) as checked,
            throttling.bounded(self.house, throttling.EMAIL_CHANGE, self.actor.id, wanted.key),
        ):
            yield checked

    @doors.command("account:manage", answer=_nothing, secret=("current_password",), around=_change_bounded)
    def request_email_change(
        self,
        session: Session,
        email: str,
        current_password: str,  # noqa: ARG002  # its hash is `prepared`
        *,
        prepared: str,
    ) -> dict[str, str]:
        """
        Mail a link to the new address, with which `confirm_email` makes it the account's; a notice to its owner if it
        is another account's. The answer is the same.

        :raises Forbidden: `wrong_password`
        :raises Invalid: `invalid_email`
        :raises Conflict: `email_unchanged`
        :raises LimitReached: `rate_limited`
        """
        email_changes.request(
            session,
            self._locked(session, prepared),
            addresses.parse(email),
            session_id=self.actor.session_id,
            public_url=self.house.settings.public_url,
        )
        return {}

    @contextmanager
    def _undo_bounded(self, **_arguments: str) -> Iterator[None]:
        with throttling.bounded(self.house, throttling.TOKEN):
            yield

    @doors.command("email:undo", answer=_nothing, around=_undo_bounded)
    def undo_email_change(self, session: Session, token: str) -> dict[str, str]:
        """
        Give an account back the address that the token was mailed to, sign out everywhere, withdraw a deletion, and
        mail a link for another password: until it is used, none is good.

        :raises Invalid: `invalid_token`
        :raises Conflict: `email_taken`
        :raises LimitReached: `rate_limited`
        """
        credential = email_changes.undo(session, token)
        deletions.withdraw_strangers(session, credential.account_id)
        password_resets.request(session, addresses.parse(credential.typed_email))
        return {}

    def _locked(self, session: Session, checked: str, *, field: str = "current_password") -> models.Credential:
        """
        :param checked: the hash that was checked outside the transaction; empty if it did not fit
        :raises Forbidden: `wrong_password`, also if it is no longer the account's
        """
        credential = credentials.lock(session, self.actor.id)
        if credential is None or credential.password_hash != checked:
            detail = {"errors": [{"pointer": f"/{field}", "detail": "this is not your password"}]}
            raise errors.Forbidden("wrong_password", "This is not your password.", detail)
        return credential
