"""
What an org's programs, owner and operators asked of quota and were told, held against its ledger and the model.

The ledger gives the order in which things were decided, billing and the command line what was asked; each number
comes from the model alone.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.quota import boundary, projections
from shared import clock
from tests.quota import model
from tests.stack.stacks import Org, eventually

PLAN_ACTIONS = ("upgraded", "downgraded", "canceled")
SETTLE_SECONDS = 60


@dataclass
class Told:
    """
    :param asked: ids of all messages for which an admission was asked, whatever came back
    :param admitted: of each message that was admitted its answer, which it keeps
    :param refused: the members of each refusal for want of messages
    :param refund_asked: ids of messages; those that were told refunded, and that their window is over, are in
        `refunded` and `kept`
    :param granted: messages and end of each credit
    :param plans: those that the subscription was changed to, in order
    """

    asked: set[str] = field(default_factory=set)
    admitted: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    refund_asked: set[str] = field(default_factory=set)
    refunded: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    granted: list[tuple[int, datetime]] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)


@dataclass
class Retold:
    """What the ledger says, as the model counts it. `full`: the numbers at which messages are refused."""

    expected: model.Model = field(default_factory=model.Model)
    admitted: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunded: set[str] = field(default_factory=set)
    granted: list[tuple[int, datetime]] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    full: list[dict[str, Any]] = field(default_factory=list)

    def take(self, event: Any, changes: dict[int, dict[str, Any]]) -> None:
        """
        :param changes: billing's, by version
        :raises AssertionError: if it should not have happened
        """
        expected, fact = self.expected, json.loads(bytes(event.data))
        expected.at(event.recorded_at)
        match event.name.removeprefix("quota."):
            case "MessageRecorded":
                message_id = fact["message_id"]
                assert message_id not in self.admitted, f"{message_id} was counted twice"
                assert expected.admit(message_id, event.recorded_at), f"{message_id} is one too many"
                self.admitted[message_id] = {"id": message_id, "bot_id": fact["bot_id"], **expected.numbers}
            case "MessageRefunded":
                message_id = fact["message_id"]
                assert message_id not in self.refunded, f"{message_id} was refunded twice"
                assert expected.refund(message_id, event.recorded_at), f"{message_id} was refunded too late"
                self.refunded.add(message_id)
            case "LimitChanged":
                change = changes[fact["subscription_version"]]
                self.versions.append(change["version"])
                expected.change(
                    change["message_limit"],
                    action=change["action"],
                    effective_period=boundary.period_of(clock.parse(change["effective_at"])),
                    max_resets=change["max_resets_per_month"],
                )
            case "CreditGranted":
                expires_at = clock.parse(fact["expires_at"])
                expected.grant(fact["credit_id"], fact["messages"], expires_at)
                self.granted.append((fact["messages"], expires_at))
        if expected.numbers["remaining"] == 0:
            self.full.append(refusal(expected))


def refusal(expected: model.Model) -> dict[str, Any]:
    numbers = {name: expected.numbers[name] for name in ("used", "limit", "credits_remaining")}
    return {**numbers, "resets_at": projections.resets_at(expected.count[0])}


def check(org: Org, told: Told, usage: dict[str, Any]) -> Retold:
    """
    All that was told and all that is stored is as it should be. Nobody may ask meanwhile.

    :param usage: what GET /v1/usage answers
    :raises AssertionError: with the first difference
    """
    retold = _retell(org)
    compare(retold, told)
    expected = retold.expected
    expected.at(org.stack.clock.now())
    assert {name: usage[name] for name in expected.numbers} == expected.numbers
    return retold


def compare(retold: Retold, told: Told) -> None:
    """:raises AssertionError: with the first difference"""
    unknown = {id: answer for id, answer in told.admitted.items() if retold.admitted.get(id) != answer}
    assert not unknown, f"told {unknown}, counted {[retold.admitted.get(id) for id in unknown]}"
    assert retold.admitted.keys() <= told.asked, "what nobody asked for was counted"
    assert told.refunded <= retold.refunded <= told.refund_asked, "refunds"
    assert not told.kept & retold.refunded, "refunded though told that the window is over"
    assert Counter(retold.granted) == Counter(told.granted), "credits"
    wrong = [one for one in told.refused if one not in retold.full]
    assert not wrong, f"refused at {wrong[0]}"


def _retell(org: Org) -> Retold:
    """As soon as all that billing said has reached quota."""

    def retell() -> Retold | None:
        recorded = _ledger(org)  # first: what it knows of billing is in billing then
        changes = {change["version"]: change for change in _changes(org)}
        retold = Retold()
        for event in recorded:
            retold.take(event, changes)
        return retold if retold.versions == [*changes] else None

    return eventually(retell, "quota has not heard all that billing said", seconds=SETTLE_SECONDS)


def plans_changed(org: Org) -> list[str]:
    """The plans that the subscription was changed to, as billing has it, without the first."""
    return [change["plan"] for change in _changes(org) if change["action"] in PLAN_ACTIONS]


def _changes(org: Org) -> list[dict[str, Any]]:
    recorded = org.stack.events("billing", "billing.SubscriptionChanged", org.id)
    return [json.loads(bytes(event.data)) for event in recorded]


def _ledger(org: Org) -> list[Any]:
    """In the order in which it was decided: behind the org's lock, by one clock."""
    return org.stack.rows(
        "quota",
        "SELECT name, data, recorded_at FROM events WHERE stream LIKE :stream ORDER BY recorded_at, stream, version",
        stream=f"ledger-{org.id}-%",
    )
