"""
`chatness quota archive`: old months in compressed files instead of the table, proven before anything is dropped.

A month is archived when it is over and its message ids are no longer remembered: nothing is added to it any more.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from ops import exits, reach
from ops.quota import forgetting, ledgers, looking
from services.quota import models
from shared import archiving, database, failpoints, tables

STREAMS_AT_ONCE = 500
ERASED = "its org was erased: chatness quota archive forget"


@dataclass(frozen=True, kw_only=True)
class Month:
    """:param stays: why it may not be archived; empty if it may"""

    org_id: str
    period: str
    head: archiving.Head
    stays: str = ""

    @property
    def file(self) -> str:
        return file_of(self.org_id, self.period)


def file_of(org_id: str, period: str) -> str:
    return f"{org_id}-{period}.jsonl.gz"


def archive(folder: Path, *, before: str, execute: bool, actor: str, as_json: bool) -> int:
    """
    Each month by itself: what was done stays done, wherever this is stopped. Gives 1 if one could not be archived.

    :raises Refused: for months whose message ids must still be known
    :raises NotThere: if there is no such folder
    """
    _need(folder)
    code, found = exits.OK, False
    with reach.needing_databases():
        home = reach.open_database("quota")
        with home.begin() as session:
            latest = looking.remembered_from(session)
        if before > latest:
            raise exits.Refused(f"message ids are remembered from {latest} on: --before can be {latest} at most")
        for month in _months(home, before):
            found = True
            done = _archive_one(home, month, folder, execute=execute, actor=actor)
            _say(month, done, as_json)
            code = exits.FAILED if "failed" in done else code
    if not found:
        click.echo(f"the table has no month before {before}", err=True)
    elif not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return code


def verify(folder: Path, *, as_json: bool) -> int:
    """Gives 1 unless each archived month's file is there and is the whole of its stream, and no other file is."""
    _need(folder)
    left = {path.name for path in folder.glob("*.jsonl.gz")}
    faulty = found = False
    with reach.needing_databases():
        home = reach.open_database("quota")
        for kept, head in _kept(home):
            found = True
            left.discard(kept.file)
            fault = _fault(folder / kept.file, kept, head)
            faulty = faulty or bool(fault)
            _say_file(kept.file, fault or f"{head.version} events, whole", bool(fault), as_json)
        with home.begin() as session:
            erased = forgetting.erased_among(session, iter(left))
    for name in sorted(left):
        words = ERASED if name in erased else "of no archived month: it was restored, or archiving was stopped"
        _say_file(name, words, name in erased, as_json)
    faulty = faulty or bool(erased)
    if not (found or left):
        click.echo(f"no month is archived, and no file of one is in {folder}", err=True)
    return exits.FAILED if faulty else exits.OK


def restore(folder: Path, org_id: str, period: str, *, execute: bool, as_json: bool) -> int:
    """
    :raises NotThere: for an org or month that there is not
    :raises Refused: if it is not archived, or its file does not fit
    """
    with reach.needing_databases():
        home = reach.open_database("quota")
        head, path = _found_archived(home, folder, org_id, period)
        try:
            if execute:
                with home.begin() as session:
                    archiving.restore(session, head, path)
            else:
                archiving.prove(path, head)
        except archiving.Unfit as error:
            raise exits.Refused(f"nothing was restored: {error}") from error
    done = {"restored" if execute else "would restore": head.version}
    _say(Month(org_id=org_id, period=period, head=head), done, as_json)
    if not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return exits.OK


def _found_archived(home: database.Database, folder: Path, org_id: str, period: str) -> tuple[archiving.Head, Path]:
    with home.begin() as session:
        streams = ledgers.known_streams(session, org_id)
        row = ledgers.one_of(streams, org_id, period)
        if row.archived_at is None:
            raise exits.Refused(f"{row.stream} is not archived")
        return archiving.head_of(row), folder / ledgers.archived(session, row).file


def _archive_one(home: database.Database, month: Month, folder: Path, *, execute: bool, actor: str) -> dict[str, Any]:
    if month.stays:
        return {"left": month.stays}
    if not execute:
        return {"would archive": month.head.version}
    path = folder / month.file
    try:
        if not _is_written(path, month.head):
            with ledgers.snapshot(home) as session:
                archiving.write(session, month.head, path)
            archiving.prove(path, month.head)
        failpoints.reach("archive.written")
        with home.begin() as session:
            return {"archived": archiving.drop(session, month.head, path, actor=actor)}
    except (archiving.Unfit, OSError) as error:
        return {"failed": f"nothing was dropped: {error}"}
    except IntegrityError as error:
        return {"failed": f"nothing was dropped: {str(error.orig).splitlines()[0]}"}


def _is_written(path: Path, head: archiving.Head) -> bool:
    """By a former try, that was stopped before the events were dropped."""
    try:
        archiving.prove(path, head)
    except archiving.Unfit:
        return False
    return True


def _months(home: database.Database, before: str) -> Iterator[Month]:
    """In order of their streams, a few at a time."""
    period = func.right(tables.Stream.stream, 7)
    org_id = func.split_part(tables.Stream.stream, "-", 2)
    wanted = (
        select(tables.Stream, org_id, period, models.Org.period)
        .outerjoin(models.Org, models.Org.org_id == org_id)
        .where(func.starts_with(tables.Stream.stream, "ledger-"), period < before)
        .where(tables.Stream.erased_at.is_(None), tables.Stream.archived_at.is_(None))
        .order_by(tables.Stream.stream)
        .limit(STREAMS_AT_ONCE)
    )
    after = ""
    while True:
        with home.begin() as session:
            found = session.execute(wanted.where(tables.Stream.stream > after)).all()
        for row, org, month, open_month in found:
            head = archiving.head_of(row)
            yield Month(org_id=org, period=month, head=head, stays=_why_it_stays(month, open_month))
        if len(found) < STREAMS_AT_ONCE:
            return
        after = found[-1][0].stream


def _why_it_stays(month: str, open_month: str | None) -> str:
    if open_month is None:
        return "its org has no row: chatness quota check"
    return "it is the org's open month still: nobody has sent a message since" if month >= open_month else ""


def _kept(home: database.Database) -> Iterator[tuple[tables.Archive, tables.Stream]]:
    wanted = select(tables.Archive, tables.Stream).join(tables.Stream, tables.Stream.stream == tables.Archive.stream)
    after = ""
    while True:
        page = wanted.where(tables.Archive.stream > after).order_by(tables.Archive.stream).limit(STREAMS_AT_ONCE)
        with home.begin() as session:
            found = session.execute(page).all()
        yield from ((kept, head) for kept, head in found)
        if len(found) < STREAMS_AT_ONCE:
            return
        after = found[-1][0].stream


def _fault(path: Path, kept: tables.Archive, head: tables.Stream) -> str:
    """Empty if the file is as it should be."""
    if head.erased_at is not None:
        return ERASED
    try:
        archiving.prove(path, archiving.head_of(head))
    except archiving.Unfit as error:
        return str(error)
    return "" if archiving.sum_of(path) == kept.sha256 else "the same events, and another file than was written"


def _need(folder: Path) -> None:
    if not folder.is_dir():
        raise exits.NotThere(f"there is no folder {folder}")


def _say(month: Month, done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        what = {name.replace(" ", "_"): value for name, value in done.items()}
        click.echo(json.dumps({"org": month.org_id, "period": month.period, "file": month.file, **what}))
        return
    ((name, value),) = done.items()
    words = f"{name} {value} events, {month.file}" if isinstance(value, int) else f"{name}: {value}"
    click.echo(f"{month.org_id} {month.period}: {words}")


def _say_file(name: str, words: str, faulty: bool, as_json: bool) -> None:
    click.echo(json.dumps({"file": name, "faulty": faulty, "text": words}) if as_json else f"{name}: {words}")
