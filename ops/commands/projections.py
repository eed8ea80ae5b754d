"""`chatness projections`."""

import click

from ops.commands import options

_services = click.argument(
    "services", metavar="SERVICE...", nargs=-1, required=True, type=click.Choice(options.SERVICES)
)
_limit = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0, 100_000), help="So many rows of each table."
)
_reveal = click.option("--reveal", is_flag=True, help="Print what stands in the columns that differ, too.")


@click.group()
def projections() -> None:
    """
    Read models: tables that follow from a service's own events alone, and can be made again from them.

    These are accounts' tables accounts, orgs and members; billing's subscriptions and duplicates; quota's bots,
    usage_months and usage_days; secrets' secrets; and the activity of each.
    All others are state and are never touched: credentials, sessions and registrations; Stripe's customers, intents,
    checkouts and webhooks; the digests of secrets; quota's orgs and messages, by which every message is decided.
    """


@projections.command("diff")
@_services
@_limit
@_reveal
@options.as_json
def diff(services: tuple[str, ...], limit: int, reveal: bool, as_json: bool) -> None:
    """
    Make the read models again beside those that stand, and name the rows that differ. Changes nothing.

    Exit codes: 0 all is as the events have it; 1 something differs; 5 this release cannot project an event; 75 a
    database is away.
    """
    from ops import projections as models

    options.run(models.diff, services, limit=limit, reveal=reveal, as_json=as_json)


@projections.command("rebuild")
@_services
@_limit
@_reveal
@options.execute
@options.as_json
def rebuild(services: tuple[str, ...], *, limit: int, reveal: bool, execute: bool, as_json: bool) -> None:
    """
    Make the read models again, and mend the rows that differ, while the service works.

    All events are projected beside what stands; then writers of these tables are locked out for as long as it takes
    to project what came last, to compare, and to write what differs. Readers do not wait. It may be stopped at any
    moment, and run twice. Of several services, one is done after the other, each as a whole or not at all.

    Exit codes: 0 done; 5 this release cannot project an event; 75 a database is away, or writers did not let go.
    """
    from ops import projections as models

    options.run(models.rebuild, services, execute=execute, limit=limit, reveal=reveal, as_json=as_json)
