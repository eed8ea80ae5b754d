"""`chatness quota`."""

from datetime import UTC, datetime, timedelta

import click

from ops.commands import options


def _end_of_day(_context: click.Context, _parameter: click.Parameter, day: datetime) -> datetime:
    return day.replace(tzinfo=UTC) + timedelta(days=1)


@click.group()
def quota() -> None:
    """What operations may do to an org's messages."""


@quota.command("credit")
@click.argument("org_id", metavar="ORG")
@click.option("--messages", required=True, type=click.IntRange(min=1), metavar="N", help="So many extra messages.")
@click.option("--reason", required=True, help="Why. It is kept with your name, and erased with the org.")
@click.option(
    "--expires",
    "expires_at",
    required=True,
    type=click.DateTime(["%Y-%m-%d"]),
    callback=_end_of_day,
    metavar="DATE",
    help="The last day on which they can be used, as 2027-01-31, in UTC.",
)
@click.option("--again", is_flag=True, help="Even if the org has a credit with the same messages, end and reason.")
@options.by
@options.execute
@options.as_json
def credit(
    *,
    org_id: str,
    messages: int,
    reason: str,
    expires_at: datetime,
    again: bool,
    by: str,
    execute: bool,
    as_json: bool,
) -> None:
    """
    Grant an org extra messages. Bots that had stopped at the limit run again at once.

    They are spent after the plan's own, those that expire first before the others, and outlive months and resets
    until they expire. A command whose end you did not see may be given again: the same credit is granted once.

    Exit codes: 3 quota knows no such org, or it was erased; 5 the same was granted before, it would have expired
    already, or the org has too many credits; 75 the database is away.
    """
    from ops import credits

    options.run(
        credits.grant,
        credits.order(org_id, messages=messages, reason=reason, expires_at=expires_at),
        again=again,
        actor=options.operator(by),
        execute=execute,
        as_json=as_json,
    )
