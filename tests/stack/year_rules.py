"""
What must hold between Stripe and us whenever nothing is under way. One rule a function, in plain words; pure.

`first_difference` names the first that does not hold. The books that it reads are gathered in `year_books`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.billing.catalogue import FREE, Catalogue
from shared import clock

Object = dict[str, Any]
PAID, OWING = ("active", "trialing"), ("past_due", "unpaid")
KEPT_PLAN, KEPT_UNTIL = "chatness_kept_plan", "chatness_kept_until"


@dataclass(frozen=True, kw_only=True)
class AtStripe:
    """
    All that Stripe has of one org, the oldest first: every customer that was made for it, living or deleted.

    :param prices: the lookup keys that its subscriptions ever had
    """

    subscriptions: Sequence[Object]
    invoices: Sequence[Object]
    charges: Sequence[Object]
    disputes: Sequence[Object] = ()
    prices: frozenset[str] = frozenset()

    @property
    def living(self) -> list[Object]:
        return [each for each in self.subscriptions if each["status"] != "canceled"]


@dataclass(frozen=True, kw_only=True)
class WithUs:
    """
    What we say of one org.

    :param subscription: `GET /v1/subscription`; `usage`: `GET /v1/usage`; `bots`: `GET /v1/bots`, the oldest first
    :param changes: the SubscriptionChanged of the log, in its order
    :param applied: the version of the last one that quota took over
    :param roster: what people did to bots and when the bot limit changed, in order: (what, bot id or limit)
    :param facts: billing's other events by name, each the oldest first
    """

    org_id: str
    subscription: Object
    usage: Object
    bots: Sequence[Object]
    changes: Sequence[Object]
    applied: int
    roster: Sequence[tuple[str, Any]] = ()
    facts: Mapping[str, Sequence[Object]] = field(default_factory=dict)


def first_difference(us: WithUs, stripe: AtStripe, plans: Catalogue, now: datetime) -> str:
    """Empty if everything agrees."""
    return next(_differences(us, stripe, plans, now), "")


def _differences(us: WithUs, stripe: AtStripe, plans: Catalogue, now: datetime) -> Iterator[str]:
    yield from _one_subscription(stripe)
    yield from _plan(us, stripe, plans, now)
    yield from _schedule(us, stripe, plans)
    yield from _period_is_paid(stripe, now)
    yield from _no_period_is_charged_twice(stripe)
    yield from _every_plan_was_bought(us, stripe, plans)
    yield from _what_was_paid_twice_is_given_back(us, stripe)
    yield from _money_that_went_back_is_known(us, stripe)
    yield from _versions(us, plans)
    yield from _limits(us, plans)
    yield from _bots(us)


def _one_subscription(stripe: AtStripe) -> Iterator[str]:
    """A customer has one subscription that lives, at most."""
    if len(stripe.living) > 1:
        yield f"{len(stripe.living)} subscriptions live: {', '.join(each['id'] for each in stripe.living)}"


def _plan(us: WithUs, stripe: AtStripe, plans: Catalogue, now: datetime) -> Iterator[str]:
    """The plan is that of the subscription; while it owes, for the days of grace, and Free afterwards."""
    shown = us.subscription
    is_now = (shown["plan"], shown["status"])
    problem = shown["payment_problem"]
    living = stripe.living[-1] if stripe.living else None
    if living is None or living["status"] in PAID:
        should_be = (FREE if living is None else entitled(living, plans), "active")
        if is_now != should_be:
            yield f"plan and status are {is_now}, and by Stripe {should_be}"
        if problem is not None:
            yield f"a payment is said to be missing, and Stripe misses none: {problem}"
        return
    if problem is None:
        yield f"{living['id']} is {living['status']}, and no payment is said to be missing"
        return
    grace_until = clock.parse(problem["grace_until"])
    failed_at = _failed_at(stripe, living)
    if grace_until < failed_at + plans.grace_period:
        yield f"grace is over {grace_until}, less than its days after the payment that failed {failed_at}"
    should_be = (entitled(living, plans), "past_due") if now < grace_until else (FREE, "unpaid")
    if is_now != should_be:
        yield f"plan and status are {is_now}, and with grace until {grace_until} {should_be}"


def entitled(subscription: Object, plans: Catalogue) -> str:
    """The plan of the price, or the dearer one that is paid for until the period ends."""
    plan = plan_of(subscription, plans)
    kept, until = (subscription["metadata"].get(name) or "" for name in (KEPT_PLAN, KEPT_UNTIL))
    if kept and until == str(_item(subscription)["current_period_end"]) and plans.rank(kept) > plans.rank(plan):
        return kept
    return plan


def plan_of(subscription: Object, plans: Catalogue) -> str:
    found = plans.by_lookup_key(_item(subscription)["price"]["lookup_key"])
    return found.id if found else "of no plan"


def _schedule(us: WithUs, stripe: AtStripe, plans: Catalogue) -> Iterator[str]:
    """What is scheduled is what Stripe will do when the period ends."""
    should_be = None
    for living in stripe.living:
        ends_at = clock.rfc3339(_moment(_item(living)["current_period_end"]))
        if living["cancel_at_period_end"]:
            should_be = {"plan": FREE, "takes_effect_at": ends_at}
        elif entitled(living, plans) != plan_of(living, plans):
            should_be = {"plan": plan_of(living, plans), "takes_effect_at": ends_at}
    if us.subscription["scheduled_change"] != should_be:
        yield f"scheduled is {us.subscription['scheduled_change']}, and at Stripe {should_be}"


def _period_is_paid(stripe: AtStripe, now: datetime) -> Iterator[str]:
    """
    No plan without a charge: what is active has paid its last bill, and that of this period before a change. A change
    that waits for a payment has not happened yet.
    """
    for living in stripe.living:
        if living["status"] in PAID:
            waits = living["latest_invoice"] if living["pending_update"] else ""
            bills = [
                each for each in _invoices_of(stripe, living) if each["status"] != "void" and each["id"] != waits
            ]
            paid = [each for each in bills if each["status"] == "paid" and _covers(each, now)]
            if bills[-1]["status"] != "paid" or not (paid or bills[-1]["billing_reason"] == "subscription_update"):
                yield f"{living['id']} is active, and its bill of this period is not paid"


def _no_period_is_charged_twice(stripe: AtStripe) -> Iterator[str]:
    periods = Counter(
        (each["parent"]["subscription_details"]["subscription"], line["period"]["start"])
        for each in stripe.invoices
        if each["status"] == "paid"
        for line in _period_lines(each)
    )
    for (subscription_id, start), times in periods.items():
        if times > 1:
            yield f"the period of {subscription_id} that began {_moment(start)} was paid {times} times"


def _every_plan_was_bought(us: WithUs, stripe: AtStripe, plans: Catalogue) -> Iterator[str]:
    """Nobody ever had a plan that no subscription of theirs was for."""
    bought = {FREE} | {plan.id for key in stripe.prices if (plan := plans.by_lookup_key(key))}
    for change in us.changes:
        if change["plan"] not in bought:
            yield f"version {change['version']} gave {change['plan']}, which no subscription ever was for"


def _what_was_paid_twice_is_given_back(us: WithUs, stripe: AtStripe) -> Iterator[str]:
    """A second subscription is ended once, and what it cost last is back on the card."""
    ended = us.facts.get("DuplicateSubscriptionEnded", ())
    times = Counter(fact["subscription_id"] for fact in ended)
    by_id = {each["id"]: each for each in stripe.subscriptions}
    for fact in ended:
        subscription = by_id.get(fact["subscription_id"])
        if subscription is None or subscription["status"] != "canceled":
            yield f"{fact['subscription_id']} was ended as a duplicate, and lives at Stripe"
        if times[fact["subscription_id"]] > 1:
            yield f"{fact['subscription_id']} was ended {times[fact['subscription_id']]} times"
    back = sum(fact["refunded_cents"] for fact in ended)
    refunded = sum(charge["amount_refunded"] for charge in stripe.charges)
    if back > refunded:
        yield f"{back} cents were given back as duplicates, and at Stripe {refunded} in all"


def _money_that_went_back_is_known(us: WithUs, stripe: AtStripe) -> Iterator[str]:
    known = {fact["charge_id"]: fact["refunded_cents"] for fact in us.facts.get("PaymentRefunded", ())}
    refunded = {each["id"]: each["amount_refunded"] for each in stripe.charges if each["amount_refunded"]}
    if known != refunded:
        yield f"refunds are {known}, and at Stripe {refunded}"
    disputes = {fact["dispute_id"]: fact["status"] for fact in us.facts.get("PaymentDisputed", ())}
    disputed = {each["id"]: each["status"] for each in stripe.disputes}
    if disputes != disputed:
        yield f"disputes are {disputes}, and at Stripe {disputed}"


def _versions(us: WithUs, plans: Catalogue) -> Iterator[str]:
    """1 to n without a gap, each from the plan of the one before; quota has applied the last, and it is shown."""
    versions = [change["version"] for change in us.changes]
    if versions != list(range(1, len(versions) + 1)):
        yield f"the versions of SubscriptionChanged are {versions}"
        return
    before = ""
    for change in us.changes:
        if change["plan_before"] != before:
            yield f"version {change['version']} comes from {change['plan_before']}, and the one before gave {before}"
        before = change["plan"]
        plan = plans.plan(before)
        if (change["message_limit"], change["bot_limit"]) != (plan.messages, plan.bots):
            yield f"version {change['version']} has other limits than {plan.id}"
    if us.applied != len(versions):
        yield f"quota has applied version {us.applied} of {len(versions)}"
    last = {name: us.changes[-1][name] for name in ("version", "plan")} if us.changes else {}
    shown = {name: us.subscription[name] for name in last}
    if shown != last:
        yield f"shown is {shown}, and told last was {last}"


def _limits(us: WithUs, plans: Catalogue) -> Iterator[str]:
    plan = plans.plan(us.subscription["plan"])
    if us.subscription["limits"] != {"messages": plan.messages, "bots": plan.bots}:
        yield f"the limits of {plan.id} are {us.subscription['limits']}"
    if us.usage["limit"] != plan.messages:
        yield f"quota counts by {us.usage['limit']}, and {plan.id} has {plan.messages}"
    if us.usage["used"] > us.usage["limit"] and us.usage["remaining"]:
        yield f"usage makes no sense: {us.usage}"


def _bots(us: WithUs) -> Iterator[str]:
    """Paused are those that people paused and, the newest first, those that the plan has no room for."""
    should_be = {bot_id: sorted(reasons) for bot_id, reasons in rostered(us.roster).items()}
    shown = {bot["id"]: sorted(bot["pause_reasons"]) for bot in us.bots}
    if shown != should_be:
        yield f"the bots' pauses are {shown}, and should be {should_be}"
    running = [bot for bot in us.bots if not bot["pause_reasons"]]
    if len(running) > us.subscription["limits"]["bots"]:
        yield f"{len(running)} bots run, and the plan has {us.subscription['limits']['bots']}"
    state = "stopped" if us.usage["blocked"] else "running"
    wrong = [bot["id"] for bot in us.bots if bot["state"] != ("paused" if bot["pause_reasons"] else state)]
    if wrong:
        yield f"{wrong} are not {state}"


def rostered(roster: Sequence[tuple[str, Any]]) -> dict[str, set[str]]:
    """The pause reasons that each bot should have, by what happened."""
    bots: dict[str, set[str]] = {}
    limit = 0
    for what, about in roster:
        match what:
            case "created" | "resumed":
                bots[about] = set()
            case "paused":
                bots[about].add("user")
            case "limit":
                _fit(bots, before=limit, limit=about)
                limit = about
    return bots


def _fit(bots: dict[str, set[str]], *, before: int, limit: int) -> None:
    running = [bot_id for bot_id, reasons in bots.items() if not reasons]
    for bot_id in running[limit:]:
        bots[bot_id].add("plan")
    room = limit - len(running) if limit > before else 0
    for reasons in bots.values():
        if room > 0 and "plan" in reasons:
            reasons.remove("plan")
            room -= not reasons


def _failed_at(stripe: AtStripe, subscription: Object) -> datetime:
    """When the first bill was drawn up since a period was paid."""
    failed: Object | None = None
    for invoice in _invoices_of(stripe, subscription):
        if invoice["status"] in ("open", "draft"):
            failed = failed or invoice
        elif invoice["status"] == "paid" and invoice["billing_reason"] != "subscription_update":
            failed = None
    return _moment((failed or subscription)["created"])


def _invoices_of(stripe: AtStripe, subscription: Object) -> list[Object]:
    return [
        each
        for each in stripe.invoices
        if each["parent"]["subscription_details"]["subscription"] == subscription["id"]
    ]


def _covers(invoice: Object, now: datetime) -> bool:
    return any(
        _moment(line["period"]["start"]) <= now < _moment(line["period"]["end"]) for line in _period_lines(invoice)
    )


def _period_lines(invoice: Object) -> list[Object]:
    """A whole period each, and no half of a change."""
    lines: list[Object] = invoice["lines"]["data"]
    return [each for each in lines if not each["parent"]["subscription_item_details"]["proration"]]


def _item(subscription: Object) -> Object:
    return dict(subscription["items"]["data"][0])


def _moment(unix_seconds: int) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)
