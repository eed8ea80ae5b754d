"""
A year of billing: whatever people, Stripe and the machines do, in the end everybody's books agree.

A seed that failed is played again with `-k seed-7`; it is printed with the round, the org and the first difference.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ops import processes
from sandbox import children
from tests.faults import report
from tests.infrastructure import NewDatabase
from tests.stack import stacks, year_deeds, year_faults
from tests.stack.stacks import Running
from tests.stack.year_programme import DAYS, Year

SMALL_SEEDS, SOAK_SEEDS = [1], range(200, 203)
JUMPS = (0.1, 1, 1, 3, 3, 8, 8, 20)  # days
CHECK_EVERY_DAYS = 40


@pytest.fixture
def own_stack(new_database: NewDatabase, new_vhost: Callable[[], str]) -> Iterator[Running]:
    """One for each seed: its clock goes on by a year, and never back."""
    urls = {f"{name.upper()}_DATABASE_URL": new_database() for name in processes.SERVICES}
    urls["AMQP_URI"] = new_vhost()
    with stacks.temporary_directory() as directory, stacks.standing(directory, urls=urls) as running:
        running.add_composed("mail", "stripe", "services", "worker", "gateway")
        running.await_ready()
        yield running
        print(children.last_lines(running.directory / "logs" / "stripe.log"))  # noqa: T201  # shown with a failure


def begun(stack: Running, seed: int, *, orgs: int) -> Year:
    """In the last days of March, so that some months are too short, and a 29 February comes."""
    year = Year(stack=stack, seed=seed, begins_at=datetime(2027, 3, 29 + seed % 3, 11, tzinfo=UTC))
    year.settle_in(orgs)
    return year


def play(year: Year, fault: year_faults.Fault, *, deeds: int) -> None:
    """A round: some deeds while something happens."""
    year.play(year_deeds.choose(year, deeds), lambda: year_faults.happens(fault, year))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", SMALL_SEEDS, ids="seed-{}".format)
def test_of_a_few_orgs(own_stack: Running, seed: int) -> None:
    year = begun(own_stack, seed, orgs=5)
    faults = year_faults.few(year)

    for fault in faults:
        play(year, fault, deeds=8)
        year.go_on(timedelta(days=DAYS / len(faults)))
    year.check()

    assert year.days() >= DAYS
    assert year.figures()["paid_invoices"] > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", SOAK_SEEDS, ids="seed-{}".format)
def test_of_many_orgs(own_stack: Running, seed: int) -> None:
    year, checked = begun(own_stack, seed, orgs=60), 0.0

    while year.days() < DAYS:
        play(year, year_faults.choose(year), deeds=24)
        if year.days() - checked > CHECK_EVERY_DAYS:
            checked = year.days()
            year.check()
        year.go_on(timedelta(days=year.chance.choice(JUMPS)))
    year.check()
    year.verify()

    report.add("a year of billing", **year.figures())
