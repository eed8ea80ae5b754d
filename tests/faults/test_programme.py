"""
Random programmes of faults, by seed. One that failed is run again with `-k seed-7`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.postgres import PostgresServer
from sandbox.rabbitmq import RabbitmqServer
from tests.faults import report
from tests.faults.fleet import Fleet
from tests.faults.history import Tap
from tests.faults.programme import Programme
from tests.faults.proxy import Proxy

SMALL_SEEDS, SMALL_ROUNDS = range(1), 30
SOAK_SEEDS, SOAK_ROUNDS = range(100, 120), 50

NewProgramme = Callable[[int], Programme]


@pytest.fixture
def new_programme(
    fleet: Fleet, tap: Tap, postgres: PostgresServer, rabbitmq: RabbitmqServer, tmp_path: Path
) -> Iterator[NewProgramme]:
    """A fleet whose processes reach the servers through proxies only."""
    database_proxy, broker_proxy = Proxy(postgres.port), Proxy(rabbitmq.port)
    for role, urls in fleet.urls.items():
        fleet.urls[role] = {
            "database_url": database_proxy.url(urls["database_url"]),
            "amqp_uri": broker_proxy.url(urls["amqp_uri"]),
        }
        fleet.add(role, role)

    yield lambda seed: Programme(fleet, tap, postgres, rabbitmq, database_proxy, broker_proxy, seed)

    fleet.stop()
    database_proxy.close()
    broker_proxy.close()


@pytest.mark.parametrize("seed", SMALL_SEEDS, ids="seed-{}".format)
def test_whatever_happens_each_event_goes_all_the_way_once(new_programme: NewProgramme, seed: int) -> None:
    new_programme(seed).run(SMALL_ROUNDS)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", SOAK_SEEDS, ids="seed-{}".format)
def test_a_thousand_rounds(new_programme: NewProgramme, seed: int) -> None:
    programme = new_programme(seed)

    programme.run(SOAK_ROUNDS)

    report.add(
        "random faults",
        seed=seed,
        rounds=programme.round,
        commands=len(programme.fleet.acknowledged),
        slowest_answer_seconds=round(programme.fleet.slowest_seconds, 2),
        faults=dict(programme.faults),
    )
