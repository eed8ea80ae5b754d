"""What a worker shows of its databases, beside real ones that come and go."""

import time
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from sandbox.postgres import PostgresServer
from shared import consumer, database, gauges, jobs, worker
from tests.shared import broker, kernel
from tests.shared.kernel import Listener

ONE = "counter-org_1"


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "FRESH_SECONDS", 0.0)


@pytest.fixture
def amqp_uri(new_vhost: Callable[[], str]) -> str:
    return new_vhost()


def scrape(*sources: gauges.Source) -> None:
    for source in sources:
        source.show(until=time.monotonic() + 3)


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"chatness_{name}", labels)


def of(home: database.Database, amqp_uri: str, **work: object) -> list[gauges.Source]:
    """The sources of a worker that does not run."""
    running = worker.Worker(worker.Work(**({"service": "counting"} | work)), home, amqp_uri)
    return gauges.sources(running, home.looking())


class TestOfTheDatabase:
    def test_shows_what_waits_and_for_how_long(self, home, amqp_uri):
        sources = of(home, amqp_uri, jobs={"mail": lambda *_job: None})
        kernel.add(home, ONE, 1, 2)
        with home.begin() as session:
            jobs.add(session, "mail", {}, subject="acc_1")
        home.clock.set(offset_seconds=100)

        scrape(*sources)
        found = {name: value(name, service="counting") for name in ("outbox_events", "log_position", "figures_up")}
        kernel.publish(home, ONE)
        scrape(*sources)

        assert (found["outbox_events"], found["log_position"]) == (2, 0)
        assert value("outbox_events", service="counting") == 0
        assert value("log_position", service="counting") == value("log_unpublished_events", service="counting") == 3
        assert value("jobs", service="counting", kind="mail", state="waiting") == 1
        assert value("jobs_overdue_seconds", service="counting", kind="mail") == pytest.approx(100, abs=5)

    def test_vanishes_while_the_database_is_away_and_is_back_with_it(self, home, amqp_uri, postgres: PostgresServer):
        sources = of(home, amqp_uri)
        up = {"service": "counting", "source": "database"}
        scrape(*sources)
        failures = value("scrape_errors_total", **up) or 0

        with kernel.away(postgres, home):
            scrape(*sources)
            away = (value("outbox_events", service="counting"), value("figures_up", **up))
        scrape(*sources)

        assert away == (None, 0)
        assert (value("outbox_events", service="counting"), value("figures_up", **up)) == (0, 1)
        assert value("scrape_errors_total", **up) == failures + 1

    def test_does_not_wait_for_one_that_does_not_answer(self, home, amqp_uri, monkeypatch):
        monkeypatch.setattr(database, "LOOK_SECONDS", 0.5)
        sources = of(home, amqp_uri)
        with home.begin() as session:
            session.execute(text("LOCK TABLE log_head IN ACCESS EXCLUSIVE MODE"))
            began = time.monotonic()
            scrape(*sources)

        assert time.monotonic() - began < 2
        assert value("outbox_events", service="counting") is None

    def test_shows_what_is_parked_by_who_can_help(self, listener: Listener, amqp_uri):
        with listener.home.begin() as session:
            session.execute(text(PARK))

        scrape(*of(listener.home, amqp_uri, service="listening", hears=[listener.hears])[:1])

        labels = {"service": "listening", "producer": "counting"}
        assert value("parked_events", **labels, **{"for": "operations"}) == 2
        assert value("parked_events", **labels, **{"for": "a_release"}) == 1
        assert value("discarded_events", **labels) == 0

    def test_counts_what_was_discarded_until_a_replay_has_applied_it(self, listener: Listener, amqp_uri):
        with listener.home.begin() as session:
            session.execute(text(DISCARD))

        scrape(*of(listener.home, amqp_uri, service="listening", hears=[listener.hears])[:1])

        assert value("discarded_events", service="listening", producer="counting") == 2


class TestOfTheWay:
    def test_shows_dead_letters_also_while_the_producer_is_away(self, listener: Listener, amqp_uri):
        graveyard = consumer.dead_letters("listening", "counting")
        with broker.channel(amqp_uri) as channel:
            channel.queue_declare(graveyard)
            channel.confirm_delivery()
            channel.basic_publish("", graveyard, b"no event")

            scrape(*of(listener.home, amqp_uri, service="listening", hears=[listener.hears])[1:])

        labels = {"service": "listening", "producer": "counting"}
        assert value("figures_up", service="listening", source="counting") == 0
        assert value("consumer_lag_events", **labels) is None
        assert value("dead_letters", **labels) == 1


DISCARD = """
    INSERT INTO discarded
        (producer, position, stream, version, event_id, name, reason, actor, discarded_at, replay_id)
    SELECT 'counting', n, 'counter-org_1', n, 'evt_' || n, 'n', 'r', 'ada', now(), CASE WHEN n = 3 THEN 1 END
    FROM generate_series(1, 3) AS n
"""
PARK = """
    INSERT INTO parked (producer, position, stream, version, name, envelope, reason, parked_at, unreadable)
    SELECT 'counting', n, 'counter-org_1', n, 'n', '', 'r', now(), n = 3 FROM generate_series(1, 3) AS n
"""
