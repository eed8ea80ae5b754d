"""`chatness billing`."""

import click

from ops.commands import options


@click.group()
def billing() -> None:
    """Subscriptions, and whether Stripe says the same of them."""


@billing.command("reconcile")
@click.option("--org", "org_id", default="", metavar="ORG", help="Only this one.")
@options.by
@options.execute
@options.as_json
def reconcile(*, org_id: str, by: str, execute: bool, as_json: bool) -> None:
    """
    Compare every subscription with Stripe, and take over what differs, as its webhook would have done.

    Billing's worker does the same every night. With --execute the events of Stripe's that never came are taken in
    first, and a run that was interrupted goes on where it stopped.

    Exit codes: 1 something differs that was not taken over, or could not be compared; 3 billing knows no such org; 5
    another reconcile is under way; 75 Stripe or the database is away.
    """
    from ops import reconcile as comparison

    options.run(comparison.run, org_id, actor=options.operator(by), execute=execute, as_json=as_json)
