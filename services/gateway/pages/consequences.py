"""What a change of plan would do to the month and the bots, said before anybody decides. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Consequences:
    """
    :param resets: whether the month's usage begins again at zero
    :param messages_over: how many more were used than the new plan has, where usage carries over
    :param paused: the running bots that the new plan has no room for, the newest first, as quota pauses them
    :param resumed: those that the old plan had no room for and the new one has, the oldest first
    """

    resets: bool
    messages_over: int
    paused: tuple[str, ...]
    resumed: tuple[str, ...]


def of(
    *, limits: dict[str, int], effective_at: str, usage: dict[str, Any], bots: Sequence[dict[str, Any]]
) -> Consequences:
    """
    :param limits: the new plan's, `{"messages", "bots"}`
    :param effective_at: when the change takes effect; what will have been used by then nobody knows
    :param usage: of `quota.get_usage`
    :param bots: of `quota.list_bots`, the oldest first
    """
    in_open_month = effective_at.startswith(usage["period"])
    resets = usage["resets_left"] > 0 or not in_open_month  # resets are counted anew each month
    running = [bot["name"] for bot in bots if not bot["pause_reasons"]]
    waiting = [bot["name"] for bot in bots if bot["pause_reasons"] == ["plan"]]
    room = max(0, limits["bots"] - len(running))
    return Consequences(
        resets=resets,
        messages_over=0 if resets else max(0, usage["used"] - limits["messages"]),
        paused=tuple(reversed(running[limits["bots"] :])),
        resumed=tuple(waiting[:room]),
    )
