"""
The rules of an org's bots: a bot has a set of pause reasons and runs when it is empty. Pure.

The help page: "your bots can be paused. So be sure to check your limits and revisit any bot you want to keep
running."
"""

from dataclasses import dataclass, field, replace
from typing import Any

from services.quota.events import BotCreated, BotDeleted, BotPaused, BotRenamed, BotResumed, RosterEvent
from shared import errors

USER = "user"  # somebody paused it
PLAN = "plan"  # the plan has no room for it
MOST_BOTS = 1000  # that an org may have, running or not, where its plan does not run more: all stand in one state


@dataclass(frozen=True)
class Roster:
    """:param bots: pause reasons by bot id, in the order in which the bots were made"""

    org_id: str = ""
    bots: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def running(self) -> list[str]:
        return [bot_id for bot_id, reasons in self.bots.items() if not reasons]


def create(roster: Roster, *, org_id: str, bot_id: str, name_version: int, limit: int) -> list[RosterEvent]:
    """:raises Conflict: `bot_limit` if the plan has no room for one more running bot; `too_many_bots`"""
    most = max(limit, MOST_BOTS)
    if len(roster.bots) >= most:
        raise errors.Conflict(
            "too_many_bots", f"An organization has {most:,} bots at most, with those that are paused."
        )
    _room(roster, limit)
    return [BotCreated(org_id=org_id, bot_id=bot_id, name_version=name_version)]


def rename(roster: Roster, *, bot_id: str, name_version: int) -> list[RosterEvent]:
    _reasons(roster, bot_id)
    return [BotRenamed(org_id=roster.org_id, bot_id=bot_id, name_version=name_version)]


def pause(roster: Roster, *, bot_id: str) -> list[RosterEvent]:
    """:raises Conflict: `bot_already_paused` if a person has paused it before"""
    reasons = _reasons(roster, bot_id)
    if USER in reasons:
        raise errors.Conflict("bot_already_paused", "This bot is paused already.")
    return [_paused(roster, bot_id, USER)]


def resume(roster: Roster, *, bot_id: str, limit: int) -> list[RosterEvent]:
    """
    Let a bot run, whatever it was paused for.

    :raises Conflict: `bot_already_running`, or `bot_limit` if there is no room for it
    """
    if not _reasons(roster, bot_id):
        raise errors.Conflict("bot_already_running", "This bot is not paused.")
    _room(roster, limit)
    return [BotResumed(org_id=roster.org_id, bot_id=bot_id, reason=USER, reasons=())]


def delete(roster: Roster, *, bot_id: str) -> list[RosterEvent]:
    _reasons(roster, bot_id)
    return [BotDeleted(org_id=roster.org_id, bot_id=bot_id)]


def delete_all(roster: Roster) -> list[RosterEvent]:
    """With the org. Their names are erased beside; that there were any is no secret."""
    return [BotDeleted(org_id=roster.org_id, bot_id=bot_id) for bot_id in roster.bots]


def fit(roster: Roster, *, before: int, limit: int) -> list[RosterEvent]:
    """
    Pause the newest that a smaller plan has no room for, or let the oldest run that a larger one has room for.

    :param before: the limit until now. Without a larger one nothing runs again by itself: room that the owner made,
        by pausing or deleting a bot, is for the owner to fill
    """
    running = roster.running
    if len(running) > limit:
        return [_paused(roster, bot_id, PLAN) for bot_id in reversed(running[limit:])]
    if limit <= before:
        return []
    room = limit - len(running)
    resumed: list[RosterEvent] = []
    for bot_id, reasons in roster.bots.items():
        if PLAN in reasons and room > 0:
            left = tuple(sorted(reasons - {PLAN}))
            resumed.append(BotResumed(org_id=roster.org_id, bot_id=bot_id, reason=PLAN, reasons=left))
            room -= not left
    return resumed


def evolve(roster: Roster, fact: Any) -> Roster:
    match fact:
        case BotCreated():
            return Roster(fact.org_id, {**roster.bots, fact.bot_id: frozenset()})
        case BotPaused() | BotResumed():
            return replace(roster, bots={**roster.bots, fact.bot_id: frozenset(fact.reasons)})
        case BotDeleted():
            return replace(roster, bots={id: reasons for id, reasons in roster.bots.items() if id != fact.bot_id})
        case _:
            return roster


def dump(roster: Roster) -> dict[str, Any]:
    """For a snapshot: a list, because in an object the order of the bots would be lost."""
    return {"org_id": roster.org_id, "bots": [[bot_id, sorted(held)] for bot_id, held in roster.bots.items()]}


def restore(dumped: dict[str, Any]) -> Roster:
    return Roster(dumped["org_id"], {bot_id: frozenset(held) for bot_id, held in dumped["bots"]})


def _paused(roster: Roster, bot_id: str, reason: str) -> BotPaused:
    reasons = tuple(sorted(roster.bots[bot_id] | {reason}))
    return BotPaused(org_id=roster.org_id, bot_id=bot_id, reason=reason, reasons=reasons)


def _reasons(roster: Roster, bot_id: str) -> frozenset[str]:
    if bot_id not in roster.bots:
        raise errors.NotFound("unknown_bot", "There is no such bot.")
    return roster.bots[bot_id]


def _room(roster: Roster, limit: int) -> None:
    if len(roster.running) >= limit:
        raise errors.Conflict(
            "bot_limit",
            f"Your plan runs {limit} bot{'' if limit == 1 else 's'} at a time. Pause or delete one, or upgrade.",
            {"limit": limit, "running": len(roster.running)},
        )
