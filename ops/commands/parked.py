"""`chatness parked`."""

import click

from ops.commands import options

_stream = click.option("--stream", default="", help="Only this stream, as subscription-org_….")


@click.group()
def parked() -> None:
    """
    Events that a handler could not apply, and those behind them in the same stream.

    They are called as `list` shows them: quota/billing/12 is billing's event at place 12, parked by quota.
    """


@parked.command("list")
@options.services
@options.producers
@_stream
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="So many of a service.")
@options.as_json
def list_parked(
    services: tuple[str, ...], producers: tuple[str, ...], stream: str, limit: int, as_json: bool
) -> None:
    """What is parked, in order, and why."""
    from ops import parked as parking

    options.run(parking.list_parked, services or options.SERVICES, producers, stream, limit, as_json)


@parked.command("show")
@click.argument("id")
@options.reveal
@options.as_json
def show(id: str, reveal: bool, as_json: bool) -> None:
    """One parked event with its envelope. Exit code 3: there is none of that id."""
    from ops import parked as parking

    options.run(parking.show, id, reveal=reveal, as_json=as_json)


@parked.command("redrive")
@click.option("--all", "everything", is_flag=True, help="All that is parked.")
@options.services
@options.producers
@_stream
@options.execute
@options.as_json
def redrive(
    *,
    everything: bool,
    services: tuple[str, ...],
    producers: tuple[str, ...],
    stream: str,
    execute: bool,
    as_json: bool,
) -> None:
    """
    Apply parked events again, each stream in its order, by the services' own handlers.

    A stream stops at the first event that still fails; that one and the rest stay parked. It may be stopped at any
    moment, run twice, and run while the workers work.

    Exit codes: 0 all applied; 1 an event still fails; 3 nothing of --stream is parked; 75 a database is away.
    """
    from ops import parked as parking

    if not (everything or services or producers or stream):
        raise click.UsageError("say what: --stream, --service, --producer or --all")
    options.run(parking.redrive, services or options.SERVICES, producers, stream, execute=execute, as_json=as_json)


@parked.command("discard")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@options.reason
@options.by
@options.execute
@options.as_json
def discard(ids: tuple[str, ...], reason: str, by: str, execute: bool, as_json: bool) -> None:
    """
    Pass over parked events for good: this service will never apply them.

    What follows in their streams stays parked until it is redriven. Who, when and why is kept in the service's table
    `discarded`. Exit code 3: one of the ids is not parked; then none is discarded.
    """
    from ops import parked as parking

    options.run(parking.discard, ids, reason=reason, actor=options.operator(by), execute=execute, as_json=as_json)
