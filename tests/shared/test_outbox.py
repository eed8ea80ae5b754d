import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared import database, envelope, errors, events, outbox, store, tables
from tests.shared import kernel
from tests.shared.kernel import COUNTER, Added

STREAM = "counter-org_1"


def is_whole(log: list[envelope.Envelope]) -> bool:
    """Whether positions are dense from 1 and every hash follows the one before."""
    hashes = [events.GENESIS, *(bytes.fromhex(event.hash) for event in log)]
    return [event.position for event in log] == list(range(1, len(log) + 1)) and all(
        event.follows(hash) for event, hash in zip(log, hashes, strict=False)
    )


class TestSequence:
    def test_gives_dense_positions_and_a_chained_hash(self, home):
        log = kernel.publish(home, STREAM, "counter-org_2", STREAM)

        assert kernel.places(log) == [(STREAM, 1), ("counter-org_2", 1), (STREAM, 2)]
        assert is_whole(log)
        head = kernel.row_of(home, tables.LogHead, True)
        assert (head.position, head.hash.hex(), head.epoch) == (3, log[-1].hash, log[-1].epoch)
        assert kernel.count(home, tables.Outbox) == 0

    def test_moves_more_than_one_batch(self, home, monkeypatch):
        monkeypatch.setattr(outbox, "BATCH", 4)
        kernel.add(home, STREAM, *range(10))

        assert outbox.sequence(home) == 10
        assert outbox.sequence(home) == 0
        assert is_whole(kernel.read_log(home))

    def test_leaves_no_hole_where_a_writer_rolled_back(self, home):
        def write_and_give_up() -> None:
            with home.begin() as session:
                store.execute(session, "counter-org_2", COUNTER, lambda _total: [Added(by=1)])
                raise RuntimeError("before the commit")

        kernel.add(home, STREAM, 1)
        with pytest.raises(RuntimeError):
            write_and_give_up()
        kernel.add(home, STREAM, 2)

        outbox.sequence(home)

        log = kernel.read_log(home)
        assert kernel.places(log) == [(STREAM, 1), (STREAM, 2)]
        assert is_whole(log)

    def test_puts_a_transaction_that_commits_late_behind_what_was_sequenced(self, home):
        with home.begin() as late:
            store.execute(late, "counter-org_2", COUNTER, lambda _total: [Added(by=1)])
            assert kernel.places(kernel.publish(home, STREAM)) == [(STREAM, 1)]

        outbox.sequence(home)

        assert kernel.places(kernel.read_log(home)) == [(STREAM, 1), ("counter-org_2", 1)]

    def test_loses_nothing_and_keeps_the_order_of_streams_under_a_crowd(self, home):
        """Eight writers that commit after random delays, two sequencers, and a reader that follows the log's end."""
        crowd = Crowd(home)

        with ThreadPoolExecutor(11) as threads:
            sequencers = [threads.submit(crowd.sequence) for _ in range(2)]
            reader = threads.submit(crowd.follow)
            writers = [threads.submit(crowd.write, number) for number in range(8)]
            written = sum(writer.result() for writer in writers)
            crowd.done.set()
            for thread in (*sequencers, reader):
                thread.result()

        log = kernel.read_log(home)
        assert len(log) == written
        assert is_whole(log)
        assert crowd.followed == log
        for stream in crowd.STREAMS:
            versions = [event.version for event in log if event.stream == stream]
            assert versions == [event.version for event in kernel.read(home, stream)]


class Crowd:
    STREAMS = ("counter-org_1", "counter-org_2", "counter-org_3")

    def __init__(self, home: database.Database) -> None:
        self.home = home
        self.done = threading.Event()
        self.followed: list[envelope.Envelope] = []

    def write(self, number: int) -> int:
        """Gives how many events it committed; now and then it rolls back instead."""
        dice = random.Random(number)
        committed = 0
        while committed < 15:
            stream, by = dice.choice(self.STREAMS), dice.randint(1, 3)
            try:
                with self.home.begin() as session:
                    store.execute(session, stream, COUNTER, lambda _total, by=by: [Added(by=1)] * by)
                    time.sleep(dice.uniform(0, 0.01))
                    if dice.random() < 0.1:
                        raise store.VersionConflict
                committed += by
            except store.VersionConflict:
                continue
        return committed

    def sequence(self) -> None:
        while not self.done.is_set():
            outbox.sequence(self.home)
        outbox.sequence(self.home)

    def follow(self) -> None:
        """As a consumer does: only ever ask for what lies beyond the last position seen."""
        finished = False
        while not finished:
            finished = self.done.is_set() and kernel.count(self.home, tables.Outbox) == 0
            after = self.followed[-1].position if self.followed else 0
            self.followed += kernel.read_log(self.home, after=after, limit=7)
            finished = finished and len(self.followed) == kernel.row_of(self.home, tables.LogHead, True).position


def pull(home: database.Database, after: int, hash: str, *, limit: int = 100) -> dict[str, object]:
    with home.begin() as session:
        return outbox.pull(session, "counting", after=after, hash=hash, limit=limit)


class TestPull:
    def test_gives_what_lies_beyond_and_where_the_log_ends(self, home):
        log = kernel.publish(home, STREAM, STREAM, STREAM)

        assert pull(home, 0, events.GENESIS.hex()) == {"events": [event.to_json() for event in log], "head": 3}
        assert pull(home, 1, log[0].hash, limit=1) == {"events": [log[1].to_json()], "head": 3}
        assert pull(home, 3, log[2].hash) == {"events": [], "head": 3}

    @pytest.mark.parametrize("limit", [-1, 0, 1])
    def test_always_gives_something_while_there_is_more(self, home, limit):
        kernel.publish(home, STREAM, STREAM)

        assert len(pull(home, 0, events.GENESIS.hex(), limit=limit)["events"]) == 1

    @pytest.mark.parametrize("after, hash", [(1, "00" * 32), (1, "nonsense"), (9, "00" * 32), (-1, "00" * 32)])
    def test_refuses_one_who_applied_another_log(self, home, after, hash):
        kernel.publish(home, STREAM)

        with pytest.raises(errors.Conflict) as refusal:
            pull(home, after, hash)

        assert refusal.value.code == "log_diverged"

    def test_tells_everything_of_an_event_that_its_consumer_needs(self, home):
        kernel.add(home, STREAM, 5)
        outbox.sequence(home)
        recorded = kernel.read(home, STREAM)[0]

        (event,) = kernel.read_log(home)

        assert event.fact(kernel.CATALOGUE) == Added(by=5)
        assert (event.producer, event.id, event.time) == ("counting", recorded.id, recorded.recorded_at)
        assert event.event_hash == recorded.hash.hex()
        assert (event.stream, event.version) == (STREAM, 1)
