"""`chatness erasure`."""

import click

from ops.commands import options


@click.group()
def erasure() -> None:
    """People who leave: what of it is outstanding, since when, and for whom it waits."""


@erasure.command("list")
@options.as_json
def list_erasures(as_json: bool) -> None:
    """Deletions that are confirmed, and erasures that have begun and have not ended; the longest first."""
    from ops import erasure as leaving

    options.run(leaving.list_all, as_json)


@erasure.command("show")
@click.argument("id", metavar="ACCOUNT|ORG")
@options.as_json
def show(id: str, as_json: bool) -> None:
    """
    One, by the id of the account or of an org that goes along: how far each service is.

    Exit code 3: nothing is known of a deletion of it.
    """
    from ops import erasure as leaving

    options.run(leaving.show, id, as_json)
