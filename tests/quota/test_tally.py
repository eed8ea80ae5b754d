"""Rows as commands write them, and as a rebuild makes them of the same events, whatever these are: by one rule."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from services.quota import events, models, projections
from shared import database, read_models, rebuilding, store

NOVEMBER = datetime(2026, 11, 22, 22, 30, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class FirstMessageRecorded:
    """As it was before there were credits."""

    name: ClassVar[str] = "quota.MessageRecorded"
    schema: ClassVar[int] = 1

    message_id: str
    bot_id: str


@dataclass(frozen=True, kw_only=True)
class NewerMessageRecorded(events.MessageRecorded):
    """As a release to come may write it."""

    schema: ClassVar[int] = 3


def projected(session: Any, event: Any, _fact: Any) -> None:
    """As a release projects what an earlier one has written."""
    kind = event.stream.split("-", 1)[0]
    projections.READ_MODELS.projects[kind](session, event, event.fact(events.CATALOGUE))


KIND: store.Aggregate[None] = store.Aggregate(
    catalogue=events.CATALOGUE, initial=None, evolve=lambda state, _fact: state, project=projected
)


def append(home: database.Database, stream: str, at: datetime, *facts: Any, kind: Any = KIND) -> None:
    with home.begin() as session:
        session.info["now"] = at
        store.append(session, store.head(session, stream, kind), kind, facts)


def rows(home: database.Database) -> dict[str, list[tuple[Any, ...]]]:
    with home.begin() as session:
        found = {name: session.execute(text(f"SELECT * FROM {name}")) for name in models.Views.metadata.tables}
        return {name: sorted(map(tuple, those), key=repr) for name, those in found.items()}


def forget(home: database.Database) -> None:
    with home.begin() as session:
        session.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
        session.execute(text("TRUNCATE events, streams, outbox, usage_days, usage_months, bots, activity"))
        session.execute(text("ALTER TABLE events ENABLE TRIGGER USER"))


def wipe(home: database.Database) -> None:
    with home.begin() as session:
        session.execute(
            text("DELETE FROM usage_days; DELETE FROM usage_months; DELETE FROM bots; DELETE FROM activity")
        )


# With what the cutting of bytes could stumble over: quotation marks, backslashes, and the member's own name.
WORDS = st.sampled_from(["a", "b", '"', "\\", '\\"', '"message_id":"', 'x","message_id":"y', "ü", "🙂", "}", ""])
IDS = st.lists(WORDS, max_size=3).map("".join)
BOTS = st.one_of(st.sampled_from(["bot_1", "bot_2"]), IDS)
MESSAGES = st.one_of(
    st.builds(events.MessageRecorded, message_id=IDS, bot_id=BOTS, credit_id=st.sampled_from(["", "crd_1", '"'])),
    st.builds(FirstMessageRecorded, message_id=IDS, bot_id=BOTS),
    st.builds(events.MessageRefunded, message_id=IDS, bot_id=BOTS, gives_back=st.booleans()),
)
NUMBERS = st.integers(0, 1000)
GIVEN = {"plan": st.sampled_from(["free", "growth"]), "limit": NUMBERS, "max_resets": NUMBERS}
VERSIONED = {"subscription_version": NUMBERS, "action": st.just("upgraded")}
CREDIT = {"credit_id": IDS, "granted_at": IDS, "expires_at": IDS}
MONTHS = st.one_of(
    st.builds(events.PeriodOpened, period=st.just(""), subscription_version=NUMBERS, **GIVEN),
    st.builds(events.LimitChanged, carried_over=st.just(""), **GIVEN, **VERSIONED),
    st.builds(events.UsageReset, generation=NUMBERS, used_before=NUMBERS, **VERSIONED),
    st.builds(events.CreditGranted, messages=NUMBERS, reason_version=NUMBERS, **CREDIT),
    st.builds(events.CreditCarried, messages=NUMBERS, remaining=NUMBERS, **CREDIT),
    st.builds(events.CreditReturned, credit_id=IDS, message_id=IDS),
    st.builds(events.CreditExpired, credit_id=IDS, unused=NUMBERS),
)
REASONS = st.lists(st.sampled_from(["user", "plan"]), unique=True).map(tuple)
BOT = {"org_id": st.just("org_1"), "bot_id": st.sampled_from(["bot_1", "bot_2"])}
ROSTER = st.one_of(
    st.builds(events.BotCreated, name_version=NUMBERS, **BOT),
    st.builds(events.BotRenamed, name_version=NUMBERS, **BOT),
    st.builds(events.BotPaused, reason=st.just("user"), reasons=REASONS, **BOT),
    st.builds(events.BotResumed, reason=st.just("user"), reasons=REASONS, **BOT),
    st.builds(events.BotDeleted, **BOT),
)
LEDGERS = st.sampled_from(["ledger-org_1-2026-11", "ledger-org_1-2026-12", "ledger-org_a-b-2026-11"])
STEPS = st.lists(
    st.tuples(
        st.one_of(
            st.tuples(LEDGERS, st.one_of(MESSAGES, MESSAGES, MONTHS)), st.tuples(st.just("bots-org_1"), ROSTER)
        ),
        st.integers(-2000, 2000),  # minutes: the clock may be set back
    ),
    max_size=30,
)
STUMBLES = [
    (("ledger-org_1-2026-11", events.MessageRecorded(message_id=id, bot_id=bot)), 0)
    for id, bot in (('a"b', "bot_1"), ("a\\", "bot_1"), ("", '"message_id":"'), ("", 'x","message_id":"y'))
]


class TestARebuild:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(STEPS)
    @example(STUMBLES)
    def test_makes_the_rows_that_were_written_event_by_event(self, home, story):
        at = NOVEMBER
        forget(home)
        for (stream, fact), minutes in story:
            at += timedelta(minutes=minutes)
            append(home, stream, at, fact)
        written = rows(home)

        assert rebuilding.diff(home, projections.READ_MODELS, limit=10).differences == []
        wipe(home)
        report = rebuilding.rebuild(home, "quota", projections.READ_MODELS, limit=0)

        assert rows(home) == written
        assert report.events == len(story)

    def test_counts_on_where_it_stopped_when_more_is_written_meanwhile(self, home):
        """The second pass finds days that the first has counted."""
        append(home, "ledger-org_1-2026-11", NOVEMBER, *messages("msg_1", "msg_2"))
        with home.begin() as session:
            shadow = rebuilding._Shadow(session, projections.READ_MODELS)
            folded = [shadow.fold()]
            append(home, "ledger-org_1-2026-11", NOVEMBER, *messages("msg_3"))
            append(home, "ledger-org_2-2026-11", NOVEMBER, *messages("msg_4"))
            folded += [shadow.fold(), shadow.fold()]
            report = rebuilding.Report()
            shadow.compare(report, 10)
            session.rollback()

        assert folded == [2, 2, 0]
        assert (report.differences, report.rows["usage_days"]) == ([], 2)

    def test_names_a_counted_event_that_this_release_cannot_read(self, home):
        newer = NewerMessageRecorded(message_id="msg_2", bot_id="bot_1")
        unprojected = replace(KIND, project=None)
        append(home, "ledger-org_1-2026-11", NOVEMBER, *messages("msg_1"), kind=unprojected)
        append(home, "ledger-org_1-2026-11", NOVEMBER, newer, kind=unprojected)

        with pytest.raises(read_models.CannotProject, match=r"^ledger-org_1-2026-11@2 .*Recorded\): .* has schema 3"):
            rebuilding.diff(home, projections.READ_MODELS, limit=0)

    @pytest.mark.parametrize(
        "data",
        ['{"bot_id":"bot_1","credit_id":"","message_id":"}', '{"bot_id":"bot_1","credit_id":""}', "\\x00ff", "null"],
    )
    def test_takes_no_bytes_that_are_no_such_fact(self, home, data):
        """An unended string, a member that is missing, no text, and no object: they are not made whole by the cut."""
        append(home, "ledger-org_1-2026-11", NOVEMBER, *messages("msg_1"))
        with home.begin() as session:
            session.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
            session.execute(text("UPDATE events SET data = CAST(CAST(:data AS text) AS bytea)"), {"data": data})

        with pytest.raises(read_models.CannotProject, match=r"^ledger-org_1-2026-11@1 "):
            rebuilding.diff(home, projections.READ_MODELS, limit=0)

    def test_refuses_a_history_with_a_hole(self, home):
        append(home, "ledger-org_1-2026-11", NOVEMBER, *messages("msg_1", "msg_2", "msg_3"))
        with home.begin() as session:
            session.execute(text("ALTER TABLE events DISABLE TRIGGER USER; DELETE FROM events WHERE version = 2"))

        with pytest.raises(read_models.CannotProject, match=r"^1 of 3 events are missing"):
            rebuilding.diff(home, projections.READ_MODELS, limit=0)

    def test_leaves_what_comes_behind_the_aim_to_the_next_pass(self, home, monkeypatch):
        late = [*messages("msg_2"), events.UsageReset(generation=1, used_before=1, action="", subscription_version=1)]
        append(home, "ledger-org_1-2026-11", NOVEMBER, *messages("msg_1"))
        with home.begin() as session:
            shadow = rebuilding._Shadow(session, projections.READ_MODELS)
            after_the_aim(shadow, monkeypatch, lambda: append(home, "ledger-org_1-2026-11", NOVEMBER, *late))
            folded = [shadow.fold()]
            monkeypatch.undo()
            folded += [shadow.fold()]
            session.rollback()

        assert folded == [1, 2]

    def test_gives_way_to_an_erasure_that_comes_between(self, home, monkeypatch):
        append(home, "ledger-org_1-2026-11", NOVEMBER, *messages("msg_1"))
        with home.begin() as session:
            shadow = rebuilding._Shadow(session, projections.READ_MODELS)
            after_the_aim(shadow, monkeypatch, lambda: erase(home, "org_1"))
            with pytest.raises(database.Beaten, match="erased or archived meanwhile"):
                shadow.fold()
            session.rollback()


def messages(*ids: str) -> list[Any]:
    return [events.MessageRecorded(message_id=id, bot_id="bot_1") for id in ids]


def after_the_aim(shadow: Any, monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """When it is settled how far to fold, and nothing is read yet."""
    aim = shadow.refolding._take_aim
    monkeypatch.setattr(shadow.refolding, "_take_aim", lambda: (aim(), do())[0])


def erase(home: database.Database, org_id: str) -> None:
    with home.begin() as session:
        session.execute(text(f"SELECT erase_stream(stream) FROM streams WHERE stream LIKE 'ledger-{org_id}-%'"))


@pytest.fixture
def home(open_database):
    return open_database("quota")
