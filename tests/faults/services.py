"""The histories of a whole stack: what each service tells, and who hears it."""

from importlib import import_module

from ops import processes
from shared import config, events
from tests.faults import history
from tests.stack.stacks import Running


def histories(stack: Running) -> list[history.History]:
    """One for each service whose events another one follows."""
    consumers: dict[str, list[history.Consumer]] = {}
    for service in processes.SERVICES:
        settings = config.load(import_module(f"services.{service}.settings").Settings, stack.environment)
        home = stack.database(service)
        for hears in import_module(f"services.{service}.worker").work(settings, home).hears:
            names = frozenset(kind.name for kind in hears.handlers)
            consumer = history.Consumer(service=service, home=home, handled=names)
            consumers.setdefault(hears.catalogue.service, []).append(consumer)
    return [
        history.History(
            producer=producer, home=stack.database(producer), catalogue=_catalogue(producer), consumers=listening
        )
        for producer, listening in consumers.items()
    ]


def settle(stack: Running, *, seconds: float = 60.0) -> None:
    """:raises AssertionError: with the first difference between what was told and what was heard"""
    for one in histories(stack):
        one.settle(seconds=seconds)


def _catalogue(service: str) -> events.Catalogue:
    catalogue: events.Catalogue = import_module(f"services.{service}.events").CATALOGUE
    return catalogue
