"""What happened to an org's messages and bots. The ledger's facts are private; the others hear what it means."""

from dataclasses import dataclass
from typing import ClassVar

from shared import events


@dataclass(frozen=True, kw_only=True)
class PeriodOpened:
    """The first fact of a month's ledger. It carries all that the month begins with, so that it folds by itself."""

    name: ClassVar[str] = "quota.PeriodOpened"
    schema: ClassVar[int] = 1

    period: str
    plan: str
    limit: int
    max_resets: int
    subscription_version: int


@dataclass(frozen=True, kw_only=True)
class MessageRecorded:
    """One message was admitted, and counts."""

    name: ClassVar[str] = "quota.MessageRecorded"
    schema: ClassVar[int] = 1

    message_id: str
    bot_id: str


@dataclass(frozen=True, kw_only=True)
class MessageRefunded:
    """
    A message that was counted could not be sent. It stands in the month in which it was counted.

    :param gives_back: whether it counts no more: only while that month, and the count since its last reset, still run
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

    :param reason: `limit`: the last message was sent; `subscription`: the limit fell to what was used, or below
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


LedgerEvent = PeriodOpened | MessageRecorded | MessageRefunded | LimitChanged | UsageReset
Notice = QuotaReset | BotsStopped | BotsRestarted
RosterEvent = BotCreated | BotRenamed | BotPaused | BotResumed | BotDeleted

LEDGER: tuple[type[events.Event], ...] = (PeriodOpened, MessageRecorded, MessageRefunded, LimitChanged, UsageReset)
PUBLIC: tuple[type[events.Event], ...] = (QuotaReset, BotsStopped, BotsRestarted, BotPaused, BotResumed)
CATALOGUE = events.Catalogue("quota", [*LEDGER, *PUBLIC, BotCreated, BotRenamed, BotDeleted], public=PUBLIC)
