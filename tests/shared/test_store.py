import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import exc, text, update

from shared import context, database, doors, errors, events, outbox, store, tables
from tests.shared import kernel
from tests.shared.kernel import COUNTER, Added, Noted

STREAM = "counter-org_1"

with_snapshots = dataclasses.replace(
    COUNTER,
    snapshots=store.Snapshots(every=4, dump=lambda total: {"total": total}, restore=lambda kept: kept["total"]),
)


def chain_of(recorded: list[events.Recorded]) -> list[bool]:
    """For each event, whether it follows the one before."""
    before = [events.GENESIS, *(event.hash for event in recorded)]
    return [event.follows(hash) for event, hash in zip(recorded, before, strict=False)]


class TestAppend:
    def test_numbers_a_stream_from_1_without_gaps_and_chains_its_hashes(self, home):
        kernel.add(home, STREAM, 1, 2)
        kernel.add(home, STREAM, 3)

        recorded = kernel.read(home, STREAM)

        assert [event.version for event in recorded] == [1, 2, 3]
        assert chain_of(recorded) == [True, True, True]
        head = kernel.row_of(home, tables.Stream, STREAM)
        assert (head.version, head.hash) == (3, recorded[-1].hash)

    def test_gives_the_events_of_a_transaction_ids_in_their_order(self, home):
        kernel.add(home, STREAM, *range(1, 21))

        ids = [event.id for event in kernel.read(home, STREAM)]

        assert ids == sorted(ids)

    def test_keeps_the_very_bytes_that_were_hashed(self, home):
        with home.begin() as session:
            store.execute(session, STREAM, COUNTER, lambda _total: [Added(by=1, tags=("ü", '"'))])

        with home.begin() as session:
            data = session.scalars(text("SELECT data FROM events")).one()

        assert bytes(data) == events.encode({"by": 1, "tags": ["ü", '"']})

    def test_keeps_who_did_it_and_for_which_request(self, home):
        actor = context.Actor(kind="person", id="acc_1", org_id="org_1")
        with context.use(actor=actor, correlation_id="req_1", causation_id="evt_1"):
            kernel.add(home, STREAM, 1)

        assert kernel.read(home, STREAM)[0].meta == events.encode(
            {"actor": {"kind": "person", "id": "acc_1"}, "correlation_id": "req_1", "causation_id": "evt_1"}
        )

    def test_keeps_the_session_of_a_person_who_has_one(self, home):
        with context.use(actor=context.Actor(kind="person", id="acc_1", session_id="ses_1")):
            kernel.add(home, STREAM, 1)

        meta = json.loads(kernel.read(home, STREAM)[0].meta)
        assert meta["actor"] == {"kind": "person", "id": "acc_1", "session_id": "ses_1"}

    def test_writes_the_read_model_in_the_same_transaction(self, home):
        kernel.add(home, STREAM, 1, 2)

        assert kernel.row_of(home, kernel.Total, STREAM).total == 3

    def test_leaves_nothing_behind_when_the_read_model_cannot_be_written(self, home):
        def fail(*_arguments):
            raise RuntimeError("no room")

        broken = dataclasses.replace(COUNTER, project=fail)
        with pytest.raises(RuntimeError, match="no room"), home.begin() as session:
            store.execute(session, STREAM, broken, lambda _total: [Added(by=1)])

        assert [kernel.count(home, table) for table in (tables.Event, tables.Stream, tables.Outbox)] == [0, 0, 0]

    def test_hands_only_public_events_to_the_sequencer(self, home):
        with home.begin() as session:
            store.execute(session, STREAM, COUNTER, lambda _total: [Noted(note_id="n"), Added(by=1)])

        outbox.sequence(home)

        assert kernel.places(kernel.read_log(home)) == [(STREAM, 2)]

    def test_writes_nothing_for_no_facts(self, home):
        with home.begin() as session:
            store.execute(session, STREAM, COUNTER, lambda _total: [])

        assert kernel.count(home, tables.Stream) == 0

    @pytest.mark.parametrize("beginning", [(), (1,)], ids=["new stream", "old stream"])
    def test_lets_one_of_two_writers_win_and_tells_the_other(self, home, beginning):
        kernel.add(home, STREAM, *beginning)
        both_loaded = threading.Barrier(2)

        def write(by: int) -> str:
            try:
                with home.begin() as session:
                    loaded = store.load(session, STREAM, COUNTER)
                    both_loaded.wait(10)
                    store.append(session, loaded, COUNTER, [Added(by=by)])
            except store.VersionConflict:
                return "conflict"
            return "won"

        with ThreadPoolExecutor(2) as writers:
            outcomes = sorted(writers.map(write, (10, 20)))

        assert outcomes == ["conflict", "won"]
        recorded = kernel.read(home, STREAM)
        assert len(recorded) == len(beginning) + 1
        assert all(chain_of(recorded))

    def test_counts_right_for_16_writers_that_try_again(self, home):
        def write(_number: int) -> None:
            for _ in range(3):
                eventually_add(home)

        with ThreadPoolExecutor(16) as writers:
            list(writers.map(write, range(16)))

        recorded = kernel.read(home, STREAM)
        assert kernel.row_of(home, kernel.Total, STREAM).total == 48
        assert [event.version for event in recorded] == list(range(1, 49))
        assert all(chain_of(recorded))


def eventually_add(home: database.Database) -> None:
    """As a patient client does: ask again whenever the door says that somebody else was quicker."""
    while True:
        try:
            doors.with_retries(lambda: kernel.add(home, STREAM, 1))
        except errors.Conflict:
            continue
        return


class TestHistory:
    @pytest.mark.parametrize("table", ["events", "log"])
    @pytest.mark.parametrize(
        "statement",
        ["UPDATE {} SET version = 9", "DELETE FROM {}", "TRUNCATE {}"],
        ids=["update", "delete", "truncate"],
    )
    def test_cannot_be_changed(self, home, statement, table):
        kernel.publish(home, STREAM)

        with pytest.raises(exc.IntegrityError, match=f"{table} is insert only"), home.begin() as session:
            session.execute(text(statement.format(table)))

        assert kernel.places(kernel.read_log(home)) == [(STREAM, 1)]


def erase(home: database.Database, stream: str) -> int:
    with home.begin() as session:
        return session.scalars(text("SELECT erase_stream(:stream)"), {"stream": stream}).one()


class TestEraseStream:
    def test_erases_a_private_stream_and_keeps_how_long_it_was_and_its_last_hash(self, home):
        kernel.note(home, STREAM, "a", "b", "c")
        kernel.note(home, "counter-org_2", "d")
        last = kernel.read(home, STREAM)[-1]

        assert erase(home, STREAM) == 3

        assert kernel.read(home, STREAM) == []
        head = kernel.row_of(home, tables.Stream, STREAM)
        assert (head.version, head.hash) == (3, last.hash)
        assert head.erased_at is not None
        assert len(kernel.read(home, "counter-org_2")) == 1

    def test_erases_snapshots_too(self, home):
        with home.begin() as session:
            store.execute(session, STREAM, with_snapshots, lambda _total: [Noted(note_id="n")] * 5)
        assert kernel.count(home, tables.Snapshot) == 1

        erase(home, STREAM)

        assert kernel.count(home, tables.Snapshot) == 0

    @pytest.mark.parametrize("sequenced", [True, False], ids=["sequenced", "not sequenced"])
    def test_refuses_a_stream_with_public_events(self, home, sequenced):
        kernel.note(home, STREAM, "private")
        kernel.add(home, STREAM, 1)
        if sequenced:
            outbox.sequence(home)

        with pytest.raises(exc.IntegrityError, match="has public events"):
            erase(home, STREAM)

        assert len(kernel.read(home, STREAM)) == 2

    def test_opens_no_way_to_delete_the_rest_in_the_same_transaction(self, home):
        kernel.note(home, STREAM, "a")
        kernel.note(home, "counter-org_2", "b")

        with pytest.raises(exc.IntegrityError, match="insert only"), home.begin() as session:
            session.execute(text("SELECT erase_stream(:stream); DELETE FROM events"), {"stream": STREAM})

        assert len(kernel.read(home, STREAM)) == 1

    def test_leaves_a_stream_that_takes_nothing_more(self, home):
        kernel.note(home, STREAM, "a")
        erase(home, STREAM)

        with pytest.raises(errors.NotFound) as refusal:
            kernel.note(home, STREAM, "b")
        assert refusal.value.code == "erased"
        with pytest.raises(errors.NotFound), home.begin() as session:
            store.append(session, store.head(session, STREAM, COUNTER), COUNTER, [Noted(note_id="c")])

        assert kernel.read(home, STREAM) == []

    def test_wins_over_a_writer_that_had_loaded_before(self, home):
        kernel.note(home, STREAM, "a")

        def erase_meanwhile(_total: int) -> list[Noted]:
            erase(home, STREAM)
            return [Noted(note_id="b")]

        with pytest.raises(errors.NotFound), home.begin() as session:
            store.execute(session, STREAM, COUNTER, erase_meanwhile)

        assert kernel.read(home, STREAM) == []


class TestSnapshots:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.lists(st.integers(-9, 9), min_size=1, max_size=6), min_size=1, max_size=5))
    def test_never_change_what_a_stream_folds_to(self, home, transactions):
        stream = f"counter-org_{kernel.count(home, tables.Stream)}"
        for amounts in transactions:
            facts = [Added(by=amount) for amount in amounts]
            with home.begin() as session:
                store.execute(session, stream, with_snapshots, lambda _total, facts=facts: facts)

        with home.begin() as session:
            assert store.load(session, stream, with_snapshots) == store.load(session, stream, COUNTER)

    def test_spare_the_reading_of_what_they_hold(self, home):
        with home.begin() as session:
            store.execute(session, STREAM, with_snapshots, lambda _total: [Added(by=1)] * 5)
            session.execute(update(tables.Snapshot).values(state=b'{"total":500}'))
        kernel.add(home, STREAM, 1)

        with home.begin() as session:
            assert store.load(session, STREAM, with_snapshots).state == 501

    def test_of_another_fold_version_are_ignored(self, home):
        with home.begin() as session:
            store.execute(session, STREAM, with_snapshots, lambda _total: [Added(by=1)] * 5)
            session.execute(update(tables.Snapshot).values(state=b'{"total":500}'))

        next_release = dataclasses.replace(with_snapshots, fold_version=2)

        with home.begin() as session:
            assert store.load(session, STREAM, next_release).state == 5

    def test_are_kept_side_by_side_for_two_releases(self, home):
        next_release = dataclasses.replace(with_snapshots, fold_version=2)
        for release in (with_snapshots, next_release):
            with home.begin() as session:
                store.execute(session, STREAM, release, lambda _total: [Added(by=1)] * 4)

        assert kernel.count(home, tables.Snapshot) == 2


class TestHead:
    def test_is_where_the_next_event_goes_without_folding(self, home):
        kernel.add(home, STREAM, 1, 2)

        with home.begin() as session:
            end = store.head(session, STREAM, COUNTER)
            store.append(session, end, COUNTER, [Added(by=3)])

        recorded = kernel.read(home, STREAM)
        assert len(recorded) == 3
        assert all(chain_of(recorded))


class TestExecute:
    def test_decides_on_the_folded_state_and_gives_the_state_after_it(self, home):
        kernel.add(home, STREAM, 40)

        def double(total: int) -> list[Added]:
            return [Added(by=total), Added(by=2)]

        with home.begin() as session:
            assert store.execute(session, STREAM, COUNTER, double) == 82

    def test_writes_nothing_when_the_rule_refuses(self, home):
        def refuse(_total: int) -> list[Added]:
            raise errors.Conflict("full")

        with pytest.raises(errors.Conflict), home.begin() as session:
            store.execute(session, STREAM, COUNTER, refuse)

        assert kernel.read(home, STREAM) == []
