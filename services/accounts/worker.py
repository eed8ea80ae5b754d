"""What accounts hears, and what it does without a caller: send its mails, and forget what has expired."""

from functools import partial
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from services.accounts import (
    deletions,
    email_changes,
    erasing,
    invitations,
    letters,
    mailing,
    mails,
    models,
    password_resets,
    sessions,
    throttling,
)
from services.accounts.settings import Settings
from services.billing.events import CATALOGUE as BILLING
from services.billing.events import DuplicateSubscriptionEnded
from services.billing.events import ErasureDone as BillingDone
from services.quota.events import CATALOGUE as QUOTA
from services.quota.events import ErasureDone as QuotaDone
from services.quota.events import UsageThresholdReached
from services.secrets.events import CATALOGUE as SECRETS
from services.secrets.events import ErasureDone as SecretsDone
from services.secrets.events import FormerValueEnded, SecretExpiresSoon, SecretRevoked
from shared import clock, database, envelope, inbox, mail, pruning, worker


def work(settings: Settings, home: database.Database) -> worker.Work:
    mailer = mail.Mailer(settings.smtp_url, settings.mail_from)

    def send(job_id: str, payload: dict[str, Any]) -> None:
        said = {"subject": payload["subject"], "text": payload["text"]}
        html = letters.html(**said, action=payload.get("action", ""))  # a release before this one named none
        mailer.send(job_id, to=payload["to"], **said, html=html)

    def mail_reset_link(job_id: str, payload: dict[str, Any]) -> None:
        with home.begin() as session:
            account_id, public_url = payload["account_id"], settings.public_url
            password_resets.mail_link(session, account_id, reset_id=job_id, public_url=public_url)

    url = settings.public_url
    of_quota: dict[type[Any], inbox.Handler] = {
        UsageThresholdReached: partial(on_usage_threshold_reached, url),
        QuotaDone: partial(on_erasure_done, "quota"),
    }
    of_billing: dict[type[Any], inbox.Handler] = {
        DuplicateSubscriptionEnded: partial(on_duplicate_ended, url),
        BillingDone: partial(on_erasure_done, "billing"),
    }
    of_secrets: dict[type[Any], inbox.Handler] = {
        SecretRevoked: partial(on_secret_ended, url),
        FormerValueEnded: partial(on_secret_ended, url),
        SecretExpiresSoon: partial(on_secret_expires_soon, url),
        SecretsDone: partial(on_erasure_done, "secrets"),
    }
    return worker.Work(
        service="accounts",
        hears=[
            inbox.Hears(QUOTA, of_quota),
            inbox.Hears(BILLING, of_billing),
            inbox.Hears(SECRETS, of_secrets),
        ],
        jobs={
            mailing.JOB: send,
            deletions.MAILED_REQUEST_JOB: send,
            password_resets.JOB: mail_reset_link,
        },
        timers=[
            worker.Timer(name="begin erasures", every_seconds=2.0, run=partial(erasing.begin_due, public_url=url)),
            worker.Timer(name="end erasures", every_seconds=60.0, run=erasing.end_due),
            worker.Timer(name="prune accounts", every_seconds=600.0, run=prune),
            pruning.TIMER,
        ],
    )


def on_erasure_done(service: str, session: Session, fact: Any, _envelope: envelope.Envelope) -> None:
    """A service has nothing of an org any more."""
    erasing.report(session, fact.org_id, service)


def on_usage_threshold_reached(
    public_url: str, session: Session, fact: UsageThresholdReached, _envelope: envelope.Envelope
) -> None:
    """Write to the org's owner, unless the org or the month is gone: after a long outage it would be untrue."""
    if fact.period < f"{database.now(session):%Y-%m}":
        return
    _write_to_owner(session, fact.org_id, _usage_mail(fact, public_url))


def on_duplicate_ended(
    public_url: str, session: Session, fact: DuplicateSubscriptionEnded, _envelope: envelope.Envelope
) -> None:
    """Whoever paid twice must not find out by the bank's statement."""
    paid = fact.refunded_cents > 0
    mail = mails.paid_twice(plan=fact.plan, kept=fact.plan_kept, paid=paid, billing_link=f"{public_url}/billing")
    _write_to_owner(session, fact.org_id, mail)


def on_secret_ended(
    public_url: str, session: Session, fact: SecretRevoked | FormerValueEnded, _envelope: envelope.Envelope
) -> None:
    """Of what a person did no mail is needed; of a leak the owner must hear."""
    if fact.reason == "leaked":
        link = _link_to_secret(public_url, fact.secret_id)
        is_former = isinstance(fact, FormerValueEnded)
        _write_to_owner(session, fact.org_id, mails.secret_leaked(is_former=is_former, secrets_link=link))


def on_secret_expires_soon(
    public_url: str, session: Session, fact: SecretExpiresSoon, _envelope: envelope.Envelope
) -> None:
    """To the owner, and to who made it if they are still there; to nobody if it has expired meanwhile."""
    expires_at = clock.parse(fact.expires_at)
    if expires_at <= database.now(session):
        return
    link = _link_to_secret(public_url, fact.secret_id)
    mail = mails.secret_expires(at=f"{expires_at.day} {expires_at:%B %Y, %H:%M} UTC", secrets_link=link)
    _write_to_owner(session, fact.org_id, mail)
    maker = session.get(models.Member, (fact.org_id, fact.made_by))
    if maker is not None and maker.role != "owner":
        _write_to(session, maker.account_id, mail)


def _link_to_secret(public_url: str, secret_id: str) -> str:
    return f"{public_url}/secrets#{secret_id}"


def _write_to_owner(session: Session, org_id: str, mail: mails.Mail) -> None:
    """To nobody if the org is gone."""
    org = session.get(models.Org, org_id)
    if org is not None:
        _write_to(session, org.owner_id, mail)


def _write_to(session: Session, account_id: str, mail: mails.Mail) -> None:
    person = session.get(models.Credential, account_id)
    if person is not None:
        mailing.mail_to(session, person.typed_email, mail, subject=person.account_id)


def _usage_mail(fact: UsageThresholdReached, public_url: str) -> mails.Mail:
    month: Any = {"limit": fact.limit, "period": fact.period, "billing_link": f"{public_url}/billing"}
    if fact.used >= fact.limit:
        return mails.messages_used_up(credits_remaining=fact.credits_remaining, **month)
    return mails.messages_nearly_used(percent=fact.threshold, used=fact.used, **month)


def prune(home: database.Database) -> None:
    """Delete expired registrations and links, ended sessions, and what no longer counts."""
    with home.begin() as session:
        expired = models.Registration.expires_at <= database.now(session)
        session.execute(delete(models.Registration).where(expired))
        password_resets.prune(session)
        deletions.prune(session)
        email_changes.prune(session)
        invitations.prune(session)
        sessions.prune(session)
        throttling.prune(session)
