"""What happened to an org's messages and bots. The ledger's facts are private; the others hear what it means."""

from dataclasses import dataclass
from typing import Any, ClassVar

from shared import events


@dataclass(frozen=True, kw_only=True)
class PeriodOpened:
    """
    The first fact of a month's ledger. It carries what the month begins with, so that it folds by itself; a
    CreditCarried for each credit follows.
    """

    name: ClassVar[str] = "quota.PeriodOpened"
    schema: ClassVar[int] = 1

    period: str
    plan: str
    limit: int
    max_resets: int
    subscription_version: int


@dataclass(frozen=True, kw_only=True)
class MessageRecorded:
    """
    One message was admitted, and counts.

    :param credit_id: the credit that it was taken from; empty: from the plan's own messages
    """

    name: ClassVar[str] = "quota.MessageRecorded"
    schema: ClassVar[int] = 2

    message_id: str
    bot_id: str
    credit_id: str = ""


@dataclass(frozen=True, kw_only=True)
class MessageRefunded:
    """
    A message that was counted could not be sent. It stands in the month in which it was counted.

    :param gives_back: whether it counts no more in that month: only while it, and the count since its last reset,
        still run. Of a message that was taken from a credit it is false, and CreditReturned says the rest
    """

    name: ClassVar[str] = "quota.MessageRefunded"
    schema: ClassVar[int] = 1

    message_id: str
    bot_id: str
    gives_back: bool


@dataclass(frozen=True, kw_only=True)
class LimitChanged:
    """
    The open month has other limits, by a billing.SubscriptionChanged.

    :param action: the action of that change
    :param carried_over: why an action that resets usage did not: empty, `max_resets` or `earlier_month`
    """

    name: ClassVar[str] = "quota.LimitChanged"
    schema: ClassVar[int] = 1

    plan: str
    limit: int
    max_resets: int
    subscription_version: int
    action: str
    carried_over: str = ""


@dataclass(frozen=True, kw_only=True)
class UsageReset:
    """
    The month's count begins anew, in a new generation.

    :param action: the action of the billing.SubscriptionChanged that brought it
    """

    name: ClassVar[str] = "quota.UsageReset"
    schema: ClassVar[int] = 1

    generation: int
    used_before: int
    action: str
    subscription_version: int


@dataclass(frozen=True, kw_only=True)
class CreditGranted:
    """
    Operations gave the org extra messages. Why they did is in no event.

    :param messages: how many
    :param granted_at: when
    :param expires_at: from then on they cannot be used
    :param reason_version: which version of the reason holds
    """

    name: ClassVar[str] = "quota.CreditGranted"
    schema: ClassVar[int] = 1

    credit_id: str
    messages: int
    granted_at: str
    expires_at: str
    reason_version: int


@dataclass(frozen=True, kw_only=True)
class CreditCarried:
    """
    A credit as a new month finds it.

    :param messages: how many were granted
    :param remaining: how many of them are left
    :param granted_at: when it was granted
    :param expires_at: from then on it cannot be used
    """

    name: ClassVar[str] = "quota.CreditCarried"
    schema: ClassVar[int] = 1

    credit_id: str
    messages: int
    remaining: int
    granted_at: str
    expires_at: str


@dataclass(frozen=True, kw_only=True)
class CreditReturned:
    """A message that was taken from a credit was refunded: the credit has it again. It stands in the open month."""

    name: ClassVar[str] = "quota.CreditReturned"
    schema: ClassVar[int] = 1

    credit_id: str
    message_id: str


@dataclass(frozen=True, kw_only=True)
class CreditExpired:
    """
    A credit's time is over.

    :param unused: how many messages were left of it
    """

    name: ClassVar[str] = "quota.CreditExpired"
    schema: ClassVar[int] = 1

    credit_id: str
    unused: int


@dataclass(frozen=True, kw_only=True)
class UsageThresholdReached:
    """
    Much of the plan's messages, or all, is used. Told once per month and limit: a reset or a higher limit arms it
    again. Where both thresholds are reached at once, the higher is told alone.

    :param threshold: 80 or 100, percent of the plan's messages
    :param used: how many of them are used
    :param credits_remaining: how many extra messages there are besides
    """

    name: ClassVar[str] = "quota.UsageThresholdReached"
    schema: ClassVar[int] = 1

    org_id: str
    period: str
    threshold: int
    used: int
    limit: int
    credits_remaining: int


@dataclass(frozen=True, kw_only=True)
class QuotaReset:
    """
    Told to the others: the month's usage is zero again.

    :param action: the action of the billing.SubscriptionChanged that brought it
    """

    name: ClassVar[str] = "quota.QuotaReset"
    schema: ClassVar[int] = 1

    org_id: str
    period: str
    generation: int
    limit: int
    used_before: int
    action: str


@dataclass(frozen=True, kw_only=True)
class BotsStopped:
    """
    No message is left: all bots of the org stop.

    :param reason: `limit`: the last message was sent; `subscription`: the limit fell to what was used, or below;
        `credit`: the credits that it ran on have expired
    """

    name: ClassVar[str] = "quota.BotsStopped"
    schema: ClassVar[int] = 1

    org_id: str
    period: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BotsRestarted:
    """
    There are messages again: the bots of the org run, but for those that are paused.

    :param reason: what brought them: `month`, `subscription`, `refund` or `credit`
    """

    name: ClassVar[str] = "quota.BotsRestarted"
    schema: ClassVar[int] = 1

    org_id: str
    period: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BotCreated:
    """The org has a bot more."""

    name: ClassVar[str] = "quota.BotCreated"
    schema: ClassVar[int] = 1

    org_id: str
    bot_id: str
    name_version: int


@dataclass(frozen=True, kw_only=True)
class BotRenamed:
    """The bot has another name."""

    name: ClassVar[str] = "quota.BotRenamed"
    schema: ClassVar[int] = 1

    org_id: str
    bot_id: str
    name_version: int


@dataclass(frozen=True, kw_only=True)
class BotPaused:
    """
    A bot has a reason more to be paused: a person paused it, or the plan has no room for it.

    :param reason: the one that was added, `user` or `plan`
    :param reasons: all that hold now
    """

    name: ClassVar[str] = "quota.BotPaused"
    schema: ClassVar[int] = 1

    org_id: str
    bot_id: str
    reason: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BotResumed:
    """
    A bot has a reason less to be paused; it runs again if none is left.

    :param reason: who or what gave the room, `user` or `plan`
    :param reasons: those that still hold
    """

    name: ClassVar[str] = "quota.BotResumed"
    schema: ClassVar[int] = 1

    org_id: str
    bot_id: str
    reason: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BotDeleted:
    """The bot is gone; its messages stay counted."""

    name: ClassVar[str] = "quota.BotDeleted"
    schema: ClassVar[int] = 1

    org_id: str
    bot_id: str


@dataclass(frozen=True, kw_only=True)
class ErasureDone:
    """
    Quota has nothing more of an org that accounts.OrgErased named: neither in its tables nor in files of old months.
    It stands in a stream of its own, whose subject is not the org, so that it is not passed over as an event about
    what was erased.
    """

    name: ClassVar[str] = "quota.ErasureDone"
    schema: ClassVar[int] = 1

    org_id: str


LedgerEvent = (
    PeriodOpened
    | MessageRecorded
    | MessageRefunded
    | LimitChanged
    | UsageReset
    | CreditGranted
    | CreditCarried
    | CreditReturned
    | CreditExpired
)
Notice = QuotaReset | UsageThresholdReached | BotsStopped | BotsRestarted
RosterEvent = BotCreated | BotRenamed | BotPaused | BotResumed | BotDeleted

LEDGER: tuple[type[events.Event], ...] = (
    *(PeriodOpened, MessageRecorded, MessageRefunded, LimitChanged, UsageReset),
    *(CreditGranted, CreditCarried, CreditReturned, CreditExpired),
)
PUBLIC: tuple[type[events.Event], ...] = (
    *(QuotaReset, UsageThresholdReached, BotsStopped, BotsRestarted),
    *(BotPaused, BotResumed),
    ErasureDone,
)


def _of_the_plan(data: dict[str, Any]) -> dict[str, Any]:
    """Before there were credits every message was the plan's."""
    return {**data, "credit_id": ""}


CATALOGUE = events.Catalogue(
    "quota",
    [*LEDGER, *PUBLIC, BotCreated, BotRenamed, BotDeleted],
    public=PUBLIC,
    upcasters={("quota.MessageRecorded", 1): _of_the_plan},
)
