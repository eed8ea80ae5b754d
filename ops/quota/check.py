"""
`chatness quota check`: every month folded from its events, and compared with what is stored, row by row.

Each org is looked at in one snapshot, its row and its events together, so that it may be done beside a live service.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select, text

from ops import exits, reach
from ops.quota import ledgers, looking, repair
from services.quota import models
from shared import database

ORGS_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class Order:
    """
    :param org_id: empty for all
    :param mend: set rows of `orgs` that differ to what the events say
    :param execute: without it, only say what would be mended
    """

    org_id: str = ""
    mend: bool = False
    execute: bool = False
    actor: str = ""
    reason: str = ""


def run(order: Order, *, as_json: bool) -> int:
    """
    Gives 1 if something differs that was not mended.

    :raises NotThere: for an org that quota never heard of, or that was erased
    """
    tally, mended = looking.Tally(), 0
    with reach.needing_databases():
        home = reach.open_database("quota")
        for org_id in _orgs(home, order.org_id):
            mended += _check(home, org_id, order, tally, as_json)
    differing = tally.differences.total()
    if order.mend and not order.execute and differing:
        click.echo(exits.NO_CHANGE, err=True)
    _say_end(tally, mended, as_json)
    return exits.OK if mended == differing else exits.FAILED


def _check(home: database.Database, org_id: str, order: Order, tally: looking.Tally, as_json: bool) -> int:
    """Gives how many of the differences are mended now."""
    rows = 0
    with ledgers.snapshot(home) as session:
        for found in looking.look(session, org_id, tally):
            tally.differences[found.table] += 1
            rows += found.table == "orgs"
            click.echo(json.dumps(found.document, default=str) if as_json else found.line)
    if not (rows and order.mend and order.execute):
        return 0
    try:
        columns = repair.mend(home, org_id, actor=order.actor, reason=order.reason)
    except repair.CannotMend as error:
        click.echo(f"{org_id}: not mended: {error}", err=True)
        return 0
    click.echo(f"{org_id}: orgs {org_id}: mended: {', '.join(columns) or 'nothing was left to mend'}", err=True)
    return rows


def _orgs(home: database.Database, org_id: str) -> Iterator[str]:
    if org_id:
        with ledgers.snapshot(home) as session:
            ledgers.known_streams(session, org_id)
        yield org_id
        return
    with home.begin() as session:
        number = session.scalars(select(func.count()).select_from(models.Org)).one()
    with _progress(number) as advance:
        for one in _all_orgs(home):
            yield one
            advance()


def _all_orgs(home: database.Database) -> Iterator[str]:
    """Those with a row in order of id, a few at a time; then those of which only events are left."""
    after = ""
    while True:
        wanted = select(models.Org.org_id).where(models.Org.org_id > after).order_by(models.Org.org_id)
        with home.begin() as session:
            ids = session.scalars(wanted.limit(ORGS_AT_ONCE)).all()
        yield from ids
        if len(ids) < ORGS_AT_ONCE:
            break
        after = ids[-1]
    with home.begin() as session:
        yield from session.scalars(_WITHOUT_ROW).all()


_WITHOUT_ROW = text("""
SELECT DISTINCT split_part(stream, '-', 2) FROM streams
WHERE starts_with(stream, 'ledger-') AND erased_at IS NULL
AND NOT EXISTS (SELECT FROM orgs WHERE org_id = split_part(stream, '-', 2)) ORDER BY 1
""")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """A bar on a person's terminal, and nothing anywhere else."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("orgs", total=total)
        yield lambda: progress.advance(task)


def _say_end(tally: looking.Tally, mended: int, as_json: bool) -> None:
    differing = tally.differences.total()
    if as_json:
        click.echo(json.dumps({**vars(tally), "differences": differing, "mended": mended}))
        return
    looked = ", ".join(
        [_counted(tally.orgs, "org"), _counted(tally.months, "month"), _counted(tally.events, "event")]
    )
    left_out = ", ".join(
        _counted(number, what)
        for number, what in ((tally.archived, "archived month"), (tally.erased, "erased org"))
        if number
    )
    verdict = "all as the events say" if not differing else f"{differing} differ, {mended} of them mended"
    click.echo(f"{looked}{f' (and {left_out}, not looked at)' if left_out else ''}: {verdict}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
