"""
`chatness quota archive forget`: the files of erased orgs, deleted, so that their erasure can be told as done.

A file goes before the line in `archives` that names it: whoever is stopped between the two has nothing left to hide.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ops import exits, reach
from services.quota import erasing
from shared import database, jobs, personal, tables

# A draft is left where archiving was stopped; it begins with a dot.
FILE = re.compile(r"\.?(?P<org_id>[^-.]+)-\d{4}-\d{2}\.jsonl\.gz(\.part)?")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """:param stream: of the month that `archives` names the file for; empty where none does"""

    org_id: str
    file: str
    stream: str = ""


def forget(folder: Path, *, gone: bool, execute: bool, as_json: bool) -> int:
    """
    Gives 1 if a file is not in the folder, unless it is said to be gone.

    :raises NotThere: if there is no such folder
    """
    if not folder.is_dir():
        raise exits.NotThere(f"there is no folder {folder}")
    code = exits.OK
    with reach.needing_databases():
        home = reach.open_database("quota")
        found = [*_written_down(home), *_others(home, folder)]
        for kept in found:
            path = folder / kept.file
            if not path.exists() and not gone:
                code = exits.FAILED
                _say(kept, f"not in {folder}; say --gone if it is nowhere", as_json, forgotten=False)
                continue
            if execute:
                path.unlink(missing_ok=True)
                _cross_out(home, kept)
            _say(kept, "forgotten" if execute else "would be forgotten", as_json, forgotten=execute)
    if not found:
        click.echo(f"no erased org has an archived month, or a file in {folder}", err=True)
    elif not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return code


def erased_among(session: Session, names: Iterator[str]) -> set[str]:
    """Those of these names of files that are of an org that was erased."""
    orgs = {name: found["org_id"] for name in names if (found := FILE.fullmatch(name))}
    erased = personal.erased_among(session, set(orgs.values()))
    return {name for name, org_id in orgs.items() if org_id in erased}


def _written_down(home: database.Database) -> list[Kept]:
    """The archived months whose heads are erased by now."""
    wanted = (
        select(tables.Archive.stream, tables.Archive.file, func.split_part(tables.Archive.stream, "-", 2))
        .join(tables.Stream, tables.Stream.stream == tables.Archive.stream)
        .where(tables.Stream.erased_at.is_not(None))
    )
    with home.begin() as session:
        found = session.execute(wanted.order_by(tables.Archive.stream)).all()
    return [Kept(org_id=org_id, file=file, stream=stream) for stream, file, org_id in found]


def _others(home: database.Database, folder: Path) -> list[Kept]:
    """What archiving left there when it was stopped or came too late."""
    with home.begin() as session:
        written = set(session.scalars(select(tables.Archive.file)))
        names = erased_among(session, (path.name for path in folder.iterdir() if path.name not in written))
    return [Kept(org_id=FILE.fullmatch(name)["org_id"], file=name) for name in sorted(names)]  # type: ignore[index]


def _cross_out(home: database.Database, kept: Kept) -> None:
    """The line that names the file; with the org's last one its erasure goes on at once."""
    with home.begin() as session:
        session.execute(delete(tables.Archive).where(tables.Archive.stream == kept.stream))
        if erasing.file_left(session, kept.org_id):
            return
        ours = tables.Job.kind == erasing.JOB, tables.Job.subject == kept.org_id
        for job_id in session.scalars(select(tables.Job.id).where(*ours, tables.Job.state.in_(jobs.AT_REST))):
            jobs.retry(session, job_id)


def _say(kept: Kept, words: str, as_json: bool, *, forgotten: bool) -> None:
    document = {"org": kept.org_id, "file": kept.file, "forgotten": forgotten, "text": words}
    click.echo(json.dumps(document) if as_json else f"{kept.file}: {words}")
