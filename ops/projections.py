"""`chatness projections`: whether read models are as the events have them, and mending those that are not."""

import json
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

import click

from ops import exits, reach
from shared import database, read_models, rebuilding


def read_models_of(name: str) -> read_models.ReadModels:
    models: read_models.ReadModels = import_module(f"services.{name}.projections").READ_MODELS
    return models


def diff(services: Iterable[str], *, limit: int, reveal: bool, as_json: bool) -> int:
    """Gives 1 if something differs."""
    return _look(services, limit=limit, reveal=reveal, as_json=as_json)


def rebuild(services: Iterable[str], *, execute: bool, limit: int, reveal: bool, as_json: bool) -> int:
    """
    Without `execute` it looks and no more; then it gives 0, whatever it saw. One service is done after the other, and
    each is mended as a whole or not at all: what is said to be mended stays so, whatever becomes of the next.

    :raises Refused: before anything is changed, if a newer release made them; or at the first service that has an
        event that cannot be projected
    """
    if not execute:
        _look(services, limit=limit, reveal=reveal, as_json=as_json)
        click.echo(exits.NO_CHANGE, err=True)
        return exits.OK
    with reach.needing_databases():
        homes = reach.open_databases(services)
        for name, home in homes.items():
            if _standing_version(name, home) > read_models_of(name).version:
                raise exits.Refused(f"{name}'s read models are those of a newer release: rebuild them with that one")
        for name, home in homes.items():
            report = _projected(name, rebuilding.rebuild, home, name, read_models_of(name), limit=limit)
            _say(name, report, "mended", reveal=reveal, as_json=as_json)
    return exits.OK


def note_versions(services: Iterable[str]) -> Iterator[str]:
    """For `migrate`: note the version of read models that are new, and say which are those of another release."""
    for name, home in reach.open_databases(services).items():
        models = read_models_of(name)
        rebuilding.begin_version(home, name, models)
        yield from _outdated(name, home, models)


def _look(services: Iterable[str], *, limit: int, reveal: bool, as_json: bool) -> int:
    agrees = True
    with reach.needing_databases():
        for name, home in reach.open_databases(services).items():
            models = read_models_of(name)
            report = _projected(name, rebuilding.diff, home, models, limit=limit)
            _say(name, report, "differ", reveal=reveal, as_json=as_json)
            agrees = report.agrees and agrees
            for line in _outdated(name, home, models):
                click.echo(line, err=True)
    return exits.OK if agrees else exits.FAILED


def _projected(service: str, call: Any, *arguments: Any, **options: Any) -> rebuilding.Report:
    """:raises Refused: where this release cannot project an event of the service"""
    try:
        report: rebuilding.Report = call(*arguments, **options)
    except read_models.CannotProject as error:
        raise exits.Refused(f"{service}'s read models stay as they were: {error}") from error
    return report


def _outdated(name: str, home: database.Database, models: read_models.ReadModels) -> Iterator[str]:
    version = _standing_version(name, home)
    if 0 < version < models.version:
        made = (
            f"{name}: read models made by version {version} of its projections, and this release has {models.version}"
        )
        yield f"{made}: chatness projections rebuild {name} --execute"


def _standing_version(name: str, home: database.Database) -> int:
    """0 where nobody has noted it."""
    with home.begin() as session:
        return rebuilding.standing_version(session, name) or 0


def _say(name: str, report: rebuilding.Report, done: str, *, reveal: bool, as_json: bool) -> None:
    for found in report.differences:
        click.echo(json.dumps(_document(name, found, reveal)) if as_json else _line(name, found, reveal))
    for table, rows in report.rows.items():
        counts = {"service": name, "table": table, "rows": rows, done: report.differing[table]}
        click.echo(
            json.dumps(counts) if as_json else f"{name}: {table}: {rows} rows, {report.differing[table]} {done}"
        )
    if not as_json:
        click.echo(f"{name}: {report.events} events projected", err=True)


def _document(name: str, found: rebuilding.Difference, reveal: bool) -> dict[str, Any]:
    columns: Any = sorted(found.columns)
    if reveal:
        columns = {
            column: {"stands": stands, "rebuilt": rebuilt} for column, (stands, rebuilt) in found.columns.items()
        }
    return {"service": name, "table": found.table, "key": found.key, "difference": found.kind, "columns": columns}


def _line(name: str, found: rebuilding.Difference, reveal: bool) -> str:
    key = " ".join(str(part) for part in found.key.values())
    columns = [
        f"{column} {json.dumps(stands)} instead of {json.dumps(rebuilt)}" if reveal else column
        for column, (stands, rebuilt) in sorted(found.columns.items())
    ]
    return f"{name}: {found.table} {key}: {found.kind}{': ' if columns else ''}{', '.join(columns)}"
