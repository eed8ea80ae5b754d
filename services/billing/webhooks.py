"""
Stripe's webhooks. One is only a hint that something changed: its id, type and object are stored, once, and the
customer is looked at afterwards. Whoever cannot sign is told nothing but that.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.billing import customers, models, stripe_api
from shared import database, errors, jobs, logs, personal

MOST = 64  # at once
TOLERANCE_SECONDS = 300
KEPT = timedelta(days=30)
LONGEST_SIGNATURE = 4096  # each signature in it costs an HMAC over the body
FOLLOWED = ("customer.subscription.", "customer.deleted", "checkout.session.", "invoice.")
REFUND, DISPUTE = "charge.refunded", "charge.dispute."
FOLLOW, FOLLOW_PAYMENTS, FOLLOW_DISPUTE = "billing.follow", "billing.follow_payments", "billing.follow_dispute"
_WORD = re.compile(r"[A-Za-z0-9_.]{1,255}\Z")
log = logs.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """:param customer_id: empty if it is about no customer"""

    id: str
    type: str
    object_id: str
    customer_id: str
    livemode: bool


def read(payload: str, signature: str, *, secrets: tuple[str, ...], now_seconds: float) -> Webhook:
    """
    :param payload: the raw body in base64
    :param now_seconds: the machine's time, since Stripe signs by the real clock
    :raises Invalid: `invalid_webhook`, whatever is wrong with it
    """
    try:
        body = base64.b64decode(payload, validate=True).decode()
        if len(signature) > LONGEST_SIGNATURE:
            raise ValueError("the signature is too long")
        signed_at = stripe_api.check_signature(body, signature, secrets)
        if abs(now_seconds - signed_at) > TOLERANCE_SECONDS:
            raise ValueError("it was signed too long ago, or in the future")
        return hint(json.loads(body))
    except (ValueError, RecursionError, binascii.Error) as error:
        log.warning("webhook refused", reason=type(error).__name__, bytes=len(payload))
        raise errors.Invalid(
            "invalid_webhook", "This is no webhook that Stripe has signed for us just now."
        ) from None


def judge(item: Mapping[str, str], secrets: tuple[str, ...], now_seconds: float) -> Webhook | errors.Invalid:
    """The same for one of many, whose refusal is not the others'."""
    try:
        return read(item["payload"], item["signature"], secrets=secrets, now_seconds=now_seconds)
    except errors.Invalid as refusal:
        return refusal


def hint(document: Any) -> Webhook:
    """
    What we keep of an event of Stripe's.

    :raises ValueError: if something is missing or of another type
    """
    try:
        about = document["data"]["object"]
        customer = about.get("id") if about.get("object") == "customer" else about.get("customer")
        livemode = document["livemode"]
        return Webhook(
            id=_word(document["id"]),
            type=_word(document["type"]),
            object_id=_word(about["id"]) if about.get("id") else "",
            customer_id=_word(customer) if customer else "",
            livemode=livemode if isinstance(livemode, bool) else _wrong(),
        )
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not a webhook's shape") from None


def store(session: Session, webhooks: Sequence[Webhook], *, livemode: bool) -> int:
    """
    Keep them, and look at their customers afterwards: of those that are new, of a type we follow, and ours. Of a
    customer that was erased nothing is kept.

    :returns: how many are new
    """
    gone = personal.erased_while_kept(session, {webhook.customer_id for webhook in webhooks} - {""})
    new = _kept(session, {webhook.id: webhook for webhook in webhooks if webhook.customer_id not in gone})
    followed = [webhook for webhook in new if is_followed(webhook.type) and webhook.livemode == livemode]
    if followed:
        orgs = customers.orgs_of(session, {webhook.customer_id for webhook in followed})
        jobs.add_once(session, _looks(followed, orgs))
    return len(new)


def _kept(session: Session, webhooks: dict[str, Webhook]) -> list[Webhook]:
    """Those that were not known. In the order of their ids, so that two who store the same do not hold each other."""
    now = database.now(session)
    rows = [
        {
            "id": webhook.id,
            "type": webhook.type,
            "object_id": webhook.object_id,
            "customer_id": webhook.customer_id,
            "received_at": now,
        }
        for _, webhook in sorted(webhooks.items())
    ]
    if not rows:
        return []
    table: Any = models.Webhook.__table__
    # The rows apart from the statement, which is not compiled anew then.
    insert = postgresql.insert(table).on_conflict_do_nothing().returning(table.columns.id)
    return [webhooks[id] for id in session.connection().execute(insert, rows).scalars()]


def _looks(followed: Sequence[Webhook], orgs: Mapping[str, str]) -> list[jobs.Wanted]:
    """What is to be looked at; several may be about the same."""
    looks = []
    for webhook in followed:
        if webhook.type.startswith(DISPUTE):  # which names no customer, only a charge
            looks.append(jobs.Wanted(FOLLOW_DISPUTE, webhook.object_id, "dispute_id"))
        elif org_id := orgs.get(webhook.customer_id):
            kind = FOLLOW_PAYMENTS if webhook.type == REFUND else FOLLOW
            looks.append(jobs.Wanted(kind, org_id, "org_id"))
        else:
            log.warning("webhook of an unknown customer", webhook=webhook.id, type=webhook.type)
    return looks


def is_followed(type: str) -> bool:
    return type == REFUND or type.startswith((*FOLLOWED, DISPUTE))


def forget_old(home: database.Database) -> None:
    """Stripe repeats a webhook for three days, and a person at its dashboard for a month."""
    with home.begin() as session:
        old = models.Webhook.received_at <= database.now(session) - KEPT
        session.execute(delete(models.Webhook).where(old))


def _word(value: Any) -> str:
    return value if isinstance(value, str) and _WORD.match(value) else _wrong()


def _wrong() -> Any:
    raise ValueError("not a webhook's shape")
