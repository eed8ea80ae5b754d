import http.client
import json
from collections.abc import Iterator

import pytest

from sandbox import ports
from shared import health

pytestmark = pytest.mark.pure

Answer = tuple[int, dict[str, bool]]


def fail() -> bool:
    raise OSError("away")


@pytest.fixture(scope="module")
def checks() -> dict[str, bool]:
    """What the probes below find; a test sets it."""
    return {}


@pytest.fixture(scope="module")
def port(checks: dict[str, bool]) -> Iterator[int]:
    port = ports.free()
    health.serve(port, {"database": lambda: checks["database"] or fail(), "broker": lambda: checks["broker"]})
    return port


def get(port: int, path: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


class TestServe:
    @pytest.mark.parametrize("database, broker, status", [(True, True, 200), (False, True, 503), (True, False, 503)])
    def test_is_ready_when_every_check_says_so_and_none_fails(self, port, checks, database, broker, status):
        checks.update(database=database, broker=broker)

        assert get(port, "/readyz") == (status, {"database": database, "broker": broker})

    def test_lives_whatever_the_checks_say(self, port, checks):
        checks.update(database=False, broker=False)

        assert get(port, "/livez") == (200, {"live": True})

    def test_knows_no_other_address(self, port):
        assert get(port, "/") == (404, {})

    def test_opens_nothing_with_port_0(self):
        health.serve(0, {"database": fail})  # would be a listener on a random port otherwise
