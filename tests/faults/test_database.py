"""PostgreSQL stopped at once, and connections cut while they commit: what was acknowledged stays, once."""

from collections.abc import Iterator

import pytest

from tests.faults import services
from tests.faults.load import Load
from tests.faults.proxy import Proxy
from tests.stack.stacks import CHATNESS, Org, Private, eventually

pytestmark = pytest.mark.timeout(240)

RECOVERY_SECONDS = 30
CUTS = 12


@pytest.fixture(scope="module")
def org(private: Private) -> Org:
    org = private.stack.sign_up()
    org.subscribe("scale", limit=100_000)
    return org


@pytest.fixture
def proxy(private: Private) -> Iterator[Proxy]:
    """Between quota, its doors and its worker, and PostgreSQL."""
    stack, proxy = private.stack, Proxy(private.postgres.port)
    through = {"QUOTA_DATABASE_URL": proxy.url(stack.environment["QUOTA_DATABASE_URL"])}
    for name, command in (("quota", ("serve", "quota")), ("worker", ("worker", "accounts", "billing", "quota"))):
        stack.processes[name].stop()
        stack.add(name, *CHATNESS, *command, **through).await_ready()
    yield proxy
    proxy.close()


def assert_whole(private: Private, load: Load) -> None:
    load.assert_answers_are_sound()
    load.assert_nothing_lost_and_nothing_done_twice()
    services.settle(private.stack)


class TestPostgreSQL:
    def test_stopped_at_once_under_load(self, private: Private, org: Org) -> None:
        with Load(org).going_on() as load:
            for _ in range(3):
                load.is_served(seconds=RECOVERY_SECONDS)
                private.postgres.kill()
                private.postgres.start()
            load.is_served(seconds=RECOVERY_SECONDS)

        assert_whole(private, load)

    @pytest.mark.parametrize("passes", [True, False], ids=["whose answer is lost", "that never arrives"])
    def test_reached_by_a_commit(self, private: Private, org: Org, proxy: Proxy, passes: bool) -> None:
        with Load(org).going_on() as load:
            proxy.cut_at(b"COMMIT", passes=passes, times=CUTS)
            eventually(lambda: proxy.cuts >= CUTS, f"only {proxy.cuts} commits were cut", seconds=60)

        assert_whole(private, load)
