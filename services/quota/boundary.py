"""
The org's row, quota's consistency boundary: every transaction locks the rows of its orgs first, in order of id.

A `Page` is one org within a transaction: rules give facts, `add` folds them, `write` stores all pages at once.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session
from sqlalchemy.types import ARRAY, BigInteger, Boolean, LargeBinary, Text

from services.quota import ledger, models
from services.quota.events import CATALOGUE, LEDGER, PeriodOpened
from shared import bulk, database, errors, events, store

UNFOLDED: store.Aggregate[None] = store.Aggregate(
    catalogue=CATALOGUE, initial=None, evolve=lambda state, _fact: state
)


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


def open_pages(session: Session, org_ids: Collection[str]) -> dict[str, Page]:
    """Lock the orgs that are known, read the database's clock, and turn each month that is over."""
    wanted = select(models.Org).where(models.Org.org_id.in_(sorted(org_ids))).order_by(models.Org.org_id)
    rows = session.scalars(wanted.with_for_update(), execution_options={"populate_existing": True}).all()
    # Only now: whoever waited for the lock must not decide by the time at which it began to wait.
    now = database.set_now(session, session.scalars(text("SELECT clock_timestamp()")).one())
    pages = {row.org_id: page_of(row) for row in rows}
    for page in pages.values():
        page.add(ledger.turn(page.month, period=period_of(now)))
    return pages


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
    "ledger_version": 0,
    "ledger_hash": events.GENESIS,
}


def write(session: Session, pages: Iterable[Page]) -> None:
    """Store what was decided: all ledgers in three statements, however many orgs, and the rare notices one by one."""
    changed = [page for page in pages if page.facts]
    recorded = [event for page in changed for event in _link_ledger(session, page)]
    if recorded:
        store.insert_events(session, recorded, CATALOGUE)
        _move_streams(session, recorded)
    for page in changed:
        notices = [fact for fact in page.facts if not isinstance(fact, LEDGER)]
        if notices:
            _append(session, notice_stream(page.month.org_id), notices)
        page.facts = []
    if changed:
        save(session, changed)


def append_late(session: Session, org_id: str, period: str, facts: ledger.Facts) -> None:
    """Facts about a month that is over, in its ledger. The org's row is locked, and says nothing of that month."""
    _append(session, ledger_stream(org_id, period), facts)


def _append(session: Session, stream: str, facts: ledger.Facts) -> None:
    store.append(session, store.head(session, stream, UNFOLDED), UNFOLDED, facts)


def insert_messages(session: Session, messages: list[dict[str, object]]) -> None:
    bulk.insert(session, models.Message, messages)


def period_of(moment: datetime) -> str:
    """The calendar month in UTC, in whatever zone the moment is written."""
    return f"{moment.astimezone(UTC):%Y-%m}"


def ledger_stream(org_id: str, period: str) -> str:
    return f"ledger-{org_id}-{period}"


def notice_stream(org_id: str) -> str:
    return f"quota-{org_id}"


def not_ready() -> errors.Unavailable:
    return errors.Unavailable("org_not_ready", "This org is being set up; try again in a moment.")


def page_of(row: models.Org) -> Page:
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
    )
    return Page(month, row.bot_limit, row.ledger_version, row.ledger_hash)


def _link_ledger(session: Session, page: Page) -> list[events.Recorded]:
    """The page's ledger facts as links; a new month begins a new stream."""
    links: list[events.Recorded] = []
    facts = [fact for fact in page.facts if isinstance(fact, LEDGER)]
    period = _period_before(page, facts)
    for fact in facts:
        if isinstance(fact, PeriodOpened):
            period, page.ledger_version, page.ledger_hash = fact.period, 0, events.GENESIS
        stream = ledger_stream(page.month.org_id, period)
        (link,) = store.link(session, stream, page.ledger_version, page.ledger_hash, [fact])
        page.ledger_version, page.ledger_hash = link.version, link.hash
        links.append(link)
    return links


def _period_before(page: Page, facts: Sequence[events.Event]) -> str:
    """A turn is always the first fact of its transaction, so whatever comes before none belongs to this month."""
    return "" if facts and isinstance(facts[0], PeriodOpened) else page.month.period


_MOVE_STREAMS = text("""
INSERT INTO streams (stream, version, hash)
SELECT * FROM unnest(:streams, :versions, :hashes)
ON CONFLICT (stream) DO UPDATE SET version = excluded.version, hash = excluded.hash
""").bindparams(
    bindparam("streams", type_=ARRAY(Text)),
    bindparam("versions", type_=ARRAY(BigInteger)),
    bindparam("hashes", type_=ARRAY(LargeBinary)),
)


def _move_streams(session: Session, recorded: list[events.Recorded]) -> None:
    heads = {event.stream: event for event in recorded}
    session.execute(
        _MOVE_STREAMS,
        {
            "streams": list(heads),
            "versions": [event.version for event in heads.values()],
            "hashes": [event.hash for event in heads.values()],
        },
    )


_COLUMNS = {
    "org_id": Text,
    "period": Text,
    "plan": Text,
    "message_limit": BigInteger,
    "bot_limit": BigInteger,
    "max_resets": BigInteger,
    "subscription_version": BigInteger,
    "generation": BigInteger,
    "used": BigInteger,
    "stopped": Boolean,
    "ledger_version": BigInteger,
    "ledger_hash": LargeBinary,
}
_SAVE = text(
    f"UPDATE orgs SET {', '.join(f'{name} = fresh.{name}' for name in _COLUMNS if name != 'org_id')}"
    f" FROM unnest({', '.join(f':{name}' for name in _COLUMNS)}) AS fresh ({', '.join(_COLUMNS)})"
    " WHERE orgs.org_id = fresh.org_id"
).bindparams(*(bindparam(name, type_=ARRAY(kind)) for name, kind in _COLUMNS.items()))


def save(session: Session, pages: list[Page]) -> None:
    rows = [
        {
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
            "ledger_version": page.ledger_version,
            "ledger_hash": page.ledger_hash,
        }
        for page in pages
    ]
    session.execute(_SAVE, {name: [row[name] for row in rows] for name in _COLUMNS})
