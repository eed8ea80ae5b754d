"""`chatness events`."""

import click

from ops.commands import options


@click.group()
def events() -> None:
    """Events, read from the services' own databases."""


@events.command("list")
@options.services
@click.option("--stream", default="", help="Only this stream, as ledger-org_…-2026-11.")
@click.option("--name", default="", help="Only events of this name, as quota.MessageRecorded.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="The newest so many.")
@options.as_json
def list_events(services: tuple[str, ...], stream: str, name: str, limit: int, as_json: bool) -> None:
    """The newest events, oldest first."""
    from ops import events as recorded

    options.run(recorded.list_events, services or options.SERVICES, stream, name, limit, as_json)


@events.command("show")
@click.argument("event_id")
@options.as_json
def show(event_id: str, as_json: bool) -> None:
    """One event with its data, meta and hash."""
    from ops import events as recorded

    options.run(recorded.show_event, options.SERVICES, event_id, as_json)


@events.command("tail")
@options.services
@options.as_json
def tail(services: tuple[str, ...], as_json: bool) -> None:
    """Public events as they enter the logs, until Ctrl-C."""
    from ops import events as recorded

    options.run(recorded.tail, services or options.SERVICES, as_json)


@events.command("verify")
@options.services
@options.as_json
def verify(services: tuple[str, ...], as_json: bool) -> None:
    """Check every chain, version and position of what was recorded; code 1 if something is wrong."""
    from ops import events as recorded

    options.run(recorded.verify, services or options.SERVICES, as_json)
