"""`chatness write`: a mail to support, in the sandbox."""

import click

from ops import exits, reach, settings
from sandbox import letters
from services.mailroom.settings import Settings
from shared import clock, config


def write(sender: str, subject: str, text: str) -> int:
    """
    :raises BadConfiguration: outside the sandbox, and for a mail that cannot be one
    :raises Refused: if the mailroom does not take it
    :raises Away: if there is none
    """
    environment = reach.environment()
    told = config.load(settings.ClockSettings, environment)
    if not told.sandbox:
        raise config.BadConfiguration("nobody writes in somebody's name outside the sandbox")
    mailroom = config.load(Settings, environment)
    now = clock.Clock(told.clock_file).now()
    try:
        mail = letters.compose(sender=sender, to=mailroom.support_address, subject=subject, text=text, now=now)
    except ValueError as error:
        raise config.BadConfiguration(f"that is no mail: {error}") from None
    host, port = mailroom.host, mailroom.port
    try:
        letters.hand_over(mail, sender=sender, to=mailroom.support_address, host=host, port=port)
    except letters.Refused as error:
        raise exits.Refused(f"the mailroom does not take it: {error}") from None
    except OSError as error:
        raise exits.Away(f"no mailroom takes it at {host}:{port}: {error}") from None
    click.echo(f"handed over to {mailroom.support_address}; what came of it: chatness mail")
    return 0
