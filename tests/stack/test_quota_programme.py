"""
Whatever happens, no message is admitted beyond what there is, none is lost, and each id keeps its decision.

A seed that failed is played again with `-k seed-7`; it is printed with the round and the first difference.
"""

import re
from collections.abc import Iterator

import pytest

from sandbox import ports
from sandbox.postgres import PostgresServer
from services.billing import catalogue
from tests.faults import report
from tests.stack import quota_happenings
from tests.stack.quota_programme import Programme
from tests.stack.stacks import CHATNESS, Private, Running

SMALL_SEEDS = [1]
SOAK_SEEDS, SOAK_ROUNDS = range(100, 112), 40
PLANS = {"free": 12, "starter": 30, "growth": 70, "scale": 150}
SMALL = [
    quota_happenings.operations_grant_a_credit,
    quota_happenings.a_gateway_is_killed,
    quota_happenings.the_plan_changes,
    quota_happenings.quota_dies_after_a_commit_and_before_its_answer,
    quota_happenings.the_month_turns,
    quota_happenings.the_database_stops_at_once,
]


@pytest.fixture
def shared_stack(stack: Running) -> Iterator[Running]:
    """Afterwards its clock shows the machine's time again."""
    yield stack
    stack.clock.set()


@pytest.mark.parametrize("seed", SMALL_SEEDS, ids="seed-{}".format)
def test_each_thing_that_happens_once(
    shared_stack: Running, second_url: str, postgres: PostgresServer, seed: int
) -> None:
    stack = shared_stack
    programme = Programme(
        stack=stack,
        postgres=postgres,
        org=stack.sign_up(),
        urls=[stack.url, second_url],
        quotas=["services", "quota 2"],
        gateways=["gateway", "gateway 2"],
        plans={"free": 200, "starter": 2000, "growth": 10_000},
        seed=seed,
    )

    programme.use_up(leaving=20)
    retold = programme.run(programme.chance.sample(SMALL, k=len(SMALL)))

    assert len(retold.admitted) > 180
    assert min(len(programme.told.refused), len(retold.refunded), len(retold.granted), programme.lost) > 0


@pytest.fixture(scope="module")
def small_plans(private: Private) -> Private:
    """With limits that are soon reached, two quota processes and two gateways."""
    stack = private.stack
    text = catalogue.DEFAULT.read_text()
    for plan, limit in PLANS.items():
        text = re.sub(rf'(id = "{plan}".*?messages = )\d+', rf"\g<1>{limit}", text, flags=re.DOTALL)
    plans = stack.directory / "plans.toml"
    plans.write_text(text)
    for name in ("services", "worker"):
        stack.processes[name].stop()
        stack.processes[name].environment["BILLING_CATALOGUE"] = str(plans)
        stack.processes[name].start()
    stack.add("quota 2", *CHATNESS, "serve", "quota")
    stack.add("gateway 2", *CHATNESS, "serve", "gateway", CHATNESS_PORT=str(ports.free()))
    stack.await_ready()
    return private


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", SOAK_SEEDS, ids="seed-{}".format)
def test_forty_rounds_of_whatever_happens(small_plans: Private, seed: int) -> None:
    stack = small_plans.stack
    stack.clock.set()
    programme = Programme(
        stack=stack,
        postgres=small_plans.postgres,
        org=stack.sign_up(),
        urls=[stack.url, f"http://127.0.0.1:{stack.processes['gateway 2'].environment['CHATNESS_PORT']}"],
        quotas=["quota", "quota 2"],
        gateways=["gateway", "gateway 2"],
        plans=PLANS,
        seed=seed,
    )

    retold = programme.run(quota_happenings.choose(programme, SOAK_ROUNDS))

    checked = stack.run("quota", "check", "--org", programme.org.id, "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    report.add(
        "quota under whatever happens",
        seed=seed,
        rounds=programme.round,
        admitted=len(retold.admitted),
        refused=len(programme.told.refused),
        refunded=len(retold.refunded),
        plans=len(programme.told.plans),
        lost_answers=programme.lost,
        happened=dict(programme.done),
    )
