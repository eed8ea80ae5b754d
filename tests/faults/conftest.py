"""Databases as the tests of the kernel have them, and a fleet of processes over them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.fleet import Fleet
from tests.faults.history import Tap
from tests.shared.conftest import emptied_databases, home_of_its_own, new_home
from tests.stack.stacks import private

__all__ = ["emptied_databases", "home_of_its_own", "new_home", "private"]


@pytest.fixture
def broker_uri(new_vhost: Callable[[], str]) -> str:
    """A virtual host of the test's own."""
    return new_vhost()


@pytest.fixture
def fleet(new_home: Callable[[], object], broker_uri: str, tmp_path: Path) -> Iterator[Fleet]:
    """The counters' doors, their worker and the listener's; not started yet."""
    counting, listening = new_home(), new_home()
    counters = {"database_url": counting.url, "amqp_uri": broker_uri}
    urls = {"serve": counters, "counting": counters, "listening": {**counters, "database_url": listening.url}}
    fleet = Fleet(tmp_path, counting, listening, urls, broker_uri)
    for role in urls:
        fleet.add(role, role)
    yield fleet
    fleet.stop()


@pytest.fixture
def tap(broker_uri: str) -> Iterator[Tap]:
    """Counts what the broker delivers of the counters' events."""
    tap = Tap("counting.events", broker_uri).start()
    yield tap
    tap.stop()
