"""`chatness broker`: RabbitMQ's users, what they may do, and how a foreign caller loses it again."""

from typing import IO

import click

from ops.commands import options

SHORTEST_PASSWORD = 16

vhost = click.option("--vhost", default="/", show_default=True, help="The virtual host that it may enter.")
password_file = click.option(
    "--password-file", required=True, type=click.File(), help=f"{SHORTEST_PASSWORD} characters or more; - for stdin."
)


@click.group()
def broker() -> None:
    """
    Who may call and hear what: RabbitMQ's users.

    `foreign` and `own` print a document for `rabbitmqctl import_definitions` and change nothing. It holds a hash of
    the password. To import it again is harmless, and gives the user what the document says.
    """


@broker.command("foreign")
@click.argument("name")
@click.option("--may-call", multiple=True, metavar="METHOD", help="As quota.get_usage; see docs/rpc.md.")
@click.option("--may-hear", multiple=True, metavar="EVENT", help="As quota.BotsStopped.")
@vhost
@password_file
def foreign(
    name: str, may_call: tuple[str, ...], may_hear: tuple[str, ...], vhost: str, password_file: IO[str]
) -> None:
    """
    A user for another service of the company.

    To take a method from one who has it: `chatness broker forget NAME`, then import the new document.
    """
    from ops import broker as users

    account = users.Account(name=name, password=_password(password_file), vhost=vhost)
    try:
        users.check_foreign_caller(name, may_call=may_call, may_hear=may_hear)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(users.as_json(users.of_foreign_caller(account, may_call=may_call, may_hear=may_hear)))


@broker.command("own")
@click.argument("name")
@click.option(
    "--runs",
    multiple=True,
    required=True,
    type=click.Choice([*options.SERVICES, "gateway", "mailroom"]),
    help="What its processes run.",
)
@vhost
@password_file
def own(name: str, runs: tuple[str, ...], vhost: str, password_file: IO[str]) -> None:
    """A user for processes of ours: `serve`, `worker`, `mailroom`, or several."""
    from ops import broker as users

    account = users.Account(name=name, password=_password(password_file), vhost=vhost)
    click.echo(users.as_json(users.of_ours(account, runs=runs)))


@broker.command("forget")
@click.argument("name")
@options.execute
def forget(name: str, execute: bool) -> None:
    """
    Take from a foreign caller all that it may call, at once, whatever connections it has.

    Import its definitions again to give it less than before, or be rid of it: `rabbitmqctl delete_user NAME`.
    """
    from ops import broker as users

    options.run(users.forget, name, execute)


def _password(file: IO[str]) -> str:
    password = file.read().rstrip("\r\n")
    if len(password) < SHORTEST_PASSWORD:
        raise click.UsageError(f"the password has fewer than {SHORTEST_PASSWORD} characters")
    return password
