"""`chatness replay`."""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from ops.commands import options

Command = TypeVar("Command", bound=Callable[..., Any])

_PLACES = re.compile(r"(\d{1,18})?\.\.(\d{1,18})?")


def _places(text: str) -> tuple[int | None, ...]:
    found = _PLACES.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not written as 100..200, 100.. or ..200")
    return tuple(int(end) if end else None for end in found.groups())


def _moment(text: str) -> datetime:
    from shared import clock

    try:
        return clock.parse(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no moment as 2026-12-01T00:00Z") from None


def _filter(*names: str, help: str, metavar: str) -> Callable[[Command], Command]:
    return click.option(*names, multiple=True, metavar=metavar, help=help)


@click.command()
@click.option("--from", "producer", required=True, type=click.Choice(options.SERVICES), help="Whose events.")
@click.option("--to", "consumer", type=click.Choice(options.SERVICES), help="Who is to apply them; nobody else does.")
@_filter("--name", "names", metavar="NAME", help="Only events of this name, as billing.*; again for more.")
@_filter("--stream", "streams", metavar="STREAM", help="Only this stream, as subscription-org_1; * fits anything.")
@_filter("--org", "--subject", "subjects", metavar="ID", help="Only streams about this org or account.")
@_filter("--event", "ids", metavar="ID", help="Only the event of this id.")
@click.option("--since", type=_moment, metavar="TIME", help="Only what was recorded at this moment or later.")
@click.option("--until", type=_moment, metavar="TIME", help="Only what was recorded before this moment.")
@click.option(
    "--positions",
    type=_places,
    default="..",
    metavar="A..B",
    help="Only these places in the log; either end may lack.",
)
@click.option(
    "--from-file",
    "source",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Events that --to-file wrote, in place of the filters. Each must be in the log as it is in the file.",
)
@click.option(
    "--to-file",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Only write the selected events there, an envelope a line.",
)
@click.option(
    "--mode",
    type=click.Choice(["missing", "again"]),
    default="missing",
    show_default=True,
    help="Apply what was parked or discarded; or what was applied already, where its handlers bear that.",
)
@click.option("--overtaken", is_flag=True, help="Discarded events, too, of whose stream later ones are applied.")
@click.option("--catch-up", is_flag=True, help="Then apply what the consumer has not reached, up to the log's end.")
@click.option("--max", "most", type=click.IntRange(min=1), help="How many events may be selected, with --execute.")
@click.option(
    "--reason",
    default="",
    help="Why, with --execute. It is kept with your name; write no personal data of customers.",
)
@options.by
@options.execute
@options.as_json
def replay(
    *,
    producer: str,
    consumer: str | None,
    positions: tuple[int | None, int | None],
    source: Path | None,
    target: Path | None,
    most: int | None,
    by: str,
    execute: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """
    Have one consumer apply what it missed, from the producer's log. The selected events are told to nobody else; what
    the handler decides from them is new, and is published as always.

    `--mode missing` applies parked and discarded events, each stream in its order, and stops a stream at the first
    that fails. `--mode again` applies what was applied before, with all that follows in the same streams, where the
    handlers write read models and nothing else. Either may be stopped, run again, and run while the workers work.

    Exit codes: 0 done; 1 an event still fails; 3 no such event; 5 refused (more than --max, a file that does not fit
    the log, handlers that do more than write read models, a consumer that does not hear the producer); 75 a database
    is away.
    """
    from ops import replay as replaying
    from ops import selections

    filters = selections.Filters(
        first=positions[0],
        last=positions[1],
        **{name: rest.pop(name) for name in ("names", "streams", "subjects", "ids", "since", "until")},
    )
    if source is not None and filters != selections.Filters():
        raise click.UsageError("--from-file takes the place of the filters")
    if target is not None:
        if source is not None or execute:
            raise click.UsageError("--to-file only writes what the filters select")
        options.run(replaying.write_file, producer, filters, target)
    if consumer is None:
        raise click.UsageError("say who is to apply them: --to")
    if execute and most is None:
        raise click.UsageError("--execute needs --max: how many events may be selected")
    if execute and not rest["reason"].strip():
        raise click.UsageError("--execute needs --reason: why")
    order = replaying.Order(
        producer=producer,
        consumer=consumer,
        filters=filters,
        source=source,
        actor=options.operator(by),
        **rest,
    )
    options.run(replaying.run, order, execute=execute, most=most or 0, as_json=as_json)
