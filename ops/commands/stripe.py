"""`chatness stripe`: the company's account at Stripe."""

import click

from ops.commands import options


@click.group()
def stripe() -> None:
    """The account at Stripe."""


@stripe.command("setup")
@options.execute
@options.as_json
def setup(execute: bool, as_json: bool) -> None:
    """
    Let the account of STRIPE_API_KEY hold what billing needs: the catalogue's products and prices, a configuration of
    the customer portal, and the webhook endpoint of PUBLIC_URL.

    Without --execute it only says what is missing or differs. Nothing is ever deleted, and run twice it does nothing
    more. The signing secret of a new endpoint is printed once, as a line for the settings.

    Exit codes: 0 done, or nothing to do; 5 Stripe refuses it; 75 Stripe does not answer; 78 bad configuration.
    """
    from ops import stripe_setup

    options.run(stripe_setup.run, execute=execute, as_json=as_json)
