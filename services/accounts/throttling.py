"""
How often somebody may try what can be guessed, or have mails sent: counted in the database, so for all processes.

Each rule counts by the subject (an address, known or not, or an account), by the client's address, and for all
together. Of addresses only an HMAC is kept, and that for as long as it counts.

Whoever guesses at an address from elsewhere cannot keep its owner out: a client from which somebody has signed in
within 30 days is counted by itself, and so is one that has set a new password with a mailed link.
"""

import hashlib
import hmac
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from services.accounts import models
from shared import context, database, doors, errors

FAMILIAR_LIFE = timedelta(days=30)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """
    :param window: from the first that is counted until all are forgotten
    :param per_subject: how many are let through then; `per_client` and `in_all` likewise. None: uncounted
    :param failures: the codes of the refusals that count; empty: what was done counts, and no refusal does
    """

    name: str
    window: timedelta
    per_subject: int | None
    per_client: int
    in_all: int
    failures: frozenset[str] = frozenset()

    def counts(self, outcome: BaseException | None) -> bool:
        """What ended in a bug counts too: it was tried."""
        if isinstance(outcome, errors.Unavailable):
            return False
        if isinstance(outcome, errors.ServiceError):
            return outcome.code in self.failures
        return outcome is not None or not self.failures


FIVE_MINUTES, HOUR = timedelta(minutes=5), timedelta(hours=1)

SIGN_IN = Rule(
    name="sign_in",
    window=FIVE_MINUTES,
    per_subject=10,
    per_client=10,
    in_all=1000,
    failures=frozenset({"wrong_credentials"}),
)
PASSWORD = Rule(  # of whoever is signed in, and says it once more
    name="password",
    window=FIVE_MINUTES,
    per_subject=10,
    per_client=10,
    in_all=1000,
    failures=frozenset({"wrong_password"}),
)
TOKEN = Rule(  # nobody guesses one; this bounds the work
    name="token",
    window=FIVE_MINUTES,
    per_subject=None,
    per_client=30,
    in_all=1000,
    failures=frozenset({"invalid_token", "invalid_invitation"}),
)
REGISTRATION = Rule(name="registration", window=HOUR, per_subject=5, per_client=20, in_all=1000)
RESET = Rule(name="reset", window=HOUR, per_subject=10, per_client=20, in_all=1000)
EMAIL_CHANGE = Rule(name="email_change", window=HOUR, per_subject=5, per_client=20, in_all=1000)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    key: bytes
    most: int


@contextmanager
def bounded(house: doors.House, rule: Rule, *subjects: str) -> Iterator[None]:
    """
    Count what happens in the block, before it happens: of many at once no more are let through than of one by one.
    It is given back if in the end it was none that counts.

    :raises LimitReached: `rate_limited`, with `retry_after_seconds`
    """
    deadline = context.current().deadline
    with house.database.begin(durable=False, deadline=deadline) as session:
        ends = _take(session, _buckets(session, house, rule, subjects), rule.window)
    try:
        yield
    except BaseException as outcome:
        if not rule.counts(outcome):
            _give_back(house, ends)
        raise
    if not rule.counts(None):
        _give_back(house, ends)


def _take(session: Session, buckets: Sequence[Bucket], window: timedelta) -> dict[bytes, datetime]:
    """
    Count one in each bucket, or, where one is full, in none: then the transaction must not be committed.

    One statement, whose condition is judged on each row as it is once nobody else holds it.

    :returns: when each bucket's window ends, by its key
    :raises LimitReached: `rate_limited`
    """
    now = database.now(session)
    ordered = sorted(buckets, key=lambda bucket: bucket.key)  # the rows are locked in this order
    rows = [{"key": bucket.key, "taken": 1, "most": bucket.most, "ends_at": now + window} for bucket in ordered]
    fresh = postgresql.insert(models.Throttle).values(rows)
    is_over = models.Throttle.ends_at <= now
    counted = fresh.on_conflict_do_update(
        index_elements=["key"],
        set_={
            "taken": case((is_over, 1), else_=models.Throttle.taken + 1),
            "ends_at": case((is_over, fresh.excluded.ends_at), else_=models.Throttle.ends_at),
        },
        where=is_over | (models.Throttle.taken < fresh.excluded.most),
    ).returning(models.Throttle.key, models.Throttle.ends_at)
    ends = {row.key: row.ends_at for row in session.execute(counted)}
    full = [bucket.key for bucket in ordered if bucket.key not in ends]
    if full:
        raise _limited(session, full, now)
    return ends


def _give_back(house: doors.House, ends: dict[bytes, datetime]) -> None:
    """
    It was none that counts. What has begun anew meanwhile does not know it; and where the database is away now, what
    was done stays done.
    """
    ours = select(models.Throttle).where(models.Throttle.key.in_(ends)).order_by(models.Throttle.key)
    with suppress(*database.TRANSIENT), house.database.begin(durable=False) as session:
        for row in session.scalars(ours.with_for_update()):
            if row.ends_at == ends[row.key]:
                row.taken -= 1


def make_familiar(session: Session, house: doors.House, subject: str) -> None:
    """From this client the subject has shown who they are: others' failures no longer count against them here."""
    client = context.current().client
    if not client:
        return
    ends_at = database.now(session) + FAMILIAR_LIFE
    key = _key(house, "familiar", subject, client)
    fresh = postgresql.insert(models.Familiar).values(key=key, ends_at=ends_at)
    session.execute(fresh.on_conflict_do_update(index_elements=["key"], set_={"ends_at": ends_at}))


def prune(session: Session) -> None:
    now = database.now(session)
    for table in (models.Throttle, models.Familiar):
        session.execute(delete(table).where(table.ends_at <= now))


def _buckets(session: Session, house: doors.House, rule: Rule, subjects: Sequence[str]) -> list[Bucket]:
    client, factor = context.current().client, house.settings.client_limit_factor
    buckets = [Bucket(key=_key(house, rule.name, "all"), most=rule.in_all * factor)]
    if client:
        buckets.append(Bucket(key=_key(house, rule.name, "client", client), most=rule.per_client * factor))
    if rule.per_subject is not None:
        for subject in subjects:
            own = [client] if _is_familiar(session, house, subject, client) else []
            key = _key(house, rule.name, "subject", subject, *own)
            buckets.append(Bucket(key=key, most=rule.per_subject))
    return buckets


def _is_familiar(session: Session, house: doors.House, subject: str, client: str) -> bool:
    row = session.get(models.Familiar, _key(house, "familiar", subject, client))
    return row is not None and row.ends_at > database.now(session)


def _key(house: doors.House, *parts: str) -> bytes:
    """Keyed, because all addresses of IPv4 are soon tried."""
    typed = "\0".join(("throttle", *parts)).encode(errors="surrogatepass")
    return hmac.digest(house.fingerprint_key, typed, hashlib.sha256)


def _limited(session: Session, full: Sequence[bytes], now: datetime) -> errors.LimitReached:
    """Which of the buckets is full is not said."""
    ends_at = session.scalars(select(func.max(models.Throttle.ends_at)).where(models.Throttle.key.in_(full))).one()
    seconds = max(1, math.ceil((ends_at - now).total_seconds()))
    return errors.LimitReached(
        "rate_limited", "This was tried too often; wait, and try again.", {"retry_after_seconds": seconds}
    )
