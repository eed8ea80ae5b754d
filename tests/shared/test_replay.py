import pytest
from sqlalchemy import select, text

from shared import database, inbox, jobs, parking, personal, replay, store, tables
from tests.databases import everything_in
from tests.shared import kernel, kernel_programs
from tests.shared.kernel import Added, Listener, publish

ONE, TWO = "counter-org_1", "counter-org_2"
KILLED = -9


def begin(box: inbox.Inbox, mode: replay.Mode = "missing", *, actor: str = "ada") -> replay.Record:
    return replay.begin(box, mode=mode, selection=b"some", events=1, actor=actor, reason=f"what {actor} says")


def totals(listener: Listener) -> dict[str, int]:
    with listener.home.begin() as session:
        return {row.stream: row.total for row in session.execute(text("SELECT * FROM totals"))}


def rows_of_replays(listener: Listener) -> list[tables.Replay]:
    with listener.home.begin() as session:
        return list(session.scalars(select(tables.Replay).order_by(tables.Replay.id)))


def lose_totals(listener: Listener) -> None:
    with listener.home.begin() as session:
        session.execute(text("DELETE FROM totals"))


@pytest.fixture
def parked(home: database.Database, listener: Listener) -> Listener:
    """Of one stream the versions 2 and 4 are parked and 3 was discarded, of the other nothing."""

    def fail(_fact, event):
        if (event.stream, event.version) == (ONE, 2):
            raise RuntimeError("the handler's own fault")

    listener.failing = fail
    listener.inbox.take(publish(home, ONE, TWO, ONE, ONE, ONE, TWO))
    parking.discard(listener.home, "counting", 4, reason="a test", actor="ada")
    assert [position for position, _reason in listener.parked()] == [3, 5]
    listener.failing = lambda _fact, _event: None
    return listener


class TestApplyMissing:
    def test_applies_in_order_what_was_parked_and_discarded_and_nothing_twice(self, home, parked):
        assert kernel.replay_all(parked.inbox, home, "missing") == 3
        assert kernel.replay_all(parked.inbox, home, "missing") == 0

        assert parked.heard() == [(ONE, 1), (TWO, 1), (TWO, 2), (ONE, 2), (ONE, 3), (ONE, 4)]
        assert parked.parked() == []

    def test_applies_nothing_before_what_is_parked_of_its_stream(self, home, parked):
        third, fourth = kernel.read_log(home)[3:5]

        assert replay.apply_missing(parked.inbox, third, begin(parked.inbox), overtaken=False) is replay.Done.BLOCKED
        assert replay.apply_missing(parked.inbox, fourth, begin(parked.inbox), overtaken=True) is replay.Done.BLOCKED

        assert (ONE, 3) not in parked.heard()

    def test_leaves_what_was_overtaken_unless_it_is_wanted_and_then_moves_no_version_back(self, home, parked):
        parking.redrive(parked.inbox, ONE)
        third, record = kernel.read_log(home)[3], begin(parked.inbox)

        assert replay.apply_missing(parked.inbox, third, record, overtaken=False) is replay.Done.OVERTAKEN
        assert replay.apply_missing(parked.inbox, third, record, overtaken=True) is replay.Done.APPLIED

        assert parked.heard()[-1] == (ONE, 3)
        assert kernel.row_of(parked.home, tables.InboxStream, ("counting", ONE)).version == 4

    def test_leaves_what_fails_as_it_was(self, home, parked):
        parking.redrive(parked.inbox, ONE)
        before = everything_in(parked.home)

        def fail(*_arguments):
            raise RuntimeError("still")

        parked.failing = fail
        record = begin(parked.inbox)
        with pytest.raises(parking.StillFails, match="RuntimeError in"):
            replay.apply_missing(parked.inbox, kernel.read_log(home)[3], record, overtaken=True)

        with parked.home.begin() as session:
            session.execute(text("DELETE FROM replays"))
        assert everything_in(parked.home) == before

    def test_skips_who_was_erased_meanwhile(self, home, parked):
        with parked.home.begin() as session:
            personal.erase(session, "org_1")

        assert kernel.replay_all(parked.inbox, home, "missing") == 3

        assert parked.heard() == [(ONE, 1), (TWO, 1), (TWO, 2)]


class TestApplyAgain:
    def test_makes_the_rows_of_a_read_model_again(self, home, listener):
        listener.totals.take(publish(home, ONE, TWO, ONE))
        lose_totals(listener)

        assert kernel.replay_all(listener.totals, home, "again") == 3

        assert totals(listener) == {ONE: 3, TWO: 2}

    def test_leaves_no_row_as_an_older_event_had_it_when_a_newer_one_comes_meanwhile(self, home, listener):
        log = publish(home, ONE, ONE)
        box = listener.totals
        box.take(log)
        record = begin(box, "again")
        kernel.add(home, ONE, 7)
        kernel.outbox.sequence(home)
        box.take(kernel.read_log(home))  # as the live consumer does, between the plan and its end

        assert replay.apply_again(box, home, {ONE}, [1, 2], record) == 3

        assert totals(listener) == {ONE: 7}

    @pytest.mark.parametrize("error", [RuntimeError("the handler's own fault"), store.EffectRefused("so be it")])
    def test_begins_at_the_start_when_the_former_one_failed(self, home, listener, monkeypatch, error):
        monkeypatch.setattr(replay, "BATCH", 1)
        box = listener.totals
        box.take(publish(home, ONE, ONE))

        def fail(_fact, event):
            if event.position == 2:
                raise error

        listener.failing = fail
        with pytest.raises((parking.StillFails, store.EffectRefused)):
            replay.apply_again(box, home, {ONE}, [1, 2], begin(box, "again"))
        listener.failing = lambda _fact, _event: None

        assert replay.apply_again(box, home, {ONE}, [1, 2], begin(box, "again")) == 2

    def test_skips_what_was_not_applied(self, home, listener):
        def fail(fact, _event):
            if fact.by == 2:
                raise RuntimeError("the handler's own fault")

        listener.failing = fail
        listener.totals.take(publish(home, ONE, ONE))
        listener.failing = lambda _fact, _event: None

        kernel.replay_all(listener.totals, home, "again")

        assert totals(listener) == {ONE: 1}

    @pytest.mark.parametrize(
        "effect, reason",
        [
            (lambda session: kernel.add_in(session, ONE, 1), "append an event"),
            (lambda session: jobs.add(session, "mail", {}, subject="org_1"), "add a job mail"),
            (lambda session: session.execute(text("DELETE FROM streams")), "a table of the kernel"),
        ],
        ids=["event", "job", "sql"],
    )
    def test_refuses_a_handler_that_does_more_whatever_it_says_of_itself(self, home, listener, effect, reason):
        kernel.add(listener.home, TWO, 1)
        listener.totals.take(publish(home, ONE))
        before = everything_in(listener.home)
        record = begin(listener.totals, "again")

        def handle(session, _fact, _event):
            effect(session)

        liar = inbox.Hears(kernel.CATALOGUE, {Added: handle}, repeatable=frozenset({Added}))
        with pytest.raises(store.EffectRefused, match=reason):
            replay.apply_again(inbox.Inbox(listener.home, "listening", liar), home, {ONE}, [1], record)

        with listener.home.begin() as session:
            session.execute(text("DELETE FROM replays"))
        assert everything_in(listener.home) == before

    def test_refuses_a_handler_that_is_not_said_to_bear_it(self, home, listener):
        listener.inbox.take(publish(home, ONE))

        with pytest.raises(store.EffectRefused, match="its handler of counting"):
            kernel.replay_all(listener.inbox, home, "again")

        assert listener.heard() == [(ONE, 1)]


class TestKilled:
    def test_in_the_middle_of_what_was_missing_it_has_lost_nothing(self, home, listener):
        def fail(_fact, event):
            if event.version == 2:
                raise RuntimeError("the handler's own fault")

        listener.failing = fail
        listener.inbox.take(publish(home, *[ONE] * 6))
        log = everything_in(home)

        assert kernel_programs.run("replay", listener.home.url, home.url, "missing", "2") == KILLED
        listener.failing = lambda _fact, _event: None
        assert kernel.replay_all(listener.inbox, home, "missing") == 5 - 2  # what was done is not done again

        assert listener.heard() == [(ONE, version) for version in range(1, 7)]
        assert listener.parked() == []
        assert everything_in(home) == log

    def test_in_the_middle_of_what_is_applied_again_it_goes_on_from_there(self, home, listener):
        kernel.add(home, ONE, *range(150))
        kernel.add(home, TWO, *range(150))
        kernel.outbox.sequence(home)
        listener.totals.take(kernel.read_log(home))
        lose_totals(listener)

        assert kernel_programs.run("replay", listener.home.url, home.url, "again", "2") == KILLED
        assert totals(listener) != {ONE: 149, TWO: 149}
        assert kernel.replay_all(listener.totals, home, "again") == 300 - 2 * replay.BATCH

        assert totals(listener) == {ONE: 149, TWO: 149}
        first, second = rows_of_replays(listener)
        assert (first.position, second.position) == (2 * replay.BATCH, 300)
        assert None not in (first.ended_at, second.ended_at)

    def test_it_is_gone_on_with_under_the_name_of_who_does_so(self, listener):
        begin(listener.totals, "again", actor="ada")
        begin(listener.totals, "again", actor="bob")

        first, second = rows_of_replays(listener)
        assert (first.actor, first.reason, first.ended_at is None) == ("ada", "what ada says", False)
        assert (second.actor, second.reason, second.ended_at) == ("bob", "what bob says", None)
