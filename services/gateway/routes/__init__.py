"""
The routes, one file per group, each with its `routes`. A new file is entered here.
"""

from services.gateway import routing, settings
from services.gateway.routes import (
    accounts,
    activity,
    billing,
    bots,
    deletions,
    invitations,
    messages,
    operations,
    orgs,
    pictures,
    secrets,
    usage,
)


def groups(settings: settings.Settings) -> list[routing.Routes]:
    """The groups of routes that these settings switch on."""
    people = [one.routes for one in (accounts, pictures, deletions, orgs, invitations, activity)]
    always = [*people, *(one.routes for one in (billing, secrets, bots, messages, usage))]
    return [*always, operations.routes] if settings.noop_route else always
