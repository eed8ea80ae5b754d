"""`chatness quota statement`: every entry of a month, as its org gets it; also of a month that is in an archive."""

import json
from pathlib import Path

import click

from ops import exits, reach
from ops.quota import ledgers
from services.quota import statement
from shared import spreadsheets


def run(org_id: str, *, period: str, archive: Path | None, as_json: bool) -> int:
    """
    One entry a line, while it is read: a file is proven by then up to the entry before.

    :raises NotThere: for an unknown or erased org, and a month that it does not have
    :raises Refused: for a month whose events are in an archive that was not named, or does not fit
    """
    with reach.needing_databases(), ledgers.snapshot(reach.open_database("quota")) as session:
        streams = ledgers.known_streams(session, org_id)
        head = ledgers.one_of(streams, org_id, period or ledgers.open_period(session, org_id, streams))
        used = 0
        for event in ledgers.own_events(session, head, archive):
            entry = statement.entry(event, used=used)
            if not as_json and event.version == 1:
                _write(spreadsheets.heading(statement.COLUMNS))
            _write(f"{json.dumps(entry)}\n" if as_json else spreadsheets.lines(statement.COLUMNS, [entry]))
            used = entry["used"]
    return exits.OK


def _write(text: str) -> None:
    click.echo(text, nl=False)
