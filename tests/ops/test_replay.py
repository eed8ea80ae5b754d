"""`chatness replay` of quota from billing, on their own databases; RabbitMQ must hear nothing of the events."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from ops import cli, exits, reach
from services.billing.events import CATALOGUE, SubscriptionChanged
from shared import clock, database, envelope, inbox, outbox, parking, store, tables
from shared.worker import Work
from tests.databases import everything_in
from tests.infrastructure import NewDatabase
from tests.quota.conftest import subscription
from tests.shared.conftest import plain_tracebacks

__all__ = ["plain_tracebacks"]  # a fixture that every test here uses

TELLING: store.Aggregate[None] = store.Aggregate(catalogue=CATALOGUE, initial=None, evolve=lambda state, _fact: state)


@dataclass
class Pair:
    """Billing's log, quota's inbox, and a queue that would get what is published."""

    billing: database.Database
    quota: database.Database
    overhears: Callable[[], int]

    def tell(self, org_id: str, *versions: int, limit: int = 10) -> None:
        facts = [subscription(org_id=org_id, version=version, message_limit=limit + version) for version in versions]
        stream = f"subscription-{org_id}"
        with self.billing.begin() as session:
            store.append(session, store.head(session, stream, TELLING), TELLING, facts)
        outbox.sequence(self.billing)

    @property
    def box(self) -> inbox.Inbox:
        work: Work = reach.work_of("quota", self.quota)
        return inbox.Inbox(self.quota, "quota", work.hears[0])

    def take(self, *, failing: frozenset[int] = frozenset()) -> None:
        """What a worker would have applied; at these positions the handler fails."""
        (hears,) = [self.box.hears]
        handler = hears.handlers[SubscriptionChanged]

        def handle(session: Any, fact: Any, event: Any) -> None:
            if event.position in failing:
                raise RuntimeError("the handler's own fault")
            handler(session, fact, event)

        box = inbox.Inbox(self.quota, "quota", inbox.Hears(CATALOGUE, {SubscriptionChanged: handle}))
        while batch := self.log(after=box.place().position):
            box.take(batch)

    def pass_over(self, events: int) -> None:
        """What a worker that wants none of these events does with them."""
        box = inbox.Inbox(self.quota, "quota", inbox.Hears(CATALOGUE, {}))
        while (place := box.place().position) < events:
            box.take(self.log(after=place)[: events - place])

    def log(self, *, after: int = 0) -> list[Any]:
        with self.billing.begin() as session:
            return outbox.read_log(session, "billing", after=after, limit=500)

    def limits(self) -> dict[str, int]:
        with self.quota.begin() as session:
            return {row.org_id: row.message_limit for row in session.execute(text("SELECT * FROM orgs"))}

    def everything(self) -> tuple[str, str]:
        return everything_in(self.billing), everything_in(self.quota)


@pytest.fixture
def overhears(amqp_uri: str) -> Iterator[Callable[[], int]]:
    """How many messages a queue has got that is bound to everything billing publishes."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_uri))
    channel = connection.channel()
    channel.exchange_declare("billing.events", exchange_type="topic", durable=True)
    channel.queue_declare("overhears")
    channel.queue_bind("overhears", "billing.events", "#")
    yield lambda: channel.queue_declare("overhears", passive=True).method.message_count
    connection.close()


@pytest.fixture
def pair(
    surroundings: pytest.MonkeyPatch,
    new_database: NewDatabase,
    service_template: Callable[[str], str],
    overhears: Callable[[], int],
) -> Iterator[Pair]:
    homes = {}
    for name in ("billing", "quota"):
        url = new_database(template=service_template(name))
        surroundings.setenv(f"{name.upper()}_DATABASE_URL", url)
        homes[name] = database.Database(url, clock.Clock())
    yield Pair(homes["billing"], homes["quota"], overhears)
    for home in homes.values():
        home.close()


def replay(*words: str) -> Result:
    reason = ("--reason", "a test") if "--execute" in words and "--reason" not in words else ()
    return CliRunner().invoke(cli.main, ["replay", "--from", "billing", "--to", "quota", *words, *reason])


def documents(done: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestADryRun:
    def test_of_a_thousand_events_says_how_they_stand_and_changes_nothing(self, pair):
        for number in range(10):
            pair.tell(f"org_{number}", *range(1, 101))
        pair.pass_over(990)
        pair.take(failing=frozenset({998}))
        pair.tell("org_0", 101)
        before = pair.everything()

        would = replay("--json", "--mode", "missing")

        (found,) = documents(would)
        assert (would.exit_code, would.stderr.splitlines()[-1]) == (exits.OK, exits.NO_CHANGE)
        assert (found["events"], found["names"]) == (1001, {"billing.SubscriptionChanged": 1001})
        assert (found["first"]["position"], found["last"]["position"]) == (1, 1001)
        assert (found["applied"], found["parked"], found["not_reached"], found["to_apply"]) == (997, 3, 1, 3)
        assert pair.everything() == before
        assert pair.overhears() == 0

    def test_selects_what_fits_all_filters(self, pair):
        pair.tell("org_1", 1, 2, 3)
        pair.tell("org_10", 1, 2, 3)
        selected = {
            words: documents(replay("--json", *words.split()))[0]["events"]
            for words in (
                "--name billing.*Changed",
                "--name billing.PaymentFailed",
                "--stream subscription-org_1",
                "--stream subscription-* --positions 2..",
                "--org org_1 --positions ..2",
                "--positions 3..4",
                "--since 2026-11-22T00:00Z",
                "--until 2026-11-22T00:00Z",
            )
        }

        assert list(selected.values()) == [6, 0, 3, 5, 2, 2, 6, 0]

    @pytest.mark.parametrize("words", ["--event evt_nobodys", "--from-file nowhere.jsonl"])
    def test_names_what_does_not_exist(self, pair, words):
        assert replay(*words.split()).exit_code == exits.NOT_FOUND


class TestMissing:
    def test_applies_what_is_parked_and_discarded_once_and_reaches_nobody_else(self, pair):
        pair.tell("org_1", 1, 2, 3, 4)
        pair.tell("org_2", 1)
        pair.take(failing=frozenset({2}))
        parking.discard(pair.quota, "billing", 4, reason="a test", actor="ada")
        billing = everything_in(pair.billing)

        done = replay("--org", "org_1", "--execute", "--max", "4", "--reason", "ticket 4711", "--by", "ada", "--json")
        again = replay("--org", "org_1", "--execute", "--max", "4", "--json")

        _found, line = documents(done)
        assert (done.exit_code, line["stream"]) == (exits.OK, "subscription-org_1")
        assert (line["applied"], line["left"], line["reason"]) == (3, 0, "")
        assert pair.limits() == {"org_1": 14, "org_2": 11}
        assert len(documents(again)) == 1  # there was nothing left to do
        with pair.quota.begin() as session:
            first, _second = session.scalars(select(tables.Replay).order_by(tables.Replay.id)).all()
            (discarded,) = session.scalars(select(tables.Discarded)).all()
        assert (first.applied, first.actor, first.reason, discarded.replay_id) == (3, "ada", "ticket 4711", first.id)
        assert first.ended_at is not None
        assert everything_in(pair.billing) == billing
        assert pair.overhears() == 0

    def test_leaves_what_was_overtaken_unless_it_is_asked_for(self, pair):
        pair.tell("org_1", 1, 2, 3)
        pair.take(failing=frozenset({2}))
        parking.discard(pair.quota, "billing", 2, reason="a test", actor="ada")
        parking.redrive(pair.box, "subscription-org_1")

        left = replay("--execute", "--max", "3", "--json")
        done = replay("--overtaken", "--execute", "--max", "3", "--json")

        assert [found["overtaken"] for found in documents(left)] == [1]
        assert documents(done)[1]["applied"] == 1
        assert pair.limits() == {"org_1": 13}
        assert documents(replay("--json"))[0]["discarded"] == 0

    def test_stops_a_stream_at_what_still_fails_and_does_the_others(self, pair):
        for org_id in ("org_1", "org_2"):
            pair.tell(org_id, 1, 2)
        pair.take(failing=frozenset({2, 3}))
        with pair.quota.begin() as session:
            session.execute(
                text("ALTER TABLE orgs ADD CONSTRAINT no CHECK (message_limit <> 12 OR org_id <> 'org_1')")
            )

        done = replay("--execute", "--max", "4", "--json")

        _found, one, two = documents(done)
        assert (done.exit_code, one["applied"], one["left"]) == (exits.FAILED, 0, 1)
        assert one["reason"] == "IntegrityError in billing.SubscriptionChanged"
        assert (two["applied"], two["reason"]) == (2, "")

    def test_catches_up_if_it_is_asked_to(self, pair):
        pair.tell("org_1", 1)
        pair.take()
        pair.tell("org_1", 2, 3)

        assert replay("--execute", "--max", "3").exit_code == exits.OK
        assert pair.limits() == {"org_1": 11}
        done = replay("--catch-up", "--execute", "--max", "5", "--json")

        assert documents(done)[-1]["caught_up_to"] == 3
        assert pair.limits() == {"org_1": 13}


class TestAgain:
    @pytest.fixture
    def plans(self, pair: Pair, surroundings: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
        """Quota as an example of a consumer that keeps a read model and does nothing else: each org's limit."""

        def keep(session: Session, fact: SubscriptionChanged, _event: envelope.Envelope) -> None:
            upsert = (
                "INSERT INTO limits VALUES (:org, :limit) ON CONFLICT (org_id) DO UPDATE SET message_limit = :limit"
            )
            session.execute(text(upsert), {"org": fact.org_id, "limit": fact.message_limit})

        hears = inbox.Hears(CATALOGUE, {SubscriptionChanged: keep}, repeatable=frozenset({SubscriptionChanged}))
        work = Work(service="quota", hears=[hears])
        surroundings.setattr("services.quota.worker.work", lambda _settings, _home: work)
        with pair.quota.begin() as session:
            session.execute(text("CREATE TABLE limits (org_id text PRIMARY KEY, message_limit bigint NOT NULL)"))

        def kept() -> dict[str, int]:
            with pair.quota.begin() as session:
                return {row.org_id: row.message_limit for row in session.execute(text("SELECT * FROM limits"))}

        return kept

    def test_applies_what_was_selected_and_what_follows_in_its_streams(self, pair, plans):
        pair.tell("org_1", 1, 2)
        pair.tell("org_2", 1)
        pair.tell("org_1", 3)
        pair.box.take(pair.log())
        with pair.quota.begin() as session:
            session.execute(text("DELETE FROM limits"))
        billing = everything_in(pair.billing)

        (would,) = documents(replay("--mode", "again", "--positions", "2..2", "--json"))
        refused = replay("--mode", "again", "--positions", "2..2", "--execute", "--max", "1")
        assert plans() == {}
        done = replay("--mode", "again", "--positions", "2..2", "--execute", "--max", "2", "--json")

        assert (would["events"], would["later"], would["to_apply"]) == (1, 1, 2)
        assert (refused.exit_code, done.exit_code) == (exits.CONFLICT, exits.OK)
        assert documents(done)[1]["applied"] == 2
        assert plans() == {"org_1": 13}
        assert everything_in(pair.billing) == billing
        assert pair.overhears() == 0


class TestRefusals:
    @pytest.mark.parametrize("mode", ["missing", "again"])
    def test_come_before_anything_is_done(self, pair, mode):
        pair.tell("org_1", 1, 2)
        pair.take(failing=frozenset({2}))
        before = pair.everything()

        refused = replay("--mode", mode, "--execute", "--max", "1")

        assert refused.exit_code == exits.CONFLICT
        assert {
            "missing": "2 events are selected, and --max is 1",
            "again": "quota's handler of billing.SubscriptionChanged does more than write read models",
        }[mode] in refused.stderr
        assert pair.everything() == before

    def test_hold_for_who_does_not_hear_the_producer(self, surroundings):
        asked = CliRunner().invoke(cli.main, ["replay", "--from", "quota", "--to", "secrets"])

        assert (asked.exit_code, asked.stderr) == (exits.CONFLICT, "chatness: secrets does not hear quota\n")

    def test_hold_for_a_log_that_diverged(self, pair):
        pair.tell("org_1", 1)
        pair.take()
        with pair.quota.begin() as session:
            session.execute(text("UPDATE inbox SET hash = sha256(hash)"))

        refused = replay("--execute", "--max", "1")

        assert (refused.exit_code, "diverged" in refused.stderr) == (exits.CONFLICT, True)


class TestAFile:
    def written(self, pair: Pair, folder: Path) -> Path:
        pair.tell("org_1", 1, 2, 3)
        pair.take(failing=frozenset({2}))
        path = folder / "events.jsonl"
        wrote = replay("--positions", "2..", "--to-file", str(path))
        assert (wrote.exit_code, wrote.stdout, wrote.stderr) == (exits.OK, "", f"{path}: 2 events of billing\n")
        return path

    def test_is_replayed_as_the_log_would_be(self, pair, tmp_path):
        path = self.written(pair, tmp_path)

        done = replay("--from-file", str(path), "--execute", "--max", "2", "--json")

        assert [found["position"] for found in (documents(done)[0]["first"], documents(done)[0]["last"])] == [2, 3]
        assert pair.limits() == {"org_1": 13}
        assert [path.name for path in tmp_path.iterdir()] == ["events.jsonl"]

    def test_that_does_not_fit_the_log_is_refused_with_its_line(self, pair, tmp_path):
        path = self.written(pair, tmp_path)
        first, second = path.read_text().splitlines()
        before = pair.everything()
        changes = {
            ('"message_limit":13', '"message_limit":14'): "it is not the event that billing's log has at 3",
            ('"position":3', '"position":4'): "billing's log has nothing at 4",
            ("/chatness/billing", "/chatness/quota"): "it is an event of quota, not of billing",
            ('{"', "{"): "not JSON",
        }
        for change, reason in changes.items():
            path.write_text(f"{first}\n{second.replace(*change, 1)}\n")

            refused = replay("--from-file", str(path), "--execute", "--max", "2")

            assert refused.exit_code == exits.CONFLICT
            assert refused.stderr == f"chatness: {path}, line 2: {reason}\n"
        assert pair.everything() == before
