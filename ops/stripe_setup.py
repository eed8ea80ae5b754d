"""`chatness stripe setup`: the account at Stripe, as billing needs it."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ops import exits, reach
from services.billing import account_setup, stripe_account, stripe_calls
from services.billing.settings import AccountSettings
from shared import config

SECRETS = "STRIPE_WEBHOOK_SECRETS"
_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


def run(*, execute: bool, as_json: bool) -> int:
    """:raises Away, Refused: as it ends"""
    settings: AccountSettings = config.load(AccountSettings, reach.environment_of_one("STRIPE_API_KEY"))
    click.echo(f"the account of STRIPE_API_KEY, {'LIVE' if settings.livemode else 'test'} mode", err=True)
    with _needing_stripe():
        account = stripe_account.look(settings)
    steps = account_setup.steps(account, settings.plans, settings.public_url)
    for step in steps:
        secret = _done(settings, step) if execute else ""
        _tell(step, secret, done=execute, as_json=as_json)
    if not steps:
        click.echo("the account is as the catalogue wants it", err=True)
    elif not execute:
        click.echo(exits.NO_CHANGE, err=True)
    return exits.OK


def _done(settings: AccountSettings, step: account_setup.Step) -> str:
    with _needing_stripe():
        return stripe_account.do(settings, step)


def _tell(step: account_setup.Step, secret: str, *, done: bool, as_json: bool) -> None:
    if as_json:
        kind = _WORDS.sub("_", type(step).__name__).lower()
        document: dict[str, Any] = {"step": kind, "text": str(step), "done": done}
        click.echo(json.dumps(document | ({SECRETS: secret} if secret else {})))
    else:
        click.echo(f"{'done' if done else 'to do'}: {step}")
        if secret:
            click.echo(f"{SECRETS}={secret}")
    if secret:
        click.echo(
            f"set {SECRETS} to this where billing's processes get their settings, and restart them; if one stands "
            "there that is still in use, put this before it, with a comma between. It is not shown again here",
            err=True,
        )


@contextmanager
def _needing_stripe() -> Iterator[None]:
    try:
        yield
    except stripe_calls.Refused as refused:
        raise exits.Refused(f"Stripe refuses it ({refused}): {refused.told}") from refused
    except stripe_calls.Away as away:
        raise exits.Away(f"Stripe {away}{': ' if away.told else '; try again'}{away.told}") from away
