"""
What a suspended org is refused, and what goes on: a table of the doors that change something. Whatever only shows
something goes on. What is refused would let the org do more, or be another; what goes on ends something, concerns a
person, or is not the org's.

And how a service other than accounts hears which orgs are suspended: each the same.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from services.accounts.events import OrgRestored, OrgSuspended
from shared import suspensions
from shared.envelope import Envelope

REFUSED = frozenset(
    {
        "accounts.change_org",
        "accounts.found_org",
        "accounts.hand_over_org",
        "accounts.invite",
        "quota.create_bot",
        "quota.delete_bot",
        "quota.pause_bot",
        "quota.rename_bot",
        "quota.resume_bot",
        "secrets.create_secret",
        "secrets.rotate_secret",
    }
)
"""At the door, to whoever acts in the org."""

REFUSED_WITHIN = frozenset(
    {"accounts.accept_invitation", "billing.change_plan", "billing.withdraw_change", "quota.admit_messages"}
)
"""
Behind the door: by the org of the invitation, and of each message; and where only what stands behind it knows whether
the same was done before, which is answered again.
"""

GOES_ON = frozenset(
    {
        # A person's own, and their sessions.
        "accounts.change_name",
        "accounts.change_password",
        "accounts.confirm_email",
        "accounts.create_session",
        "accounts.end_current_session",
        "accounts.end_session",
        "accounts.register",
        "accounts.remove_picture",
        "accounts.request_email_change",
        "accounts.request_password_reset",
        "accounts.reset_password",
        "accounts.set_picture",
        "accounts.switch_org",
        "accounts.undo_email_change",
        "accounts.verify_session",
        # Leaving. An owner removes the others first, or nobody could.
        "accounts.confirm_deletion",
        "accounts.remove_member",
        "accounts.request_deletion",
        "accounts.request_deletion_by_mail",
        "accounts.withdraw_deletion",
        "accounts.withdraw_deletion_by_link",
        # Less than before.
        "accounts.withdraw_invitation",
        "billing.cancel",
        "secrets.report_leaks",
        "secrets.revoke_secret",
        # A message that was counted and could not be sent, because of the suspension too.
        "quota.refund_message",
        # Looking, paying, and what is none of the org's doing.
        "accounts.get_invitation",
        "billing.list_invoices",
        "billing.open_portal",
        "billing.preview",
        "billing.receive_webhooks",
        "secrets.note_uses",
        "secrets.verify_secret",
    }
)

ROUTES = {
    "POST /v1/accounts": "accounts.register",
    "POST /v1/email-confirmations": "accounts.confirm_email",
    "POST /v1/password-resets": "accounts.request_password_reset",
    "PUT /v1/password-resets": "accounts.reset_password",
    "POST /v1/sessions": "accounts.create_session",
    "DELETE /v1/sessions/current": "accounts.end_current_session",
    "DELETE /v1/sessions/<session_id>": "accounts.end_session",
    "PUT /v1/sessions/current/org": "accounts.switch_org",
    "PATCH /v1/account": "accounts.change_name",
    "PUT /v1/account/password": "accounts.change_password",
    "PUT /v1/account/email": "accounts.request_email_change",
    "PUT /v1/account/picture": "accounts.set_picture",
    "DELETE /v1/account/picture": "accounts.remove_picture",
    "POST /v1/email-undos": "accounts.undo_email_change",
    "POST /v1/account/deletion": "accounts.request_deletion",
    "DELETE /v1/account/deletion": "accounts.withdraw_deletion",
    "POST /v1/deletion-confirmations": "accounts.confirm_deletion",
    "POST /v1/deletion-withdrawals": "accounts.withdraw_deletion_by_link",
    "POST /v1/orgs": "accounts.found_org",
    "PATCH /v1/org": "accounts.change_org",
    "DELETE /v1/org/members/<account_id>": "accounts.remove_member",
    "PUT /v1/org/owner": "accounts.hand_over_org",
    "POST /v1/org/invitations": "accounts.invite",
    "DELETE /v1/org/invitations/<invitation_id>": "accounts.withdraw_invitation",
    "POST /v1/invitation-acceptances": "accounts.accept_invitation",
    "PUT /v1/subscription": "billing.change_plan",
    "DELETE /v1/subscription": "billing.cancel",
    "DELETE /v1/subscription/scheduled-change": "billing.withdraw_change",
    "POST /v1/subscription/preview": "billing.preview",
    "POST /v1/billing-portal": "billing.open_portal",
    "POST /v1/stripe/webhook": "billing.receive_webhooks",
    "POST /v1/secrets": "secrets.create_secret",
    "POST /v1/secrets/<secret_id>/rotation": "secrets.rotate_secret",
    "DELETE /v1/secrets/<secret_id>": "secrets.revoke_secret",
    "POST /v1/secret-leaks": "secrets.report_leaks",
    "POST /v1/bots": "quota.create_bot",
    "PATCH /v1/bots/<bot_id>": "quota.rename_bot",
    "DELETE /v1/bots/<bot_id>": "quota.delete_bot",
    "POST /v1/bots/<bot_id>/pause": "quota.pause_bot",
    "POST /v1/bots/<bot_id>/resume": "quota.resume_bot",
    "POST /v1/messages": "quota.admit_messages",
    "DELETE /v1/messages/<message_id>": "quota.refund_message",
}
"""The door that each route of the HTTP API goes through which may change something, by method and path."""


def is_refused(method: str, rule: str) -> bool:
    """
    Whether a route may answer `org_suspended`.

    :param rule: the path as the route writes it
    """
    return ROUTES.get(f"{method} {rule}") in REFUSED | REFUSED_WITHIN


def on_org_suspended(session: Session, fact: OrgSuspended, envelope: Envelope) -> None:
    suspensions.begin(session, fact.org_id, cause=fact.cause, at=envelope.time)


def on_org_restored(session: Session, fact: OrgRestored, _envelope: Envelope) -> None:
    suspensions.end(session, fact.org_id)


HEARD: dict[type[Any], Callable[..., None]] = {OrgSuspended: on_org_suspended, OrgRestored: on_org_restored}
"""For a worker's `inbox.Hears` of accounts."""
