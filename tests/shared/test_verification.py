import threading
import tracemalloc

import pytest
from sqlalchemy import insert, text

from shared import database, events, outbox, store, tables, verification
from tests.shared import kernel
from tests.shared.kernel import CATALOGUE

ONE, TWO = "counter-org_1", "counter-org_2"


@pytest.fixture
def history(home: database.Database) -> database.Database:
    """Two streams of public and private events, the last of which waits in the outbox; and one that was erased."""
    kernel.note(home, "counter-org_gone", "private")
    with home.begin() as session:
        session.execute(text("SELECT erase_stream('counter-org_gone')"))
    kernel.add(home, ONE, 1, 2, 3)
    kernel.note(home, ONE, "private")
    kernel.add(home, TWO, 1)
    outbox.sequence(home)
    kernel.add(home, TWO, 2)
    return home


def forge(home: database.Database, *statements: str) -> None:
    """As the tables' owner can, who takes off the triggers that protect history."""
    triggers = [f"ALTER TABLE {table} {{}} TRIGGER USER" for table in ("events", "log")]
    with home.begin() as session:
        for statement in (
            *(trigger.format("DISABLE") for trigger in triggers),
            *statements,
            *(trigger.format("ENABLE") for trigger in triggers),
        ):
            session.execute(text(statement))


TURNED = "set_bit(hash, 0, 1 - get_bit(hash, 0))"
FIRST = f"stream = '{ONE}' AND version = 1"
TO_OUTBOX = "INSERT INTO outbox (stream, version, event_hash) SELECT stream, version, hash FROM events"
FORGERIES = {
    "data changed": ("event changed", f"UPDATE events SET data = data || ' ' WHERE {FIRST}"),
    "meta changed": ("event changed", f"UPDATE events SET meta = '{{}}' WHERE {FIRST}"),
    "moment changed": ("event changed", f"UPDATE events SET recorded_at = now() - interval '1 day' WHERE {FIRST}"),
    "one bit of a hash turned": ("event changed", f"UPDATE events SET hash = {TURNED} WHERE {FIRST}"),
    "event taken out": ("version missing", f"DELETE FROM events WHERE stream = '{ONE}' AND version = 2"),
    "last event taken out": ("head wrong", f"DELETE FROM events WHERE stream = '{ONE}' AND version = 4"),
    "stream taken out": ("stream empty", f"DELETE FROM events WHERE stream = '{TWO}'"),
    "stream and head taken out": (
        "event missing",
        f"DELETE FROM events WHERE stream = '{TWO}'",
        f"DELETE FROM streams WHERE stream = '{TWO}'",
    ),
    "head taken out": ("head missing", f"DELETE FROM streams WHERE stream = '{ONE}'"),
    "two events exchanged": (
        "event changed",
        f"UPDATE events SET version = -1 WHERE stream = '{ONE}' AND version = 2",
        f"UPDATE events SET version = 2 WHERE stream = '{ONE}' AND version = 3",
        f"UPDATE events SET version = 3 WHERE stream = '{ONE}' AND version = -1",
    ),
    "erased stream that has events": ("not erased", f"UPDATE streams SET erased_at = now() WHERE stream = '{ONE}'"),
    "archived stream that has events": (
        "not archived",
        f"UPDATE streams SET archived_at = now() WHERE stream = '{ONE}'",
    ),
    "stream said to be archived": (
        "archive unknown",
        f"DELETE FROM events WHERE stream = '{TWO}'",
        f"UPDATE streams SET archived_at = now() WHERE stream = '{TWO}'",
    ),
    "position taken out": ("position missing", "DELETE FROM log WHERE position = 2"),
    "last position taken out": ("log head wrong", "DELETE FROM log WHERE position = 4"),
    "event of the log lost": ("public event lost", "DELETE FROM log WHERE position = 4"),
    "event of the outbox lost": ("public event lost", "DELETE FROM outbox"),
    "log changed": ("log changed", f"UPDATE log SET hash = {TURNED} WHERE position = 2"),
    "log head moved": ("log head wrong", "UPDATE log_head SET position = 9"),
    "checkpoint beyond the end": ("checkpoint wrong", "UPDATE log_head SET published = 9"),
    "event sequenced and waiting": (
        "public event twice",
        f"{TO_OUTBOX} WHERE {FIRST}",
    ),
    "private event in the outbox": (
        "outbox wrong",
        f"{TO_OUTBOX} WHERE stream = '{ONE}' AND version = 4",
    ),
}


class TestVerify:
    def test_finds_nothing_where_nothing_is_wrong(self, history):
        report = verification.verify(history, CATALOGUE)

        end = kernel.read_log(history)[-1]
        assert report == verification.Report(events=6, streams=2, position=4, hash=end.hash, faults={})

    def test_finds_nothing_where_there_is_nothing(self, home):
        assert verification.verify(home, CATALOGUE) == verification.Report(hash=events.GENESIS.hex())

    @pytest.mark.parametrize("kind, statements", [(kind, rest) for kind, *rest in FORGERIES.values()], ids=FORGERIES)
    def test_finds_what_somebody_did_to_the_tables(self, history, kind, statements):
        forge(history, *statements)

        faults = verification.verify(history, CATALOGUE).faults

        assert kind in faults

    def test_says_where_it_is_wrong(self, history):
        forge(history, f"UPDATE events SET data = '{{}}' WHERE {FIRST}")

        assert verification.verify(history, CATALOGUE).faults == {
            "event changed": f"{ONE}@1: its hash does not fit its content and predecessor"
        }

    def test_finds_a_stream_that_was_written_anew_with_all_its_sums_where_the_log_has_seen_it(self, history):
        events_before = kernel.read(history, ONE)
        forge(history, f"DELETE FROM events WHERE stream = '{ONE}'", f"DELETE FROM streams WHERE stream = '{ONE}'")
        kernel.add(history, ONE, *[7] * len(events_before))
        forge(history, f"DELETE FROM outbox WHERE stream = '{ONE}'")

        faults = verification.verify(history, CATALOGUE).faults

        assert set(faults) == {"event replaced", "public event lost"}

    def test_finds_a_private_event_that_got_into_the_log(self, history):
        with history.begin() as session:
            private = store.read(session, ONE)[-1]
            session.execute(insert(tables.Outbox).values(stream=ONE, version=4, event_hash=private.hash))
        outbox.sequence(history)

        assert set(verification.verify(history, CATALOGUE).faults) == {"private in log"}

    def test_sees_one_moment_while_others_write(self, home):
        stopping = threading.Event()

        def write(number: int) -> None:
            while not stopping.is_set():
                kernel.add(home, f"counter-org_{number}", 1, 2)
                outbox.sequence(home)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
        for writer in writers:
            writer.start()
        reports = [verification.verify(home, CATALOGUE) for _ in range(10)]
        stopping.set()
        for writer in writers:
            writer.join()

        assert [report.faults for report in reports] == [{}] * 10
        assert reports[0].events < reports[-1].events

    def test_needs_no_more_memory_for_more_events(self, home, monkeypatch):
        monkeypatch.setattr(verification, "ROWS_AT_ONCE", 20)

        def peak() -> int:
            tracemalloc.start()
            verification.verify(home, CATALOGUE)
            _now, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return most

        kernel.add(home, ONE, *[1] * 100)
        outbox.sequence(home)
        peak()
        small = peak()
        kernel.add(home, TWO, *[1] * 400)
        outbox.sequence(home)

        assert peak() < 1.3 * small
