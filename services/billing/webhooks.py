"""
Stripe's webhooks. One is only a hint that something changed: its id, type and object are stored, once, and the
customer is looked at afterwards. Whoever cannot sign is told nothing but that.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.billing import customers, models, stripe_api
from shared import database, errors, jobs, logs

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


def store(session: Session, webhook: Webhook, *, livemode: bool) -> bool:
    """
    Keep it, and look at its customer afterwards, unless it is known, of a type we do not follow, or not ours.

    :returns: whether it is new
    """
    row = postgresql.insert(models.Webhook).values(
        id=webhook.id,
        type=webhook.type,
        object_id=webhook.object_id,
        customer_id=webhook.customer_id,
        received_at=database.now(session),
    )
    if session.execute(row.on_conflict_do_nothing().returning(models.Webhook.id)).first() is None:
        return False
    if not is_followed(webhook.type) or webhook.livemode != livemode:
        return True
    if webhook.type.startswith(DISPUTE):  # which names no customer, only a charge
        jobs.add_once(session, FOLLOW_DISPUTE, {"dispute_id": webhook.object_id}, subject=webhook.object_id)
        return True
    org_id = customers.org_of(session, webhook.customer_id)
    if org_id:
        kind = FOLLOW_PAYMENTS if webhook.type == REFUND else FOLLOW
        jobs.add_once(session, kind, {"org_id": org_id}, subject=org_id)
    else:
        log.warning("webhook of an unknown customer", webhook=webhook.id, type=webhook.type)
    return True


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
