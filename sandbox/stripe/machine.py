"""The sandbox as one running thing: its state, its clock, its deliveries, and the second hand that moves time on."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.stripe import deliveries, idempotency, lifecycle, portal, products, state, webhooks
from sandbox.stripe.faults import Faults
from shared import clock

TICK_SECONDS = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """
    :param state_file: SQLite file; what was there before is there again
    :param public_url: where a person's browser finds the sandbox, without a slash at the end
    :param clock_file: the shared test clock; None for the machine's own time
    :param webhook_url: the endpoint that gets every event, signed with `webhook_secret`; None for none
    :param catalogue: the plan catalogue (TOML) that products and prices are made from; None for none
    :param after_dunning: what becomes of a subscription that stayed unpaid, `unpaid` or `cancel`
    """

    state_file: Path
    public_url: str
    clock_file: Path | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None
    catalogue: Path | None = None
    after_dunning: str = "unpaid"


@dataclass
class Machine:
    options: Options
    faults: Faults = field(default_factory=Faults)
    in_flight: idempotency.InFlight = field(default_factory=idempotency.InFlight)

    def __post_init__(self) -> None:
        self.clock = clock.Clock(self.options.clock_file)
        self.state = state.State(self.options.state_file, self.options.public_url)
        self.deliverer = deliveries.Deliverer(self.state, self.now)
        self._stopping = threading.Event()
        self.furnish()

    def now(self) -> int:
        """Unix seconds of the test clock."""
        return int(self.clock.now().timestamp())

    def furnish(self) -> None:
        """What is there before the first call: the catalogue's prices, the endpoint, the portal."""
        with self.state.transaction(self.now()) as store:
            store.set_setting("after_dunning", self.options.after_dunning)
            portal.ensure_default_configuration(store)
            if self.options.catalogue is not None:
                products.load_catalogue(store, self.options.catalogue)
            if self.options.webhook_url is not None:
                secret = self.options.webhook_secret or ""
                webhooks.configure(store, url=self.options.webhook_url, secret=secret)

    def start(self) -> None:
        """Begin to deliver, and to notice that time has passed."""
        self.deliverer.start()
        threading.Thread(target=self._tick, name="second hand", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        self.deliverer.stop()

    @contextmanager
    def transaction(self, *, request_id: str | None = None, key: str | None = None) -> Iterator[state.Store]:
        """A transaction now, after everything that was due before; its events are sent when it has committed."""
        self.catch_up()
        with self.state.transaction(self.now(), request_id=request_id, idempotency_key=key) as store:
            yield store
        self.deliverer.wake()

    def catch_up(self) -> None:
        with self.state.transaction(self.now()) as store:
            anything = lifecycle.catch_up(store)
        if anything:
            self.deliverer.wake()

    def _tick(self) -> None:
        while not self._stopping.wait(TICK_SECONDS):
            try:
                self.catch_up()
            except Exception:
                log.exception("time could not move on; it is tried again in a second")
