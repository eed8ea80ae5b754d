"""
Random faults to a whole stack under load, by seed, for the long run: servers, connections, processes.

One that failed is run again with `-k seed-2`.
"""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from tests.faults import memory, report, services
from tests.faults.load import Load
from tests.stack.stacks import Org, Private

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

SEEDS, ROUNDS = range(3), 60
RECOVERY_SECONDS = 40
GROWTH_MEGABYTES = 40


def the_broker_is_killed(private: Private, _chance: random.Random) -> None:
    private.rabbitmq.kill()
    private.rabbitmq.start()


def the_brokers_memory_is_full(private: Private, _chance: random.Random) -> None:
    private.rabbitmq.ctl("set_vm_memory_high_watermark", "0.0000001")
    private.rabbitmq.ctl("set_vm_memory_high_watermark", "absolute", "512MB")


def the_broker_closes_all_connections(private: Private, _chance: random.Random) -> None:
    private.rabbitmq.ctl("close_all_connections", "by the test")


def the_database_stops_at_once(private: Private, _chance: random.Random) -> None:
    private.postgres.kill()
    private.postgres.start()


def the_database_ends_all_sessions(private: Private, _chance: random.Random) -> None:
    with private.postgres.administer() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'chatness%'"
        )


def a_process_is_killed(private: Private, chance: random.Random) -> None:
    process = private.stack.processes[chance.choice(["gateway", "quota", "services", "worker"])]
    process.kill()
    process.restart()


def a_process_stands_still(private: Private, chance: random.Random) -> None:
    process = private.stack.processes[chance.choice(["quota", "services", "worker"])]
    process.pause()
    private.stack.run("clock", "show")  # about as long as a person blinks twice
    process.resume()


FAULTS: dict[Callable[[Private, random.Random], None], int] = {
    the_broker_is_killed: 1,
    the_brokers_memory_is_full: 1,
    the_broker_closes_all_connections: 1,
    the_database_stops_at_once: 2,
    the_database_ends_all_sessions: 2,
    a_process_is_killed: 4,
    a_process_stands_still: 2,
}


@pytest.fixture(scope="module")
def org(private: Private) -> Org:
    org = private.stack.sign_up()
    org.subscribe("scale", limit=100_000)
    return org


@pytest.mark.parametrize("seed", SEEDS, ids="seed-{}".format)
def test_whatever_happens_nothing_is_lost_and_nothing_done_twice(private: Private, org: Org, seed: int) -> None:
    chance, done = random.Random(seed), Counter[str]()
    before = memory.resident_megabytes(private.stack)
    with Load(org).going_on() as load:
        for number in range(ROUNDS):
            (fault,) = chance.choices([*FAULTS], weights=[*FAULTS.values()])
            done[fault.__name__.replace("_", " ")] += 1
            fault(private, chance)
            try:
                load.is_served(seconds=RECOVERY_SECONDS)
            except AssertionError as failure:
                raise AssertionError(f"seed {seed}, round {number}, {fault.__name__}: {failure}") from failure
        newcomer = private.stack.sign_up()
    after = memory.resident_megabytes(private.stack)

    report.add(
        "a stack under load and random faults",
        seed=seed,
        rounds=ROUNDS,
        answers=dict(load.statuses()),
        slowest_answer_seconds=round(load.slowest().seconds, 2),
        megabytes_before=before,
        megabytes_after=after,
        faults=dict(done),
    )
    load.assert_answers_are_sound(cut=True)
    load.assert_nothing_lost_and_nothing_done_twice()
    services.settle(private.stack)
    assert newcomer.usage()["limit"] == 200
    assert all(after[name] < before[name] + GROWTH_MEGABYTES for name in before), (before, after)
