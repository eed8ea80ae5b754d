"""What several commands share: their options, and how they end."""

import getpass
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

SERVICES = ("accounts", "billing", "secrets", "quota")

services = click.option(
    "--service", "services", multiple=True, type=click.Choice(SERVICES), help="Only these services."
)
producers = click.option(
    "--producer",
    "producers",
    multiple=True,
    type=click.Choice(SERVICES),
    help="Only events that these services told.",
)


def words(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Of an option that people read: blanks say nothing."""
    if parameter.required and not value.strip():
        raise click.BadParameter("it is empty")
    return value.strip()


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")
execute = click.option("--execute", is_flag=True, help="Do it. Without this, only say what would be done.")
reveal = click.option("--reveal", is_flag=True, help="Print the content too. It may hold personal data.")
reason = click.option(
    "--reason",
    required=True,
    callback=words,
    help="Why. It is kept with your name; write no personal data of customers.",
)
by = click.option("--by", default="", help="Who decides so, if it is not the user of this terminal.")


def run(call: Callable[..., int], *arguments: Any, **options: Any) -> NoReturn:
    """One command to its end: what is wrong is one line on stderr, and its exit code."""
    from ops import exits
    from shared import config, logs

    logs.configure("chatness", level="ERROR", as_text=True)
    try:
        sys.exit(call(*arguments, **options))
    except config.BadConfiguration as error:
        config.give_up(str(error))
    except exits.Away as error:
        fail(str(error), exits.AWAY)
    except exits.NotThere as error:
        fail(str(error), exits.NOT_FOUND)
    except exits.Refused as error:
        fail(str(error), exits.CONFLICT)
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        sys.exit(exits.OK)
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)


def fail(message: str, code: int) -> NoReturn:
    click.echo(f"chatness: {message}", err=True)
    sys.exit(code)


def operator(named: str) -> str:
    """
    Who is recorded as the one who decided.

    :raises UsageError: if nobody is named, and the user has no name, as in a container
    """
    try:
        return named or f"{getpass.getuser()}@{socket.gethostname()}"
    except KeyError:
        raise click.UsageError("say with --by who you are: this system knows no name for its user") from None
