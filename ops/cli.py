"""
The command line. Data go to stdout, progress to stderr; `--json` gives one JSON document a line.

Imports stand inside the commands: `serve` must make the process green before anything else is loaded.
"""

import json
import sys
from typing import Any

import click

SERVICES = ("accounts", "billing", "secrets", "quota")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="chatness")
def main() -> None:
    """Accounts, billing, API secrets and the message quota of a chatbot business."""


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
@click.argument("names", metavar="[SERVICE]...", nargs=-1, type=click.Choice(SERVICES))
def migrate(names: tuple[str, ...]) -> None:
    """Bring the databases to this release: all, or those of the services named."""
    from ops import processes

    def run() -> int:
        for name, ran in processes.migrate_all(names or SERVICES).items():
            click.echo(f"{name}: {', '.join(ran) if ran else 'up to date'}")
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


@main.group()
def clock() -> None:
    """The sandbox's test clock, which all processes share."""


@clock.command("show")
def clock_show() -> None:
    """Print the business time."""
    from ops import sandbox_clock

    _run(sandbox_clock.show)


@clock.command("advance")
@click.option("--to", "to", required=True, metavar="TIME", help="An RFC 3339 moment, as 2026-12-01T00:00Z.")
@click.option("--freeze", is_flag=True, help="Let the time stand there instead of running on.")
def clock_advance(to: str, freeze: bool) -> None:
    """Set the test clock; refused outside the sandbox."""
    from ops import sandbox_clock

    _run(sandbox_clock.advance, to, freeze)


@clock.command("reset")
def clock_reset() -> None:
    """Let the test clock show the machine's time again."""
    from ops import sandbox_clock

    _run(sandbox_clock.reset)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One line per message: to, subject, text and more.")
@click.option("--to", default="", help="Only mail to this address.")
def mail(as_json: bool, to: str) -> None:
    """The mails that the sandbox's mail server has taken."""
    from ops import stack
    from sandbox import mail as mailbox

    for message in mailbox.read(stack.run_directory() / "mail"):
        if to and message["to"] != to:
            continue
        if as_json:
            click.echo(json.dumps(message))
        else:
            click.echo(f"To: {message['to']}\nSubject: {message['subject']}\n\n{message['text']}\n")


@main.group()
def events() -> None:
    """Events, read from the services' own databases."""


_service = click.option(
    "--service", "services", multiple=True, type=click.Choice(SERVICES), help="Only these services."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document a line.")


@events.command("list")
@_service
@click.option("--stream", default="", help="Only this stream, as ledger-org_…-2026-11.")
@click.option("--name", default="", help="Only events of this name, as quota.MessageRecorded.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="The newest so many.")
@_json
def events_list(services: tuple[str, ...], stream: str, name: str, limit: int, as_json: bool) -> None:
    """The newest events, oldest first."""
    from ops import events as recorded

    _run(recorded.list_events, services or SERVICES, stream, name, limit, as_json)


@events.command("show")
@click.argument("event_id")
@_json
def events_show(event_id: str, as_json: bool) -> None:
    """One event with its data, meta and hash."""
    from ops import events as recorded

    _run(recorded.show_event, SERVICES, event_id, as_json)


@events.command("tail")
@_service
@_json
def events_tail(services: tuple[str, ...], as_json: bool) -> None:
    """Public events as they enter the logs, until Ctrl-C."""
    from ops import events as recorded

    _run(recorded.tail, services or SERVICES, as_json)


@events.command("verify")
@_service
@_json
def events_verify(services: tuple[str, ...], as_json: bool) -> None:
    """Check every chain, version and position of what was recorded; code 1 if something is wrong."""
    from ops import events as recorded

    _run(recorded.verify, services or SERVICES, as_json)


if __name__ == "__main__":
    main()
