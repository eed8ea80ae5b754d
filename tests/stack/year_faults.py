"""What happens meanwhile in a year: to deliveries, to Stripe, to the processes, to the clock."""

import random
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.stack.year_programme import Year

JUMPS = (timedelta(hours=3), timedelta(days=1), timedelta(days=3), timedelta(days=8), timedelta(days=20))

Fault = Callable[[Year, random.Random], None]


def nothing(_year: Year, _chance: random.Random) -> None:
    pass


def serve_is_killed(year: Year, chance: random.Random) -> None:
    _kill(year, chance, "services")


def the_worker_is_killed(year: Year, chance: random.Random) -> None:
    _kill(year, chance, "worker")


def the_gateway_is_killed(year: Year, chance: random.Random) -> None:
    _kill(year, chance, "gateway")


def serve_is_killed_while_stripe_works(year: Year, chance: random.Random) -> None:
    """Stripe does what it was asked when nobody is left to hear of it."""
    _fail(year, chance, kind="slow", seconds=1.5, method="POST", path="/v1/subscriptions")
    time.sleep(1.0)
    _kill(year, chance, "services")


def stripe_answers_500(year: Year, chance: random.Random) -> None:
    _fail(year, chance, kind="status", status=500)


def stripe_throttles(year: Year, chance: random.Random) -> None:
    _fail(year, chance, kind="status", status=429)


def stripe_is_down(year: Year, chance: random.Random) -> None:
    """For more calls than are made until nobody asks any more."""
    for _ in range(6):
        _fail(year, chance, kind="status", status=503)


def answers_of_stripe_are_lost(year: Year, chance: random.Random) -> None:
    _fail(year, chance, kind="drop_after_commit")
    _fail(year, chance, kind="drop_after_commit", method="POST")


def stripe_is_slow(year: Year, chance: random.Random) -> None:
    _fail(year, chance, kind="slow", seconds=chance.choice([1.0, 3.0]))


def deliveries_are_lost(year: Year, chance: random.Random) -> None:
    year.stack.stripe("deliveries", {"reset": True, "drop_next": chance.randint(1, 60)})


def deliveries_are_late(year: Year, chance: random.Random) -> None:
    year.stack.stripe("deliveries", {"reset": True, "delay_seconds": chance.choice([0.5, 2.0, 5.0])})


def deliveries_come_twice_and_newest_first(year: Year, chance: random.Random) -> None:
    year.stack.stripe("deliveries", {"reset": True, "reorder": True, "duplicate": chance.randint(0, 1)})


def deliveries_are_forged(year: Year, chance: random.Random) -> None:
    """Which are refused, and come again with the right signature."""
    year.stack.stripe("deliveries", {"reset": True, "wrong_signature_next": chance.randint(1, 5)})


def deliveries_stop(year: Year, _chance: random.Random) -> None:
    """Until something else happens to them."""
    year.stack.stripe("deliveries", {"reset": True, "stopped": True})


def deliveries_are_as_usual(year: Year, _chance: random.Random) -> None:
    year.stack.stripe("deliveries", {"reset": True})


def the_clock_goes_on_meanwhile(year: Year, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 0.3))
    year.go_on(chance.choice(JUMPS))


FAULTS: dict[Fault, float] = {
    nothing: 2,
    serve_is_killed: 1,
    the_worker_is_killed: 1,
    the_gateway_is_killed: 1,
    serve_is_killed_while_stripe_works: 1,
    stripe_answers_500: 2,
    stripe_throttles: 2,
    stripe_is_down: 1,
    answers_of_stripe_are_lost: 3,
    stripe_is_slow: 2,
    deliveries_are_lost: 3,
    deliveries_are_late: 2,
    deliveries_come_twice_and_newest_first: 3,
    deliveries_are_forged: 1,
    deliveries_stop: 1,
    deliveries_are_as_usual: 3,
    the_clock_goes_on_meanwhile: 3,
}


KILLS: tuple[Fault, ...] = (serve_is_killed, the_worker_is_killed, the_gateway_is_killed)
FEW: tuple[Fault, ...] = (
    answers_of_stripe_are_lost,
    stripe_answers_500,
    deliveries_come_twice_and_newest_first,
    deliveries_are_lost,
    the_clock_goes_on_meanwhile,
)


def few(year: Year) -> list[Fault]:
    """For a short year. Who is killed comes first: what it had in hand is free again after half a minute."""
    return [year.chance.choice(KILLS), *year.chance.sample(FEW, k=len(FEW))]


def choose(year: Year) -> Fault:
    (fault,) = year.chance.choices([*FAULTS], weights=[*FAULTS.values()])
    return fault


def happens(fault: Fault, year: Year) -> None:
    year.done[fault.__name__.replace("_", " ")] += 1
    fault(year, random.Random(year.chance.random()))


def _kill(year: Year, chance: random.Random, name: str) -> None:
    time.sleep(chance.uniform(0, 0.3))  # somewhere in the work, wherever that is
    year.stack.processes[name].kill()
    year.stack.processes[name].start()


def _fail(year: Year, chance: random.Random, **fault: Any) -> None:
    year.stack.stripe("faults", {"count": chance.randint(1, 3), **fault})
