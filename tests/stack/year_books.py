"""What Stripe and we have of each org, read from the sandbox's own file, from the API and from the event logs."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.stack.stacks import Running
from tests.stack.year_rules import AtStripe, Object, WithUs

KINDS = ("subscription", "invoice", "charge", "dispute")
WAITING = "SELECT count(*) FROM deliveries WHERE status = 'pending' AND attempts = 0"
TOLD = "SELECT coalesce(max(position), 0) FROM objects WHERE kind = 'event'"
OF_TYPE = "SELECT body FROM objects WHERE kind = 'event' AND json_extract(body, '$.type') LIKE ? ORDER BY position"


@dataclass(frozen=True)
class Stripe:
    """The sandbox's state as its file has it: nothing of ours stands between."""

    stack: Running

    def undelivered(self) -> int:
        """How many webhooks were not tried yet."""
        return int(self._rows(WAITING)[0][0])

    def told(self) -> int:
        """Grows with each event."""
        return int(self._rows(TOLD)[0][0])

    def by_org(self) -> dict[str, AtStripe]:
        org_of = {
            customer["id"]: customer["metadata"].get("org_id", "") for customer in self._of_events("customer.created")
        }
        found: dict[str, dict[str, list[Object]]] = defaultdict(lambda: defaultdict(list))
        for kind in KINDS:
            for (body,) in self._rows("SELECT body FROM objects WHERE kind = ? ORDER BY position", kind):
                one = json.loads(body)
                found[org_of.get(one.get("customer"), "")][kind].append(one)
        org_of_charge = {charge["id"]: org_id for org_id, kinds in found.items() for charge in kinds["charge"]}
        disputes = found[""].pop("dispute", [])  # which name no customer
        prices: dict[str, set[str]] = defaultdict(set)
        for subscription in self._of_events("customer.subscription.%"):
            price = subscription["items"]["data"][0]["price"]
            prices[org_of.get(subscription["customer"], "")].add(price["lookup_key"])
        return {
            org_id: AtStripe(
                subscriptions=kinds["subscription"],
                invoices=kinds["invoice"],
                charges=kinds["charge"],
                disputes=[each for each in disputes if org_of_charge[each["charge"]] == org_id],
                prices=frozenset(prices[org_id]),
            )
            for org_id, kinds in found.items()
        }

    def _of_events(self, type_: str) -> Iterable[Object]:
        return (json.loads(body)["data"]["object"] for (body,) in self._rows(OF_TYPE, type_))

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        file = self.stack.directory / "stripe.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(sql, values).fetchall()


def with_us(stack: Running, org_id: str, shown: Mapping[str, Any]) -> WithUs:
    """:param shown: the answers of the API: `subscription`, `usage` and `bots`"""
    logged = stack.rows(
        "billing",
        "SELECT name, data FROM events LEFT JOIN log USING (stream, version) WHERE stream = :stream"
        " ORDER BY position, version",
        stream=f"subscription-{org_id}",
    )
    facts: dict[str, list[Object]] = defaultdict(list)
    for event in logged:
        facts[event.name.removeprefix("billing.")].append(json.loads(bytes(event.data)))
    changes = facts.pop("SubscriptionChanged", [])
    applied = stack.rows("quota", "SELECT subscription_version FROM orgs WHERE org_id = :org", org=org_id)
    return WithUs(
        org_id=org_id,
        subscription=shown["subscription"],
        usage=shown["usage"],
        bots=shown["bots"],
        changes=changes,
        applied=applied[0].subscription_version if applied else 0,
        roster=_roster(stack, org_id, {change["version"]: change["bot_limit"] for change in changes}),
        facts=facts,
    )


def story(us: WithUs, stripe: AtStripe) -> str:
    """Both books of an org, a line each: what it takes to understand a difference."""
    told = [
        f"v{each['version']} {each['effective_at']} {each['action']}: {each['plan']} {each['status']}"
        for each in us.changes
    ]
    facts = [f"{name} {fact}" for name, found in us.facts.items() for fact in found]
    subscriptions = [_of_subscription(each) for each in stripe.subscriptions]
    invoices = [
        f"{each['parent']['subscription_details']['subscription'][-6:]} {each['status']} {each['amount_due']}"
        f" {each['billing_reason']} {_when(each['created'])}, paid {_when(each['status_transitions']['paid_at'])}"
        for each in stripe.invoices
    ]
    return "\n  ".join(["", f"shown {us.subscription}", *told, *facts, *subscriptions, *invoices])


def _of_subscription(subscription: Object) -> str:
    item = subscription["items"]["data"][0]
    return (
        f"{subscription['id'][-6:]} of {subscription['customer']} {subscription['status']}"
        f" {item['price']['lookup_key']}"
        f" from {_when(subscription['created'])} to {_when(subscription['ended_at'])},"
        f" period {_when(item['current_period_start'])} to {_when(item['current_period_end'])}"
        f"{', then ends' if subscription['cancel_at_period_end'] else ''} {subscription['metadata']}"
    )


def _when(unix_seconds: int | None) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%d %H:%M") if unix_seconds else "-"


def _roster(stack: Running, org_id: str, bot_limits: Mapping[int, int]) -> list[tuple[str, Any]]:
    """What people did to bots, and the changes of the limit, in the order of the org's lock."""
    recorded = stack.rows(
        "quota",
        "SELECT name, data FROM events WHERE stream = :bots OR stream LIKE :ledger"
        " ORDER BY recorded_at, stream DESC, version",
        bots=f"bots-{org_id}",
        ledger=f"ledger-{org_id}-%",
    )
    happened: list[tuple[str, Any]] = []
    for event in recorded:
        fact = json.loads(bytes(event.data))
        match event.name.removeprefix("quota."), fact.get("reason"):
            case "BotCreated", _:
                happened.append(("created", fact["bot_id"]))
            case "BotPaused", "user":
                happened.append(("paused", fact["bot_id"]))
            case "BotResumed", "user":
                happened.append(("resumed", fact["bot_id"]))
            case "LimitChanged", _:
                happened.append(("limit", bot_limits[fact["subscription_version"]]))
    return happened
