"""`chatness jobs`."""

import click

from ops.commands import options

STATES = ("waiting", "running", "failed", "done", "cancelled")


@click.group()
def jobs() -> None:
    """What is to be done outside the databases: mails, calls to Stripe."""


@jobs.command("list")
@options.services
@click.option(
    "--state", "states", multiple=True, type=click.Choice(STATES), help="Only these; by default what is not over."
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="So many of a service.")
@options.as_json
def list_jobs(services: tuple[str, ...], states: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Kind, state, tries, due and last error, the one due first on top. Never the payload."""
    from ops import jobs as work

    options.run(work.list_jobs, services or options.SERVICES, states, limit, as_json)


@jobs.command("retry")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that were given up, or those of --service.")
@options.services
@options.execute
@options.as_json
def retry(ids: tuple[str, ...], everything: bool, services: tuple[str, ...], execute: bool, as_json: bool) -> None:
    """
    Let jobs that were given up, or that wait, begin anew and at once.

    Exit codes: 3 there is none of that id; 5 it is running, done or cancelled; then none is retried.
    """
    from ops import jobs as work

    if bool(ids) == everything:
        raise click.UsageError("say which: their ids, or --all")
    options.run(work.retry, services or options.SERVICES, ids, execute=execute, as_json=as_json)


@jobs.command("cancel")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@options.reason
@options.by
@options.execute
@options.as_json
def cancel(ids: tuple[str, ...], reason: str, by: str, execute: bool, as_json: bool) -> None:
    """
    Nobody is to do these jobs any more: the mail is never sent. What it would have said is deleted at once.

    Exit codes: 3 there is none of that id; 5 it is running, done or cancelled; then none is cancelled.
    """
    from ops import jobs as work

    options.run(
        work.cancel,
        options.SERVICES,
        ids,
        reason=reason,
        actor=options.operator(by),
        execute=execute,
        as_json=as_json,
    )
