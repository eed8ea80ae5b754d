"""`chatness clock`, `chatness mail` and `chatness write`: what only the sandbox has."""

import json

import click

from ops.commands import options


@click.group()
def clock() -> None:
    """The sandbox's test clock, which all processes share."""


@clock.command("show")
def clock_show() -> None:
    """Print the business time."""
    from ops import sandbox_clock

    options.run(sandbox_clock.show)


@clock.command("advance")
@click.option("--to", "to", required=True, metavar="TIME", help="An RFC 3339 moment, as 2026-12-01T00:00Z.")
@click.option("--freeze", is_flag=True, help="Let the time stand there instead of running on.")
def clock_advance(to: str, freeze: bool) -> None:
    """Set the test clock; refused outside the sandbox."""
    from ops import sandbox_clock

    options.run(sandbox_clock.advance, to, freeze)


@clock.command("reset")
def clock_reset() -> None:
    """Let the test clock show the machine's time again."""
    from ops import sandbox_clock

    options.run(sandbox_clock.reset)


@click.command()
@options.as_json
@click.option("--to", default="", help="Only mail to this address.")
def mail(as_json: bool, to: str) -> None:
    """The mails that the sandbox's mail server has taken; with --json: to, subject, text, html and more."""
    from ops import stack
    from sandbox import mail as mailbox

    for message in mailbox.read(stack.run_directory() / "mail"):
        if to and message["to"] != to:
            continue
        if as_json:
            click.echo(json.dumps(message))
        else:
            click.echo(f"To: {message['to']}\nSubject: {message['subject']}\n\n{message['text']}\n")


@click.command()
@click.option("--from", "sender", required=True, metavar="ADDRESS", help="Whose mail it is.")
@click.option("--subject", default="account exclusion", show_default=True, help="What it is about.")
@click.option("--text", default="Please delete my account.", show_default=True, help="The mail itself.")
def write(sender: str, subject: str, text: str) -> None:
    """Write to support as somebody, as if the mail server had checked that they did; refused outside the sandbox."""
    from ops import support_mail

    options.run(support_mail.write, sender, subject, text)
