"""
Many requests, few calls: while one or two batches are under way, those who ask meanwhile travel together in the next.

Two batches of like size keep both ends at work: one is being counted while the answers of the other are told. Left to
themselves they drift apart, until all travel in one and each end waits for the other. So a batch takes no more than
half of all who are under way or waiting, and a second one sets out when it is worth it, or nobody may wait longer.

Knows neither HTTP nor who is asked: an item is a JSON object, and `send` takes a list of them.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eventlet import sleep, spawn_after
from eventlet.greenpool import GreenPool

from services.gateway.tickets import Ticket, Tickets
from shared import errors, logs

log = logs.logger(__name__)

Item = dict[str, Any]
Result = dict[str, Any] | errors.ServiceError
Send = Callable[[list[Item], float], list[Result]]

UNDIVIDED = 16  # so many travel together even if they are all there are
PATIENCE_SECONDS = 0.02  # with the batch under way, which may be lost


@dataclass(eq=False)
class _Passenger(Ticket):
    item: Item = field(default_factory=dict)


class Coalescer:
    """
    :param send: takes the items and how many seconds it may take; answers one result per item, in their order, and
        raises Unavailable if nobody knows whether the items arrived
    :param unavailable: what is said of an item then
    :param max_waiting: how many items may wait for the next batch
    :param period_seconds: how long after a batch has set out the next one may, for the sake of others: the same on a
        slow machine, where it yet rests a quarter of that between two
    """

    def __init__(
        self,
        send: Send,
        *,
        unavailable: Callable[[Item], errors.Unavailable],
        max_batch: int = 256,
        max_in_flight: int = 2,
        max_waiting: int = 10_000,
        period_seconds: float = 0.0,
    ) -> None:
        self._send = send
        self._unavailable = unavailable
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._period_seconds = period_seconds
        self._waiting: deque[_Passenger] = deque()
        self._carriers = GreenPool(max_in_flight)
        self._under_way = 0  # items
        self._bell: Any = None  # rings when those who wait have waited long enough
        self._tickets = Tickets()
        self._closed = False

    def admit(self, item: Item, *, deadline: float) -> dict[str, Any]:
        """
        The item's own result. Blocks the calling green thread, at most until the deadline.

        :param deadline: in seconds since the epoch
        :raises ServiceError: the item's own refusal
        :raises Unavailable: nobody knows whether it arrived
        """
        if self._closed or len(self._waiting) >= self._max_waiting:
            raise self._unavailable(item)
        passenger = _Passenger(deadline, item=item)
        self._waiting.append(passenger)
        self._set_out()
        result = self._tickets.wait(passenger)
        if result is None:
            raise self._unavailable(item)
        if isinstance(result, Exception):
            raise result
        answer: dict[str, Any] = result
        return answer

    @property
    def waiting(self) -> int:
        """How many wait for the next batch."""
        return len(self._waiting)

    def close(self) -> None:
        """Accept nothing more, and return when everybody has an answer."""
        self._closed = True
        self._ring()
        self._carriers.waitall()

    def _set_out(self) -> None:
        if self._carriers.free() == 0:
            return
        if self._is_worth_it():
            self._carriers.spawn_n(self._carry)
        elif self._bell is None:
            self._bell = spawn_after(PATIENCE_SECONDS, self._ring)

    def _is_worth_it(self) -> bool:
        """At once if nothing is under way, else if a batch would have half as many as that; in the end, always."""
        return self._closed or len(self._waiting) * 2 >= self._under_way

    def _ring(self) -> None:
        self._bell = None
        if self._waiting and self._carriers.free():
            self._carriers.spawn_n(self._carry)

    def _carry(self) -> None:
        """Carry a batch, and others as long as it is worth it."""
        while self._waiting:
            batch = self._next_batch()
            if batch:
                set_out_at = time.monotonic()
                self._under_way += len(batch)
                results = self._results(batch)
                self._under_way -= len(batch)
                self._deliver(batch, results)
                if self._period_seconds and not self._closed:
                    sleep(max(self._period_seconds / 4, set_out_at + self._period_seconds - time.monotonic()))
            if not self._is_worth_it():
                break
        if self._waiting and self._bell is None:
            self._bell = spawn_after(PATIENCE_SECONDS, self._ring)

    def _next_batch(self) -> list[_Passenger]:
        """The next who still wait for an answer: whose deadline has passed has got one."""
        now = time.time()
        half = (len(self._waiting) + self._under_way + 1) // 2
        most = min(self._max_batch, max(UNDIVIDED, half))
        batch: list[_Passenger] = []
        while self._waiting and len(batch) < most:
            passenger = self._waiting.popleft()
            if passenger.deadline > now:
                batch.append(passenger)
        return batch

    def _results(self, batch: list[_Passenger]) -> list[Result | Exception]:
        items = [passenger.item for passenger in batch]
        deadline = max(passenger.deadline for passenger in batch)
        try:
            return [*self._ask_twice(items, deadline)]
        except errors.Unavailable:
            return [self._unavailable(item) for item in items]
        except Exception as error:  # noqa: BLE001  # it is each passenger's to raise, not the carrier's
            return [error] * len(items)

    def _ask_twice(self, items: list[Item], deadline: float) -> list[Result]:
        """Ask again if the answer is lost: the same ids get the same answers. Half the time is left for that."""
        try:
            return self._send(items, (deadline - time.time()) / 2)
        except errors.Unavailable:
            log.warning("batch asked again", items=len(items))
            return self._send(items, deadline - time.time())

    def _deliver(self, batch: list[_Passenger], results: list[Result | Exception]) -> None:
        if len(results) != len(batch):
            results = [ValueError(f"{len(results)} results for {len(batch)} items")] * len(batch)
        self._tickets.answer(zip(batch, results, strict=True))
