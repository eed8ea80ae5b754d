"""Two releases side by side, as in a rolling deployment: what one writes, the other understands or puts aside."""

from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import select

from shared import database, events, outbox, store, verification
from tests.shared import kernel
from tests.shared.kernel import CATALOGUE, COUNTER, Added, Heard, places

ONE, TWO = "counter-org_1", "counter-org_2"


@dataclass(frozen=True, kw_only=True)
class AddedOfOld:
    """As the first release had it."""

    name: ClassVar[str] = "counting.Added"
    schema: ClassVar[int] = 1

    amount: int


@dataclass(frozen=True, kw_only=True)
class AddedOfNext:
    """As a release to come has it."""

    name: ClassVar[str] = "counting.Added"
    schema: ClassVar[int] = 4

    by: int
    unit: str


OLD: store.Aggregate[int] = store.Aggregate(
    catalogue=events.Catalogue("counting", [AddedOfOld], public=[AddedOfOld]),
    initial=0,
    evolve=lambda total, fact: total + fact.amount,
)
NEXT: store.Aggregate[int] = store.Aggregate(
    catalogue=events.Catalogue("counting", [AddedOfNext], public=[AddedOfNext]),
    initial=0,
    evolve=lambda total, fact: total + fact.by,
)


def append(home: database.Database, stream: str, release: store.Aggregate[int], fact: Any) -> None:
    """Without folding what is there, so that each release may write behind the other."""
    with home.begin() as session:
        store.append(session, store.head(session, stream, release), release, [fact])


class TestTwoReleases:
    def test_of_a_producer_write_one_stream_and_the_newer_one_and_its_consumers_read_all_of_it(self, home, listener):
        for number in range(1, 9):
            fact = (OLD, AddedOfOld(amount=number)) if number % 2 else (COUNTER, Added(by=number))
            append(home, ONE, *fact)
        outbox.sequence(home)
        log = kernel.read_log(home)

        assert listener.inbox.take(log) == 8

        assert [event.schema for event in log] == [1, 3] * 4
        assert listener.heard() == places(log)
        with listener.home.begin() as session:
            assert session.scalars(select(Heard.by).order_by(Heard.id)).all() == list(range(1, 9))
        with home.begin() as session:
            assert store.load(session, ONE, COUNTER).state == sum(range(1, 9))
        assert verification.verify(home, CATALOGUE).faults == {}

    def test_of_which_one_is_newer_than_a_consumer_cost_it_only_the_streams_that_it_cannot_read(self, home, listener):
        append(home, ONE, COUNTER, Added(by=1))
        append(home, ONE, NEXT, AddedOfNext(by=2, unit="messages"))
        append(home, TWO, OLD, AddedOfOld(amount=3))
        append(home, ONE, COUNTER, Added(by=4))
        append(home, TWO, COUNTER, Added(by=5))
        outbox.sequence(home)

        assert listener.inbox.take(kernel.read_log(home)) == 5

        assert listener.heard() == [(ONE, 1), (TWO, 1), (TWO, 2)]
        assert listener.parked() == [
            (2, "counting.Added has schema 4, this release knows 3"),
            (4, "an earlier event of its stream is parked"),
        ]
