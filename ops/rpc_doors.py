"""The doors of all services, read from their classes: what may be called, by whom, and with what."""

import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from ops import processes
from services import access


@dataclass(frozen=True, kw_only=True)
class Door:
    """
    :param permission: its name in `services.access`
    :param arguments: as a caller gives them
    :param text: its docstring
    :param is_query: whether it only shows something
    """

    service: str
    method: str
    permission: str
    arguments: tuple[inspect.Parameter, ...]
    text: str
    is_query: bool

    @property
    def name(self) -> str:
        return f"{self.service}.{self.method}"

    @property
    def rule(self) -> access.Permission:
        return access.PERMISSIONS[self.permission]

    @property
    def is_for_others(self) -> bool:
        """Whether another service of the company may be given it."""
        return self.rule.service and not self.rule.ours_only


@cache
def all_doors() -> tuple[Door, ...]:
    """By service, each service's in the order in which they stand there."""
    return tuple(door for service in processes.SERVICES for door in _doors_of(service))


@cache
def public_events() -> tuple[str, ...]:
    """The names of all events that leave their service."""
    catalogues = [import_module(f"services.{name}.events") for name in processes.SERVICES]
    return tuple(fact.name for catalogue in catalogues for fact in catalogue.PUBLIC)


def _doors_of(service: str) -> Iterator[Door]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # eventlet warns that new projects should not choose it
        of_class = import_module(f"services.{service}.service").SERVICE
    methods = {name: method for kind in of_class.__mro__ for name, method in vars(kind).items()}
    for name, method in methods.items():
        if hasattr(method, "nameko_entrypoints"):
            yield Door(
                service=service,
                method=name,
                permission=method.permission,
                arguments=tuple(inspect.signature(method).parameters.values())[1:],
                text=inspect.getdoc(method) or "",
                is_query=getattr(method, "is_query", False),
            )
