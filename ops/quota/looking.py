"""One org at one moment: all its months folded from their events, and each row that is not what they say."""

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from ops.quota import ledgers, messages
from ops.quota.differences import Difference
from services.quota import boundary, ledger, memory
from services.quota.events import PeriodOpened, UsageReset
from shared import events, tables


@dataclass
class Tally:
    """How much was looked at, and how many differences there were, by table."""

    orgs: int = 0
    months: int = 0
    archived: int = 0
    erased: int = 0
    events: int = 0
    differences: Counter[str] = field(default_factory=Counter)


def look(session: Session, org_id: str, tally: Tally) -> Iterator[Difference]:
    """
    :param session: of a transaction that sees one moment
    :raises Refused: where this release cannot read an event
    """
    streams = ledgers.streams_of(session, org_id)
    tally.orgs += 1
    if ledgers.is_erased(session, org_id, streams):
        tally.erased += 1
        return
    page = boundary.Page(ledger.Month(org_id=org_id), 0, 0, events.GENESIS)
    for period, head in streams.items():
        if head.archived_at is None:
            page = yield from _month(session, org_id, period, head, tally)
        else:
            tally.archived += 1
    yield from messages.of_no_month(session, org_id, streams)
    yield from _row(session, org_id, page)


def remembered_from(session: Session) -> str:
    """The first month whose message ids must still be known."""
    return boundary.period_of(memory.oldest_kept(session))


def _month(
    session: Session, org_id: str, period: str, head: tables.Stream, tally: Tally
) -> Generator[Difference, None, boundary.Page]:
    tally.months += 1
    walk, steps = ledgers.month(session, org_id, period, ledgers.recorded(session, head.stream))
    kept = period >= remembered_from(session)
    compared = messages.Comparison(session=session, org_id=org_id, period=period, kept=kept)
    for step in steps:
        tally.events += 1
        yield from _event(org_id, period, step)
        yield from compared.take(step)
    yield from compared.rest()
    version, hash = walk.head(head.stream)
    for column, stored, folded in (("version", head.version, version), ("hash", head.hash.hex(), hash.hex())):
        if stored != folded:
            yield Difference(
                org_id=org_id, table="streams", key=head.stream, column=column, stored=stored, folded=folded
            )
    return boundary.Page(walk.month, 0, version, hash)


def _event(org_id: str, period: str, step: ledgers.Step) -> Iterator[Difference]:
    """What an event says that those before it do not bear out."""
    event, fact = step.event, step.fact
    pairs: list[tuple[str, object, object]] = []
    if not step.whole:
        pairs.append(("hash", event.hash.hex(), "another"))
    if isinstance(fact, UsageReset) and fact.used_before != step.before.used:
        pairs.append(("used_before", fact.used_before, step.before.used))
    if isinstance(fact, PeriodOpened) != (step.is_ledger and event.version == 1):
        pairs.append(("name", event.name, "each month opens once, at its beginning"))
    elif isinstance(fact, PeriodOpened) and fact.period != period:
        pairs.append(("period", fact.period, period))
    for column, stored, folded in pairs:
        key = f"{event.stream}@{event.version}"
        yield Difference(org_id=org_id, table="events", key=key, column=column, stored=stored, folded=folded)


def _row(session: Session, org_id: str, page: boundary.Page) -> Iterator[Difference]:
    row = ledgers.org_row(session, org_id)
    if row is None:
        period = page.month.period
        yield Difference(
            org_id=org_id, table="orgs", key=org_id, column="", stored=messages.NO_ROW, folded=f"a row at {period}"
        )
        return
    for column, (stored, folded) in ledgers.differing(boundary.page_of(row), page).items():
        yield Difference(org_id=org_id, table="orgs", key=org_id, column=column, stored=stored, folded=folded)
