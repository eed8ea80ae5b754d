"""`chatness doctor` and `chatness consumers`: how it stands. They change nothing."""

import click

from ops.commands import options


@click.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """
    Everything on one page: what is ill, and the command to go on with.

    Looks at every process, database, queue, log, consumer, parked event, dead letter, job, clock and migration, for
    ten seconds at most, and changes nothing.

    Exit codes: 0 healthy; 1 something is ill; 75 a part is away, so that not everything could be seen.
    """
    from ops import doctor as page

    options.run(page.examine, as_json)


@click.group()
def consumers() -> None:
    """How each service follows the events of the others."""


@consumers.command("status")
@options.services
@options.as_json
def status(services: tuple[str, ...], as_json: bool) -> None:
    """
    For each consumer: its queue, its place, how far behind it is, and what is parked or dead.

    Exit codes: 0 all is well; 1 something is ill; 75 a part is away.
    """
    from ops import doctor as page

    options.run(page.status, services or options.SERVICES, as_json)
