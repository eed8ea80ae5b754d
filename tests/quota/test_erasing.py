"""An org is erased: what goes, what stays, and that nothing comes after, whatever happens meanwhile."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select, text

from services.billing.events import CATALOGUE as BILLING
from services.quota import erasing, grants, models, projections
from services.quota.events import CATALOGUE
from shared import context, database, errors, inbox, outbox, rebuilding, store, verification
from tests.databases import everything_in
from tests.quota.conftest import Quota, subscription
from tests.quota.erasures import Erasure, erasure, told

__all__ = ["erasure"]
CANARIES = ("Canary Wharf", "Heron", "ada_at_example", "a promise of Monday", "invoice-4711", "msg_2")
KILLED_AT = """
import sys
from services.quota import erasing
from shared import clock, database, failpoints
failpoints.arm("erasure.step", at=int(sys.argv[2]))
erasing.finish(database.Database(sys.argv[1], clock.Clock(), pool_size=1), "org_1")
"""


@pytest.fixture
def lived(quota: Quota) -> Quota:
    """`org_1` has two months, a bot with a name, one that is deleted, a credit and refunds; `org_2` is beside it."""
    quota.subscribe(version=2, action="upgraded", bot_limit=2)
    bot_id = quota.tell("create_bot", command_id="invoice-4711", name="Canary Wharf")["id"]
    quota.tell("delete_bot", bot_id=quota.tell("create_bot", name="Heron")["id"])
    quota.tell("pause_bot", bot_id=bot_id)
    quota.tell("resume_bot", bot_id=bot_id)
    wanted = grants.Grant(
        org_id="org_1", messages=5, expires_at=datetime(2027, 2, 1, tzinfo=UTC), reason="a promise of Monday"
    )
    with context.use(actor=context.Actor(kind="operator", id="kim")), quota.database.begin() as session:
        grants.grant(session, wanted, again=False, execute=True)
    quota.send(bot_id, *(f"ada_at_example_{number}" for number in range(12)), "msg_1")
    quota.tell("refund_message", message_id="msg_1")
    quota.database.clock.set(frozen_at=datetime(2026, 12, 1, tzinfo=UTC))
    quota.send(bot_id, "msg_2")
    quota.subscribe(org_id="org_2")
    other = quota.tell("create_bot", actor=_owner("org_2"), name="Otto")["id"]
    quota.send(other, "msg_other", actor=_owner("org_2"))
    return quota


def _owner(org_id: str) -> context.Actor:
    return context.Actor(kind="person", id="acc_2", org_id=org_id, role="owner")


def left_of(home: database.Database, org_id: str) -> dict[str, int]:
    """How many rows of the org each of quota's own tables has."""
    counts = {}
    with home.begin() as session:
        for table in (models.Org, models.Bot, models.Message, models.UsageMonth, models.UsageDay, models.Activity):
            counts[table.__tablename__] = len(session.scalars(select(table).where(table.org_id == org_id)).all())
        ledgers = "SELECT count(*) FROM events WHERE stream LIKE 'ledger-' || :org_id || '-%'"
        counts["ledgers"] = session.scalars(text(ledgers), {"org_id": org_id}).one()
    return counts


NOTHING = dict.fromkeys(("orgs", "bots", "messages", "usage_months", "usage_days", "activity", "ledgers"), 0)


class TestAnErasure:
    def test_leaves_no_text_and_no_number_of_the_org_and_all_of_the_other(
        self, lived: Quota, erasure: Erasure
    ) -> None:
        before = left_of(lived.database, "org_2")
        assert [canary for canary in CANARIES if canary not in everything_in(lived.database)] == []

        erasure.run("org_1")

        found = everything_in(lived.database)
        assert [canary for canary in CANARIES if canary in found] == []
        assert (left_of(lived.database, "org_1"), left_of(lived.database, "org_2")) == (NOTHING, before)
        assert lived.ask("get_usage", actor=_owner("org_2"))["used"] == 1

    def test_leaves_a_history_that_verifies_and_rows_that_a_rebuild_makes_again(
        self, lived: Quota, erasure: Erasure
    ) -> None:
        erasure.run("org_1")

        assert verification.verify(lived.database, CATALOGUE).faults == {}
        assert rebuilding.rebuild(lived.database, "quota", projections.READ_MODELS, limit=9).differences == []
        assert left_of(lived.database, "org_1") == NOTHING

    def test_is_told_once_in_a_stream_whose_subject_is_not_the_org(self, lived: Quota, erasure: Erasure) -> None:
        erasure.run("org_1")
        before = everything_in(lived.database)

        erasing.finish(lived.database, "org_1")
        erasure.hear()
        erasure.finish()

        assert everything_in(lived.database) == before
        assert told(lived.database) == ["org_1"]
        outbox.sequence(lived.database)
        with lived.database.begin() as session:
            (done,) = [one for one in outbox.read_log(session, "quota", after=0, limit=500) if "Done" in one.name]
        assert "org_1" not in (done.subject, done.stream)

    def test_of_an_org_that_quota_has_not_heard_of_keeps_it_from_ever_coming(
        self, lived: Quota, erasure: Erasure
    ) -> None:
        erasure.run("org_9")
        lived.subscribe(org_id="org_9")

        assert told(lived.database) == ["org_9"]
        assert left_of(lived.database, "org_9") == NOTHING

    def test_goes_on_wherever_it_was_killed(self, lived: Quota, erasure: Erasure) -> None:
        erasure.tell("org_1")
        erasure.hear()
        kills = 0
        while _finished_by_another(lived.database, killed_at=kills + 1) == -9:
            kills += 1
            assert verification.verify(lived.database, CATALOGUE).faults == {}
            assert told(lived.database) == []

        # Two months, four tables, and what is forgotten at the end: fewer each time, since a month goes once.
        assert kills == 5
        assert left_of(lived.database, "org_1") == NOTHING
        assert told(lived.database) == ["org_1"]

    def test_lets_nothing_through_that_is_counted_at_the_same_moment(
        self, lived: Quota, erasure: Erasure, make_quota: Any
    ) -> None:
        (bot,) = lived.ask("list_bots")
        erasure.tell("org_1")
        lived.subscribe(version=3, action="corrected", message_limit=100_000)
        others = [make_quota(lived.database) for _ in range(4)]

        def send(number: int) -> set[str]:
            said = [others[number % 4].send(bot["id"], f"msg_x{number}_{one}")[0] for one in range(60)]
            return {"admitted" if "admitted" in one else one["refused"]["code"] for one in said}

        with ThreadPoolExecutor(5) as pool:
            sending = [pool.submit(send, number) for number in range(4)]
            pool.submit(erasure.hear).result()
            codes = set().union(*(one.result() for one in sending))
        erasure.finish()

        assert "admitted" in codes
        assert len(codes) > 1
        assert left_of(lived.database, "org_1") == NOTHING
        assert verification.verify(lived.database, CATALOGUE).faults == {}


def _finished_by_another(home: database.Database, *, killed_at: int) -> int:
    done = subprocess.run([sys.executable, "-c", KILLED_AT, home.url, str(killed_at)], check=False)
    return done.returncode


class TestAnErasedOrg:
    @pytest.fixture
    def erased(self, lived: Quota, erasure: Erasure) -> Iterator[Quota]:
        erasure.tell("org_1")
        erasure.hear()
        return lived

    @pytest.mark.parametrize(
        "method", ["get_usage", "list_bots", "list_credits", "list_daily_usage", "list_statement"]
    )
    def test_is_gone_for_whoever_looks_before_the_job_has_come_to_it(self, erased: Quota, method: str) -> None:
        with pytest.raises(errors.NotFound) as refused:
            erased.ask(method)

        assert refused.value.code == "erased"

    def test_is_gone_for_whoever_would_do_something(self, erased: Quota) -> None:
        with pytest.raises(errors.NotFound, match="erased"):
            erased.tell("create_bot", name="Berta")
        with pytest.raises(errors.NotFound, match="unknown_message"):
            erased.tell("refund_message", message_id="msg_2")
        wanted = grants.Grant(org_id="org_1", messages=5, expires_at=datetime(2027, 2, 1, tzinfo=UTC), reason="x")
        with pytest.raises(errors.NotFound, match="erased"), erased.database.begin() as session:
            grants.grant(session, wanted, again=False, execute=True)

    def test_does_not_come_back_by_an_event_that_was_under_way(self, erased: Quota, erasure: Erasure) -> None:
        erased.subscribe(version=9, action="upgraded")  # its inbox had looked before the erasure
        erasure.finish()

        assert left_of(erased.database, "org_1") == NOTHING

    def test_is_ignored_by_the_inbox_afterwards(self, erased: Quota, erasure: Erasure, open_database: Any) -> None:
        billing = open_database("billing")
        facts: store.Aggregate[None] = store.Aggregate(
            catalogue=BILLING, initial=None, evolve=lambda state, _fact: state
        )
        with billing.begin() as session:
            head = store.head(session, "subscription-org_1", facts)
            store.append(session, head, facts, [subscription(version=9)])
        outbox.sequence(billing)
        with billing.begin() as session:
            log = outbox.read_log(session, "billing", after=0, limit=9)

        assert inbox.Inbox(erased.database, "quota", erasure.work.hears[0]).take(log) == 1

        assert left_of(erased.database, "org_1")["orgs"] == 0
