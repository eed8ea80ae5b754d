"""Servers and processes taken away from a stack that is used: it converges by itself, and loses nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults import memory, report, services
from tests.faults.load import Load
from tests.faults.proxy import Proxy
from tests.shared import broker
from tests.stack.stacks import CHATNESS, Org, Private, Process, eventually

pytestmark = pytest.mark.timeout(240)

RECOVERY_SECONDS = 30
GROWTH_MEGABYTES = 30
CUTS = 12
QUEUES = ("quota.from.billing", "billing.from.accounts")


@pytest.fixture(scope="module")
def org(private: Private) -> Org:
    org = private.stack.sign_up()
    org.subscribe("scale", limit=100_000)
    return org


@contextmanager
def used(private: Private, org: Org, *, cut: bool = False) -> Iterator[Load]:
    """The stack under load through the block; afterwards nothing is lost, repeated, slow, or down."""
    with Load(org).going_on() as load:
        yield load
        load.is_served(seconds=RECOVERY_SECONDS)
        newcomer = private.stack.sign_up()  # from accounts to billing to quota, by events
    load.assert_answers_are_sound(cut=cut)
    load.assert_nothing_lost_and_nothing_done_twice()
    services.settle(private.stack)
    assert newcomer.usage()["limit"] == 200
    assert [process.name for process in private.stack.processes.values() if not process.lives] == []


@pytest.fixture
def proxy(private: Private) -> Iterator[Proxy]:
    """Between quota, its doors and its worker, and PostgreSQL."""
    proxy, url = Proxy(private.postgres.port), "QUOTA_DATABASE_URL"
    users = [private.stack.processes[name] for name in ("quota", "worker")]
    straight = users[0].environment[url]
    restart(users, **{url: proxy.url(straight)})
    yield proxy
    restart(users, **{url: straight})
    proxy.close()


def restart(processes: list[Process], **environment: str) -> None:
    for process in processes:
        process.stop()
        process.environment |= environment
        process.start()
    for process in processes:
        process.await_ready()


def refused(load: Load) -> None:
    """From soon on, as long as the broker is away, every command is refused, in time."""
    at = time.monotonic()
    eventually(lambda: load.statuses(since=at)[503] > 5, "commands are not refused")


class TestRabbitMQ:
    def test_killed_and_restarted_under_load(self, private: Private, org: Org) -> None:
        with used(private, org) as load:
            load.is_served()
            private.rabbitmq.kill()
            refused(load)
            private.rabbitmq.start()

    def test_that_takes_nothing_because_its_memory_is_full(self, private: Private, org: Org) -> None:
        with used(private, org) as load:
            private.rabbitmq.ctl("set_vm_memory_high_watermark", "0.0000001")
            try:
                refused(load)
            finally:
                private.rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "512MB")

    def test_whose_connections_are_all_closed(self, private: Private, org: Org) -> None:
        with used(private, org):
            private.rabbitmq.ctl("close_all_connections", "by the test")

    def test_whose_queues_are_emptied_and_deleted(self, private: Private, org: Org) -> None:
        with used(private, org):
            for disturb in ("queue_purge", "queue_delete"):
                with broker.channel(private.rabbitmq.uri) as channel:
                    for queue in QUEUES:
                        getattr(channel, disturb)(queue)
                org.stack.sign_up()

    def test_whose_definitions_are_reset(self, private: Private, org: Org) -> None:
        with used(private, org):
            for command in ("stop_app", "reset", "start_app"):
                private.rabbitmq.ctl(command)

    @pytest.mark.soak
    @pytest.mark.timeout(900)
    def test_away_for_five_minutes(self, private: Private, org: Org) -> None:
        with used(private, org) as load:
            private.rabbitmq.kill()
            refused(load)
            away_since, before = time.monotonic(), memory.resident_megabytes(private.stack)
            load.resolve_seconds = 400
            eventually(lambda: time.monotonic() - away_since > 300, seconds=310)
            after = memory.resident_megabytes(private.stack)
            private.rabbitmq.start()
            back = time.monotonic()
            load.is_served(seconds=RECOVERY_SECONDS)
            recovery_seconds = time.monotonic() - back
        report.add(
            "RabbitMQ away for five minutes",
            answers=dict(load.statuses()),
            slowest_answer_seconds=round(load.slowest().seconds, 2),
            recovery_seconds=round(recovery_seconds, 1),
            megabytes_before=before,
            megabytes_after=after,
        )
        assert all(after[name] < before[name] + GROWTH_MEGABYTES for name in before), (before, after)


class TestPostgreSQL:
    def test_stopped_at_once_under_load(self, private: Private, org: Org) -> None:
        with used(private, org) as load:
            for _ in range(3):
                private.postgres.kill()
                private.postgres.start()
                load.is_served(seconds=RECOVERY_SECONDS)

    @pytest.mark.parametrize("passes", [True, False], ids=["whose answer is lost", "that never arrives"])
    def test_reached_by_a_commit(self, private: Private, org: Org, proxy: Proxy, passes: bool) -> None:
        with used(private, org):
            proxy.cut_at(b"COMMIT", passes=passes, times=CUTS)
            eventually(lambda: proxy.cuts >= CUTS, f"only {proxy.cuts} commits were cut", seconds=60)


class TestAProcess:
    @pytest.mark.parametrize("name", ["gateway", "quota", "services", "worker"])
    def test_killed_under_load(self, private: Private, org: Org, name: str) -> None:
        with used(private, org, cut=name == "gateway"):
            private.stack.processes[name].kill()
            private.stack.processes[name].restart()

    def test_killed_between_counting_messages_and_answering(self, private: Private, org: Org) -> None:
        quota = private.stack.processes["quota"]
        quota.stop()
        with used(private, org):
            doomed = private.stack.add(
                "doomed", *CHATNESS, "serve", "quota", CHATNESS_FAIL_AT="admission.committed:9"
            )
            eventually(lambda: not doomed.lives, "nothing was counted nine times", seconds=60)
            del private.stack.processes["doomed"]
            quota.restart()
