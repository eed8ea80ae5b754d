"""`chatness deadletters`."""

import click

from ops.commands import options

_all = click.option("--all", "everything", is_flag=True, help="All, or all of --service and --producer.")


@click.group()
def deadletters() -> None:
    """
    Messages that a consumer could not decode, or that ended it too often.

    No event is lost with them: it stands in its producer's log, and the consumer pulls it from there. They are called
    as `list` shows them, as quota/billing/3f2a91c04b7d.
    """


@deadletters.command("list")
@options.services
@options.producers
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="The oldest so many of a consumer."
)
@options.as_json
def list_letters(services: tuple[str, ...], producers: tuple[str, ...], limit: int, as_json: bool) -> None:
    """What is there: size, type, id, and why and when it died. Never the content."""
    from ops import deadletters as letters

    options.run(letters.list_letters, services or options.SERVICES, producers, limit, as_json)


@deadletters.command("show")
@click.argument("id")
@options.reveal
@options.as_json
def show(id: str, reveal: bool, as_json: bool) -> None:
    """One message; its headers and body only with --reveal. Exit code 3: there is none of that id."""
    from ops import deadletters as letters

    options.run(letters.show, id, reveal=reveal, as_json=as_json)


@deadletters.command("requeue")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_all
@options.services
@options.producers
@options.execute
@options.as_json
def requeue(
    *,
    ids: tuple[str, ...],
    everything: bool,
    services: tuple[str, ...],
    producers: tuple[str, ...],
    execute: bool,
    as_json: bool,
) -> None:
    """
    Send messages to their consumer again, and to nobody else; what it cannot decode comes back here.

    Exit code 3: there is none of an id, or the consumer has no queue.
    """
    from ops import deadletters as letters

    _choose(ids, everything)
    options.run(letters.requeue, ids, services or options.SERVICES, producers, execute=execute, as_json=as_json)


@deadletters.command("discard")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@_all
@options.services
@options.producers
@options.execute
@options.as_json
def discard(
    *,
    ids: tuple[str, ...],
    everything: bool,
    services: tuple[str, ...],
    producers: tuple[str, ...],
    execute: bool,
    as_json: bool,
) -> None:
    """
    Throw messages away. No event is skipped by it, so it asks for no reason.

    Exit code 3: there is none of an id.
    """
    from ops import deadletters as letters

    _choose(ids, everything)
    options.run(letters.discard, ids, services or options.SERVICES, producers, execute=execute, as_json=as_json)


def _choose(ids: tuple[str, ...], everything: bool) -> None:
    if bool(ids) == everything:
        raise click.UsageError("say which: their ids, or --all")
