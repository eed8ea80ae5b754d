"""
Many green threads, each waiting for an answer of its own until its own deadline.

eventlet's Event would set two timers for each of them: one to wake it, one in case that nobody does. Here those whose
answers come together are woken together, and one timer looks after all deadlines.
"""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import eventlet
from eventlet import hubs

from shared import logs

log = logs.logger(__name__)


@dataclass(eq=False)
class Ticket:
    """
    :param deadline: in seconds since the epoch
    :param holder: the green thread that waits with it; None: none does, or no longer
    """

    deadline: float
    holder: Any = None


class Tickets:
    def __init__(self) -> None:
        self._held: dict[Ticket, None] = {}
        self._looks_at = math.inf  # when the timer goes off

    def wait(self, ticket: Ticket) -> Any:
        """What this ticket is answered; None once its deadline has passed. Blocks the calling green thread."""
        hub = hubs.get_hub()
        ticket.holder = eventlet.getcurrent()
        self._held[ticket] = None
        if ticket.deadline < self._looks_at:
            self._look_at(ticket.deadline)
        try:
            return hub.switch()
        finally:
            ticket.holder = None
            del self._held[ticket]

    def answer(self, answers: Iterable[tuple[Ticket, Any]]) -> None:
        """Wake the holders, soon and in this order; whoever waits no longer is passed over."""
        hubs.get_hub().schedule_call_global(0, _wake, list(answers))

    def _look_at(self, moment: float) -> None:
        self._looks_at = moment
        hubs.get_hub().schedule_call_global(max(0.0, moment - time.time()), self._expire, moment)

    def _expire(self, moment: float) -> None:
        if moment != self._looks_at:
            return  # an earlier deadline has come between
        now = max(time.time(), moment)
        late = [ticket for ticket in self._held if ticket.deadline <= now]
        rest = [ticket.deadline for ticket in self._held if ticket.deadline > now]
        self._looks_at = math.inf
        if rest:
            self._look_at(min(rest))
        _wake([(ticket, None) for ticket in late])


def _wake(answers: list[tuple[Ticket, Any]]) -> None:
    """Runs in the hub, to which each of them comes back when it waits for something else."""
    for ticket, answer in answers:
        if ticket.holder is not None:
            try:
                ticket.holder.switch(answer)
            except Exception:
                log.exception("a green thread failed as it got its answer")
