"""`chatness quota`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ops.commands import options


def _end_of_day(_context: click.Context, _parameter: click.Parameter, day: datetime) -> datetime:
    return day.replace(tzinfo=UTC) + timedelta(days=1)


def _period(_context: click.Context, _option: Any, value: str) -> str:
    from ops.quota import ledgers

    if value and not ledgers.PERIOD.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no month as 2026-11")
    return value


_FOLDER: Any = click.Path(file_okay=False, path_type=Path)


_one_period = click.option("--period", default="", metavar="MONTH", callback=_period, help="By default the open one.")


@click.group()
def quota() -> None:
    """An org's messages: extra ones, how a number came to be, whether what is stored agrees, and old months."""


@quota.command("credit")
@click.argument("org_id", metavar="ORG")
@click.option("--messages", required=True, type=click.IntRange(min=1), metavar="N", help="So many extra messages.")
@click.option(
    "--reason", required=True, callback=options.words, help="Why. It is kept with your name, and erased with the org."
)
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


@quota.command("explain")
@click.argument("org_id", metavar="ORG")
@_one_period
@click.option(
    "--message", "message_id", default="", metavar="ID", help="Only whether this one was counted, and when."
)
@click.option("--archive", type=_FOLDER, metavar="DIR", help="Where the files of archived months are.")
@options.as_json
def explain(org_id: str, period: str, message_id: str, archive: Path | None, as_json: bool) -> None:
    """
    Tell how a month's number came to be, from its events alone, and whether what is stored agrees.

    Each line is a fact with its moment (UTC) and what was used after it. Messages are counted by day and bot.

    Exit codes: 0 it agrees; 1 it does not; 3 no such org, month or message; 5 the month is in an archive; 75 the
    database is away.
    """
    from ops.quota import explain as months

    question = months.Question(org_id=org_id, period=period, message_id=message_id, archive=archive)
    options.run(months.run, question, as_json=as_json)


@quota.command("statement")
@click.argument("org_id", metavar="ORG")
@_one_period
@click.option("--archive", type=_FOLDER, metavar="DIR", help="Where the files of archived months are.")
@options.as_json
def statement(org_id: str, period: str, archive: Path | None, as_json: bool) -> None:
    """
    Print every entry of a month and why it is there, as CSV: the file that the org itself gets from the API.

    Of a month that is in an archive only this has the entries.

    Exit codes: 3 no such org or month; 5 the month is in an archive, or its file does not fit; 75 the database is
    away.
    """
    from ops.quota import statements

    options.run(statements.run, org_id, period=period, archive=archive, as_json=as_json)


@quota.command("check")
@click.option("--org", "org_id", default="", metavar="ORG", help="Only this one.")
@click.option("--repair", "mend", is_flag=True, help="Set an org's row that differs to what its events say.")
@click.option(
    "--reason",
    default="",
    callback=options.words,
    help="Why. It is kept with your name; write no personal data of customers.",
)
@options.by
@options.execute
@options.as_json
def check(org_id: str, *, mend: bool, reason: str, by: str, execute: bool, as_json: bool) -> None:
    """
    Fold every month from its events, and name each row that is not as they say. Changes nothing without --repair.

    Compared are the org's row (but for `bot_limit`, which quota's events do not have), the messages that are
    remembered, and the heads of the months' streams. It may run beside the service, and be stopped at any moment.
    --repair takes one org after the other behind its lock, and notes in the table `repairs` what it changed.

    Exit codes: 0 all agrees, or is mended; 1 something differs; 3 no such org; 75 the database is away.
    """
    from ops.quota import check as months

    if execute and not mend:
        raise click.UsageError("--execute is for --repair")
    if execute and not reason:
        raise click.UsageError("--repair --execute needs a --reason")
    order = months.Order(org_id=org_id, mend=mend, execute=execute, actor=options.operator(by), reason=reason)
    options.run(months.run, order, as_json=as_json)


@quota.group("archive", invoke_without_command=True)
@click.option("--before", default="", metavar="MONTH", callback=_period, help="Months before this one.")
@click.option("--to", "folder", type=_FOLDER, metavar="DIR", help="The folder to write the files to.")
@options.by
@options.execute
@options.as_json
@click.pass_context
def archive(
    context: click.Context, *, before: str, folder: Path | None, by: str, execute: bool, as_json: bool
) -> None:
    """
    Move the events of old months from the table to compressed files, one by org and month.

    Each file is read again, up to the hash that its stream ends with, before its events are dropped. What stays is
    the stream's head, so that the file can be proven at any time. It may be stopped and begun again at any moment.
    Months that are open, or whose message ids are still remembered, stay where they are.

    Exit codes: 0 done; 1 a month could not be archived; 3 no such folder; 5 months that must stay; 75 the database
    is away.
    """
    if context.invoked_subcommand is not None:
        return
    if not before or folder is None:
        raise click.UsageError("say which months with --before, and where to with --to")
    from ops.quota import archive as files

    options.run(files.archive, folder, before=before, execute=execute, actor=options.operator(by), as_json=as_json)


@archive.command("verify")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@options.as_json
def verify(folder: Path, as_json: bool) -> None:
    """
    Prove every archived month's file by the head of its stream; code 1 if one is missing or not whole.
    """
    from ops.quota import archive as files

    options.run(files.verify, folder, as_json=as_json)


@archive.command("forget")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option(
    "--gone", is_flag=True, help="Also those that are not in the folder, because they are nowhere any more."
)
@options.execute
@options.as_json
def forget(folder: Path, *, gone: bool, execute: bool, as_json: bool) -> None:
    """
    Delete the files of orgs that were erased, so that their erasure can end. Copies elsewhere are yours to delete.

    Until the last file of an org is gone, quota does not tell the others that it was erased here.

    Exit codes: 0 done; 1 a file is not in the folder; 3 no such folder; 75 the database is away.
    """
    from ops.quota import forgetting

    options.run(forgetting.forget, folder, gone=gone, execute=execute, as_json=as_json)


@archive.command("restore")
@click.argument("org_id", metavar="ORG")
@click.option("--period", required=True, metavar="MONTH", callback=_period, help="Which month.")
@click.option("--from", "folder", required=True, type=_FOLDER, metavar="DIR", help="Where its file is.")
@options.execute
@options.as_json
def restore(org_id: str, period: str, folder: Path, *, execute: bool, as_json: bool) -> None:
    """
    Put an archived month's events back into the table, if its file is whole. The file stays.

    Exit codes: 0 done; 3 no such org or month; 5 it is not archived, or its file does not fit; 75 the database is
    away.
    """
    from ops.quota import archive as files

    options.run(files.restore, folder, org_id, period, execute=execute, as_json=as_json)
