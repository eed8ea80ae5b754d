"""`chatness org` and `chatness account`."""

import click

from ops.commands import options


@click.group()
def org() -> None:
    """Organizations, by id: whose they are, who is in them, and whether they may go on."""


@org.command("find")
@click.option("--email", required=True, callback=options.words, help="An account's address.")
@options.by
@options.as_json
def find(email: str, by: str, as_json: bool) -> None:
    """
    The ids of an account and of its organizations, by its address. That you looked is recorded; the address is not.

    Exit codes: 3 it is no account's address; 5 it is no address; 75 the database is away.
    """
    from ops import orgs

    options.run(orgs.find, email, actor=options.operator(by), as_json=as_json)


@org.command("show")
@click.argument("org_id", metavar="ORG")
@options.as_json
def show(org_id: str, as_json: bool) -> None:
    """
    Who owns an organization and who is in it, by id; and since when, by whom and why it is suspended, if it is.

    Exit codes: 3 there is no such organization, or it was erased; 75 the database is away.
    """
    from ops import orgs

    options.run(orgs.show, org_id, as_json=as_json)


@org.command("suspend")
@click.argument("org_id", metavar="ORG")
@click.option(
    "--cause",
    required=True,
    type=click.Choice(["abuse", "fraud", "legal", "unpaid", "other"]),
    help="In a word. The other services of the company hear it.",
)
@options.reason
@options.by
@options.execute
@options.as_json
def suspend(*, org_id: str, cause: str, reason: str, by: str, execute: bool, as_json: bool) -> None:
    """
    Stop an organization at once: its messages are refused, and so is all that is new.

    Its people can sign in, look at everything, change what is their own, revoke secrets, cancel the subscription,
    pay, and leave. Stripe is not touched, and goes on charging what is due: cancel there what shall end. Given twice,
    the second time changes nothing. The reason and your name are erased with the organization; the event keeps your
    name.

    Exit codes: 3 there is no such organization, or it was erased; 75 the database is away.
    """
    from ops import orgs

    who = options.operator(by)
    options.run(orgs.suspend, org_id, cause=cause, reason=reason, actor=who, execute=execute, as_json=as_json)


@org.command("restore")
@click.argument("org_id", metavar="ORG")
@options.reason
@options.by
@options.execute
@options.as_json
def restore(*, org_id: str, reason: str, by: str, execute: bool, as_json: bool) -> None:
    """
    Let a suspended organization go on: its messages, secrets, bots and plan are as they were.

    Exit codes: 3 there is no such organization, or it was erased; 75 the database is away.
    """
    from ops import orgs

    who = options.operator(by)
    options.run(orgs.restore, org_id, reason=reason, actor=who, execute=execute, as_json=as_json)


@click.group()
def account() -> None:
    """People's accounts, by id."""


@account.command("end-sessions")
@click.argument("account_id", metavar="ACCOUNT")
@options.reason
@options.by
@options.execute
@options.as_json
def end_sessions(*, account_id: str, reason: str, by: str, execute: bool, as_json: bool) -> None:
    """
    Sign a person out everywhere. The password and API secrets stay as they are.

    It may be given twice: the second time nothing is left to end. A gateway may take a session for good a few seconds
    longer.

    Exit codes: 3 there is no such account, or it was erased; 75 the database is away.
    """
    from ops import orgs

    options.run(
        orgs.end_sessions, account_id, reason=reason, actor=options.operator(by), execute=execute, as_json=as_json
    )
