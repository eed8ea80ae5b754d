"""A month's facts in words that can be read to a customer; messages are counted by day and bot."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ops.quota.ledgers import Step
from services.quota import ledger
from services.quota.events import (
    BotsRestarted,
    BotsStopped,
    CreditCarried,
    CreditExpired,
    CreditGranted,
    CreditReturned,
    LimitChanged,
    MessageRecorded,
    MessageRefunded,
    PeriodOpened,
    QuotaReset,
    UsageReset,
    UsageThresholdReached,
)

BOTS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Line:
    """
    :param fact: the event's name; of messages, that of each
    :param data: the event's content; of messages, how many by bot
    """

    at: datetime
    fact: str
    words: str
    data: dict[str, Any]
    month: ledger.Month


@dataclass
class Messages:
    """Those of one day that nothing came between. `from_credits` is how many of them came from credits."""

    first: Step
    last: Step
    bots: Counter[str]
    from_credits: int = 0

    @property
    def line(self) -> Line:
        number = self.bots.total()
        words = f"{number} {'message' if number == 1 else 'messages'}: {_shares(self.bots)}"
        if self.from_credits:
            words = f"{words}; {self.from_credits} of credits"
        data = {"messages": number, "from_credits": self.from_credits, "bots": dict(self.bots.most_common())}
        at = self.first.event.recorded_at
        return Line(at=at, fact=MessageRecorded.name, words=words, data=data, month=self.last.month)


def lines(steps: Iterable[Step]) -> Iterator[Line]:
    counted: Messages | None = None
    for step in steps:
        if isinstance(step.fact, MessageRecorded):
            if counted is not None and counted.first.event.recorded_at.date() != step.event.recorded_at.date():
                yield counted.line
                counted = None
            counted = counted or Messages(step, step, Counter())
            counted.last = step
            counted.bots[step.fact.bot_id] += 1
            counted.from_credits += bool(step.fact.credit_id)
        elif not isinstance(step.fact, QuotaReset):  # what the others were told of a reset that stands in the ledger
            if counted is not None:
                yield counted.line
            counted = None
            yield _line(step)
    if counted is not None:
        yield counted.line


def words_of(step: Step) -> str:
    """What is known gets a sentence; what this page has no sentence for is spelled out."""
    fact = step.fact
    match fact:
        case PeriodOpened():
            return (
                f"the month opens on the plan {fact.plan or 'none'}: {fact.limit} messages, {fact.max_resets} resets"
            )
        case LimitChanged():
            return f"{_limits(step.before, fact)}; {_why(step.before, fact)}"
        case UsageReset():
            return (
                f"the count begins anew, because the subscription was {fact.action}: {fact.used_before} used before; "
                f"reset {fact.generation} of {step.month.max_resets}"
            )
        case MessageRefunded():
            effect = "counts no more" if fact.gives_back else "gives nothing back to the open count"
            return f"message {fact.message_id} of {fact.bot_id} is refunded and {effect}"
        case BotsStopped():
            return f"all bots stop: {_STOPPED.get(fact.reason, fact.reason)}"
        case BotsRestarted():
            return f"the bots run again: {_RESTARTED.get(fact.reason, fact.reason)}"
        case UsageThresholdReached():
            return f"the owner is told that {fact.threshold} % are used: {fact.used} of {fact.limit}"
        case CreditGranted() | CreditCarried() | CreditReturned() | CreditExpired():
            return _credit_words(fact)
        case _:
            return _spelled(fact)


_STOPPED = {
    "limit": "no message is left",
    "subscription": "the new limit was used up already",
    "credit": "the credits that they ran on have expired",
}
_RESTARTED = {
    "month": "a new month",
    "subscription": "the subscription gives messages again",
    "refund": "a refund gave a message back",
    "credit": "a credit gives messages again",
}
_CARRIED_OVER = {
    "max_resets": "usage is carried over: the month has no reset left",
    "earlier_month": "usage is carried over: the change took effect in an earlier month",
}


def _credit_words(fact: Any) -> str:
    match fact:
        case CreditGranted():
            return f"{fact.credit_id} is granted: {fact.messages} extra messages until {fact.expires_at}"
        case CreditCarried():
            return f"{fact.credit_id} comes with it: {fact.remaining} of {fact.messages} until {fact.expires_at}"
        case CreditReturned():
            return f"{fact.credit_id} has the message {fact.message_id} back"
        case _:
            return f"{fact.credit_id} expires with {fact.unused} unused"


def _line(step: Step) -> Line:
    fact, data = step.fact, asdict(step.fact)
    return Line(at=step.event.recorded_at, fact=fact.name, words=words_of(step), data=data, month=step.month)


def _limits(before: ledger.Month, fact: LimitChanged) -> str:
    limit = f"limit {fact.limit}" if before.limit == fact.limit else f"limit {before.limit} to {fact.limit}"
    plan = fact.plan if before.plan in ("", fact.plan) else f"{before.plan} to {fact.plan}"
    return f"{limit}, plan {plan}: subscription {fact.action} (version {fact.subscription_version})"


def _why(before: ledger.Month, fact: LimitChanged) -> str:
    """Whether usage is reset with it, and if not, why."""
    if fact.carried_over:
        return _CARRIED_OVER.get(fact.carried_over, f"usage is carried over: {fact.carried_over}")
    if fact.action not in ledger.RESETTING:
        return "usage stays: a change of this kind never resets it"
    return "usage is reset" if before.subscription_version else "the first subscription has nothing to reset"


def _shares(bots: Counter[str]) -> str:
    most = bots.most_common(BOTS_SHOWN)
    shares = [f"{bot_id} {number}" for bot_id, number in most]
    others = len(bots) - len(most)
    if others:
        left = bots.total() - sum(number for _bot_id, number in most)
        shares.append(f"{others} {'other' if others == 1 else 'others'} {left}")
    return ", ".join(shares)


def _spelled(fact: Any) -> str:
    """`quota.CreditGranted` is `credit granted: …`, each value by its name."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", fact.name.partition(".")[2]).lower()
    return f"{name}: {', '.join(f'{key} {value}' for key, value in asdict(fact).items())}"
