"""
The command line: the processes here, the other groups in `ops.commands`. Data go to stdout, progress to stderr;
`--json` gives one JSON document a line. No repair without `--execute`, nothing personal without `--reveal`.

Imports stand inside the commands: `serve` must make the process green before anything else is loaded.
"""

import sys
from typing import Any

import click

from ops.commands import (
    billing,
    broker,
    deadletters,
    erasure,
    events,
    health,
    jobs,
    orgs,
    parked,
    projections,
    quota,
    replay,
    sandbox,
    stripe,
)
from ops.commands.options import SERVICES


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chatness")
def main() -> None:
    """
    Accounts, billing, API secrets and the message quota of a chatbot business.

    Something is wrong? `chatness doctor` says what, and docs/operations.md what to do.

    Exit codes: 0 done; 1 failed, or ill; 2 wrong usage; 3 no such thing; 5 not in a state for this; 75 a part is
    away, try again; 78 bad configuration; 130 interrupted.
    """


def _run(call: Any, *arguments: Any) -> None:
    """Run one process to its end; bad configuration is one line and code 78."""
    from shared import config

    try:
        sys.exit(call(*arguments))
    except config.BadConfiguration as error:
        config.give_up(str(error))


@main.command()
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True, type=click.Choice([*SERVICES, "gateway"]))
def serve(names: tuple[str, ...]) -> None:
    """Answer calls: one or several of accounts, billing, secrets, quota; or the gateway."""
    from shared import serve as nameko_serve

    if "gateway" in names and len(names) > 1:
        raise click.UsageError("the gateway runs in a process of its own")
    nameko_serve.green()
    from ops import processes

    _run(processes.serve_gateway) if names == ("gateway",) else _run(processes.serve, names)


@main.command()
@click.argument("names", metavar="SERVICE...", nargs=-1, required=True, type=click.Choice(SERVICES))
def worker(names: tuple[str, ...]) -> None:
    """Publish and follow events, do jobs, watch the clock, for one or several services."""
    from ops import processes

    _run(processes.work, names)


@main.command()
def mailroom() -> None:
    """Take the support mailbox's mail: hand requests to delete an account to accounts, pass on the rest."""
    from ops import mailroom as process

    _run(process.run)


@main.command()
@click.argument("names", metavar="[SERVICE]...", nargs=-1, type=click.Choice(SERVICES))
def migrate(names: tuple[str, ...]) -> None:
    """Bring the databases to this release: all, or those of the services named."""
    from ops import processes
    from ops import projections as models

    def run() -> int:
        for name, ran in processes.migrate_all(names or SERVICES).items():
            click.echo(f"{name}: {', '.join(ran) if ran else 'up to date'}")
        for line in models.note_versions(names or SERVICES):
            click.echo(line, err=True)
        return 0

    _run(run)


@main.command()
def up() -> None:
    """Start everything on this machine and print the address and a login; Ctrl-C stops it."""
    from ops import up as stack_up

    _run(stack_up.run)


@main.command()
@click.option("--keep", is_flag=True, help="Leave a stack that the demo started running until Ctrl-C.")
def demo(keep: bool) -> None:
    """Play the whole story over HTTP, show every event, and check every expectation."""
    from ops import demo as story

    _run(story.run, keep)


for command in (
    health.doctor,
    health.consumers,
    parked.parked,
    replay.replay,
    projections.projections,
    deadletters.deadletters,
    jobs.jobs,
    billing.billing,
    quota.quota,
    stripe.stripe,
    events.events,
    erasure.erasure,
    orgs.org,
    orgs.account,
    sandbox.clock,
    sandbox.mail,
    sandbox.write,
    broker.broker,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
