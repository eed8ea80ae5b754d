"""The plans: one TOML file, read once, checked in full before anything starts."""

import functools
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

from shared import errors

FREE = "free"
DEFAULT = Path(__file__).with_name("catalogue.toml")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """
    :param messages: per calendar month
    :param rank: a change to a higher rank is an upgrade
    :param lookup_key: of the price at Stripe; Free has none
    """

    id: str
    name: str
    price_cents: int
    currency: str
    messages: int
    bots: int
    rank: int
    max_resets_per_month: int
    lookup_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """:param grace_period: how long a subscription that is past due keeps its plan"""

    grace_period: timedelta
    plans: tuple[Plan, ...]

    def plan(self, plan_id: str) -> Plan:
        """:raises Invalid: `unknown_plan`"""
        for plan in self.plans:
            if plan.id == plan_id:
                return plan
        raise errors.Invalid("unknown_plan", f"There is no plan of that id; there are {', '.join(self.ids)}.")

    def rank(self, plan_id: str) -> int:
        return self.plan(plan_id).rank

    def by_lookup_key(self, lookup_key: str | None) -> Plan | None:
        return next((plan for plan in self.plans if plan.lookup_key and plan.lookup_key == lookup_key), None)

    def find(self, plan_id: str | None) -> Plan | None:
        return next((plan for plan in self.plans if plan.id == plan_id), None)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(plan.id for plan in self.plans)


@functools.cache
def load(file: Path = DEFAULT) -> Catalogue:
    """
    :raises OSError: if the file cannot be read
    :raises ValueError: naming every fault in it
    """
    try:
        return parse(tomllib.loads(file.read_text()))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file.name} is no TOML: {error}") from error


def parse(document: dict[str, Any]) -> Catalogue:
    """:raises ValueError: naming every fault"""
    faults = list(_faults(document))
    if faults:
        raise ValueError("; ".join(faults))
    plans = sorted((Plan(**plan) for plan in document["plans"]), key=lambda plan: plan.rank)
    return Catalogue(grace_period=timedelta(days=document["grace_period_days"]), plans=tuple(plans))


def _faults(document: dict[str, Any]) -> Iterator[str]:
    unknown = document.keys() - {"grace_period_days", "plans"}
    if unknown:
        yield f"unknown: {', '.join(sorted(unknown))}"
    if not _whole(document.get("grace_period_days")):
        yield "grace_period_days must be a whole number, at least 0"
    plans = document.get("plans")
    if not isinstance(plans, list) or not all(isinstance(plan, dict) for plan in plans):
        yield "plans must be tables [[plans]]"
        return
    shapes = [fault for index, plan in enumerate(plans) for fault in _faults_of_plan(index, plan)]
    yield from shapes or _faults_together(plans)


def _faults_of_plan(index: int, plan: dict[str, Any]) -> Iterator[str]:
    where = f"plans[{index}]"
    known = {field.name: field for field in fields(Plan)}
    for name in sorted(plan.keys() - known.keys()):
        yield f"{where}.{name} is unknown"
    for name, field in known.items():
        if name not in plan:
            if field.default is MISSING:
                yield f"{where}.{name} is missing"
        elif field.type is int and not _whole(plan[name]):
            yield f"{where}.{name} must be a whole number, at least 0"
        elif field.type is str and (not isinstance(plan[name], str) or not plan[name]):
            yield f"{where}.{name} must be a text that is not empty"


def _faults_together(plans: list[dict[str, Any]]) -> Iterator[str]:
    """What only shows between plans that are each well formed."""
    for name in ("id", "rank", "lookup_key"):
        values = [plan[name] for plan in plans if name in plan]
        for value in sorted({value for value in values if values.count(value) > 1}):
            yield f"{name} {value} is there more than once"
    if len({plan["currency"] for plan in plans}) > 1:
        yield "all plans must have the same currency"
    for plan in plans:
        if plan["id"] != FREE and "lookup_key" not in plan:
            yield f"{plan['id']} needs a lookup_key, by which Stripe's price is found"
    free = next((plan for plan in plans if plan["id"] == FREE), None)
    if free is None:
        yield "there must be a plan free"
    elif free["price_cents"] != 0 or "lookup_key" in free or free["rank"] > min(plan["rank"] for plan in plans):
        yield "free must cost 0, have no lookup_key and the lowest rank"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
