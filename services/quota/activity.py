"""
What an org's activity shows of its bots, its credits, and what became of its month. Of messages it shows none: the
statement has each of them.
"""

from collections.abc import Collection

from sqlalchemy.orm import Session

from services.quota import models
from services.quota.events import (
    BotCreated,
    BotDeleted,
    BotPaused,
    BotRenamed,
    BotResumed,
    BotsRestarted,
    BotsStopped,
    CreditCarried,
    CreditExpired,
    CreditGranted,
    CreditReturned,
    ErasureDone,
    LimitChanged,
    MessageRecorded,
    MessageRefunded,
    PeriodOpened,
    QuotaReset,
    UsageReset,
    UsageThresholdReached,
)
from shared import activity, personal
from shared.activity import Actor, Entry


def _made(fact: BotCreated, _actor: Actor) -> Entry:
    return Entry(what="bot_created", subject=("bot", fact.bot_id))


def _renamed(fact: BotRenamed, _actor: Actor) -> Entry:
    return Entry(what="bot_renamed", subject=("bot", fact.bot_id))


def _paused(fact: BotPaused, _actor: Actor) -> Entry:
    return Entry(what="bot_paused", subject=("bot", fact.bot_id), details={"reason": fact.reason})


def _resumed(fact: BotResumed, _actor: Actor) -> Entry:
    return Entry(what="bot_resumed", subject=("bot", fact.bot_id), details={"reason": fact.reason})


def _deleted(fact: BotDeleted, _actor: Actor) -> Entry:
    return Entry(what="bot_deleted", subject=("bot", fact.bot_id))


def _stopped(fact: BotsStopped, _actor: Actor) -> Entry:
    return Entry(what="bots_stopped", details={"period": fact.period, "reason": fact.reason})


def _restarted(fact: BotsRestarted, _actor: Actor) -> Entry:
    return Entry(what="bots_restarted", details={"period": fact.period, "reason": fact.reason})


def _reset(fact: QuotaReset, _actor: Actor) -> Entry:
    details = {"period": fact.period, "used_before": fact.used_before, "limit": fact.limit, "action": fact.action}
    return Entry(what="usage_reset", details=details)


def _reached(fact: UsageThresholdReached, _actor: Actor) -> Entry:
    details = {"period": fact.period, "threshold": fact.threshold, "used": fact.used, "limit": fact.limit}
    return Entry(what="usage_threshold_reached", details=details)


def _granted(fact: CreditGranted, _actor: Actor) -> Entry:
    details = {"messages": fact.messages, "expires_at": fact.expires_at}
    return Entry(what="credit_granted", subject=("credit", fact.credit_id), details=details)


def _expired(fact: CreditExpired, _actor: Actor) -> Entry:
    return Entry(what="credit_expired", subject=("credit", fact.credit_id), details={"unused": fact.unused})


def names(session: Session, _org_id: str, ids: Collection[str]) -> dict[str, str]:
    """
    Of bots, the deleted ones too, by the ids of rows: these are the org's own. What is kept of a credit under its id
    is why it was granted, and no name.
    """
    bots = [id for id in ids if id.startswith("bot_")]
    return {id: str(known.get("name", "")) for id, known in personal.get_many(session, bots).items()}


TRAIL = activity.Trail(
    table=models.Activity,
    shown={
        BotCreated: _made,
        BotRenamed: _renamed,
        BotPaused: _paused,
        BotResumed: _resumed,
        BotDeleted: _deleted,
        BotsStopped: _stopped,
        BotsRestarted: _restarted,
        QuotaReset: _reset,
        UsageThresholdReached: _reached,
        CreditGranted: _granted,
        CreditExpired: _expired,
    },
    # Messages one by one; what follows from a change of the subscription, which billing shows, or is told as
    # QuotaReset; and how a month begins.
    hidden=frozenset(
        {
            *(MessageRecorded, MessageRefunded, CreditReturned),
            *(LimitChanged, UsageReset, PeriodOpened, CreditCarried, ErasureDone),
        }
    ),
    names=names,
)
