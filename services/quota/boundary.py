"""
The org's row, quota's consistency boundary: every transaction locks the rows of its orgs first, in order of id.

A `Page` is one org within a transaction: rules give facts, `add` folds them, `write` stores all pages at once.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session
from sqlalchemy.types import ARRAY, Text

from services.quota import activity, credits, ledger, models, projections, tally
from services.quota.events import CATALOGUE, LEDGER, MessageRecorded, PeriodOpened
from shared import bulk, clock, database, errors, events, store, tables


@dataclass
class Page:
    """:param facts: what the rules decided in this transaction, not yet written"""

    month: ledger.Month
    bot_limit: int
    ledger_version: int
    ledger_hash: bytes
    facts: ledger.Facts = field(default_factory=list)

    def add(self, facts: ledger.Facts) -> None:
        self.month = ledger.after(self.month, facts)
        self.facts += facts


def open_page(session: Session, org_id: str) -> Page:
    """
    Lock one org and turn its month if it is time.

    :raises Unavailable: `org_not_ready` until billing has told the org's limits
    """
    page = open_pages(session, [org_id]).get(org_id)
    if page is None:
        raise not_ready()
    return page


def open_pages(session: Session, org_ids: Collection[str], *, skip_locked: bool = False) -> dict[str, Page]:
    """
    Lock the orgs that are known, read the database's clock, and turn each month that is over.

    :param skip_locked: leave out the orgs that somebody holds, instead of waiting for them
    """
    lock = _LOCK_FREE if skip_locked else _LOCK
    return pages_of(session, session.execute(lock, {"org_ids": sorted(org_ids)}).all())


def pages_of(session: Session, locked: Sequence[Any]) -> dict[str, Page]:
    """
    Orgs as whoever locked them read them.

    :param locked: all columns of their rows, and in `locked_at` the database's clock behind each lock
    """
    if not locked:
        return {}
    return _up_to(database.set_now(session, max(row.locked_at for row in locked)), locked)


def known(session: Session, org_ids: Collection[str]) -> set[str]:
    """Which of them quota has heard of, whoever holds their rows."""
    if not org_ids:
        return set()
    return set(session.scalars(select(models.Org.org_id).where(models.Org.org_id.in_(sorted(org_ids)))))


def look(session: Session, org_ids: Collection[str]) -> dict[str, Page]:
    """
    The orgs as they are to be shown: without a lock, and what is over is turned or expired here and nowhere else.
    """
    rows = session.scalars(select(models.Org).where(models.Org.org_id.in_(sorted(org_ids)))).all()
    now = database.set_now(session, session.scalars(text("SELECT clock_timestamp()")).one())
    return _up_to(now, rows)


def _up_to(now: datetime, rows: Iterable[Any]) -> dict[str, Page]:
    pages = {row.org_id: page_of(row) for row in rows}
    for page in pages.values():
        page.add(ledger.turn(page.month, period=period_of(now)))
        page.add(ledger.expire(page.month, at=now))
    return pages


# The clock is read behind each row's lock, which is why these are taken in a part of their own: whoever waited must
# not decide by the time at which it began to wait.
_LOCKED = """
WITH locked AS MATERIALIZED (SELECT * FROM orgs WHERE org_id = ANY (:org_ids) ORDER BY org_id FOR UPDATE {how})
SELECT locked.*, clock_timestamp() AS locked_at FROM locked
"""
_ORG_IDS = bindparam("org_ids", type_=ARRAY(Text))
_LOCK = text(_LOCKED.format(how="")).bindparams(_ORG_IDS)
_LOCK_FREE = text(_LOCKED.format(how="SKIP LOCKED")).bindparams(_ORG_IDS)


def found(session: Session, org_id: str) -> Page:
    """The page of an org that may be heard of for the first time."""
    page = open_pages(session, [org_id]).get(org_id)
    if page is None:
        session.execute(postgresql.insert(models.Org).values(org_id=org_id, **_NEW).on_conflict_do_nothing())
        page = open_page(session, org_id)
    return page


_NEW = {
    "period": "",
    "plan": "",
    "message_limit": 0,
    "bot_limit": 0,
    "max_resets": 0,
    "subscription_version": 0,
    "generation": 0,
    "used": 0,
    "stopped": False,
    "threshold": 0,
    "credits": [],
    "ledger_version": 0,
    "ledger_hash": events.GENESIS,
}


def write(session: Session, pages: Iterable[Page], *, messages: bulk.Rows = (), last: bool = False) -> None:
    """
    Store what was decided: in one round trip, however many orgs, and the rare notices in two more.

    :param messages: those that were admitted; each stands in a ledger of the pages
    :param last: whether the caller writes nothing after it: then COMMIT travels along where there is nothing rare
    """
    changed = [page for page in pages if page.facts]
    if not changed:
        return
    recorded: list[events.Recorded] = []
    facts: list[events.Event] = []
    for page in changed:
        of_ledger = [fact for fact in page.facts if isinstance(fact, LEDGER)]
        recorded += _link_ledger(session, page, of_ledger)
        facts += of_ledger
    added = list(zip(recorded, facts, strict=True))
    notices = _link_notices(session, changed)
    along = [
        bulk.upsert(tables.Stream, _heads([*recorded, *notices])),
        bulk.update(models.Org, [row_of(page) for page in changed]),
        bulk.insert(models.Message, messages),
        tally.days(added),
    ]
    is_plain = not notices and all(isinstance(fact, MessageRecorded) for fact in facts)
    if last and is_plain:
        database.commit_with_next(session)
    store.insert_events(session, [*recorded, *notices], CATALOGUE, along=along)
    if not is_plain:
        tally.months(session, added)
        activity.TRAIL.project(session, [*added, *((event, event.fact(CATALOGUE)) for event in notices)])
    for page in changed:
        page.facts = []


def append_late(session: Session, org_id: str, period: str, facts: ledger.Facts) -> None:
    """Facts about a month that is over, in its ledger. The org's row is locked, and says nothing of that month."""
    stream, kind = ledger_stream(org_id, period), projections.UNFOLDED_LEDGER
    store.append(session, store.head(session, stream, kind), kind, facts)


def period_of(moment: datetime) -> str:
    """The calendar month in UTC, in whatever zone the moment is written."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def ledger_stream(org_id: str, period: str) -> str:
    return f"ledger-{org_id}-{period}"


def notice_stream(org_id: str) -> str:
    return f"quota-{org_id}"


def not_ready() -> errors.Unavailable:
    return errors.Unavailable("org_not_ready", "This organization is being set up; try again in a moment.")


def page_of(row: Any) -> Page:
    month = ledger.Month(
        org_id=row.org_id,
        period=row.period,
        plan=row.plan,
        limit=row.message_limit,
        max_resets=row.max_resets,
        subscription_version=row.subscription_version,
        generation=row.generation,
        used=row.used,
        stopped=row.stopped,
        threshold=row.threshold,
        credits=tuple(_credit(credit) for credit in row.credits),
    )
    return Page(month, row.bot_limit, row.ledger_version, bytes(row.ledger_hash))  # which psycopg2 gives as a view


def _credit(kept: dict[str, Any]) -> credits.Credit:
    moments = {name: clock.parse(kept[name]) for name in ("granted_at", "expires_at")}
    return credits.Credit(**{**kept, **moments})


def _kept(credit: credits.Credit) -> dict[str, Any]:
    moments = {name: clock.rfc3339(getattr(credit, name)) for name in ("granted_at", "expires_at")}
    return {**vars(credit), **moments}


def _link_ledger(session: Session, page: Page, facts: Sequence[events.Event]) -> list[events.Recorded]:
    """The page's ledger facts as links; a new month begins a new stream."""
    links: list[events.Recorded] = []
    for period, of_month in _by_month(page.month.period, facts):
        if isinstance(of_month[0], PeriodOpened):
            page.ledger_version, page.ledger_hash = 0, events.GENESIS
        stream = ledger_stream(page.month.org_id, period)
        links += store.link(session, stream, page.ledger_version, page.ledger_hash, of_month)
        page.ledger_version, page.ledger_hash = links[-1].version, links[-1].hash
    return links


def _by_month(period: str, facts: Sequence[events.Event]) -> list[tuple[str, Sequence[events.Event]]]:
    """
    The facts of each month in turn. A month's first is that it was opened, and a turn is always the first fact of its
    transaction, so whatever comes before none belongs to the month that was open.
    """
    openings = [index for index, fact in enumerate(facts) if isinstance(fact, PeriodOpened)]
    if not openings:
        return [(period, facts)] if facts else []
    ends = [*openings[1:], len(facts)]
    return [
        (opened.period, facts[first:end])
        for first, end in zip(openings, ends, strict=True)
        if isinstance(opened := facts[first], PeriodOpened)
    ]


def _link_notices(session: Session, pages: Iterable[Page]) -> list[events.Recorded]:
    """
    What the others are told, as links of a stream per org, to which nobody appends but behind the lock of its row.

    :raises NotFound, Archived: as `store.heads`
    """
    told = {notice_stream(page.month.org_id): _notices(page) for page in pages if _notices(page)}
    heads = store.heads(session, told) if told else {}
    return [link for stream, facts in told.items() for link in store.link(session, stream, *heads[stream], facts)]


def _notices(page: Page) -> ledger.Facts:
    return [fact for fact in page.facts if not isinstance(fact, LEDGER)]


def _heads(recorded: Sequence[events.Recorded]) -> bulk.Rows:
    last = {event.stream: event for event in recorded}
    return [{"stream": stream, "version": event.version, "hash": event.hash} for stream, event in last.items()]


def row_of(page: Page) -> dict[str, object]:
    return {
        "org_id": page.month.org_id,
        "period": page.month.period,
        "plan": page.month.plan,
        "message_limit": page.month.limit,
        "bot_limit": page.bot_limit,
        "max_resets": page.month.max_resets,
        "subscription_version": page.month.subscription_version,
        "generation": page.month.generation,
        "used": page.month.used,
        "stopped": page.month.stopped,
        "threshold": page.month.threshold,
        "credits": [_kept(credit) for credit in page.month.credits],
        "ledger_version": page.ledger_version,
        "ledger_hash": page.ledger_hash,
    }
