"""Signing in on a whole stack: many at once, and too often."""

import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.stack.stacks import PASSWORD, Org, Running, eventually

CROWD = 200
LIVE_SECONDS = 0.1


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


def sign_in(stack: Running, email: str, password: str = PASSWORD) -> requests.Response:
    return stack.api.ask("POST", "/v1/sessions", {"email": email, "password": password})


def seconds_until_live(stack: Running, name: str) -> float:
    began = time.monotonic()
    requests.get(f"http://127.0.0.1:{stack.processes[name].health_port}/livez", timeout=5).raise_for_status()
    return time.monotonic() - began


class TestTwoHundredAtOnce:
    """On a machine that is busy enough all of them are told to come again; who does is answered."""

    def test_are_answered_or_told_to_come_again_and_everybody_else_is_served(self, stack: Running, org: Org) -> None:
        lived: dict[str, list[float]] = {"gateway": [], "services": []}
        elsewhere = []
        with ThreadPoolExecutor(CROWD) as crowd:
            asked = [crowd.submit(sign_in, stack, f"crowd-{number}@example.com") for number in range(CROWD)]
            while not all(one.done() for one in asked):
                for name, times in lived.items():
                    times.append(seconds_until_live(stack, name))
                elsewhere.append(org.owner.ask("GET", "/v1/bots").status_code)
            answers = [one.result() for one in asked]

        refused = [answer for answer in answers if answer.status_code == 503]
        assert {503} <= set(Counter(answer.status_code for answer in answers)) <= {401, 503}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        assert set(elsewhere) == {200}
        assert all(statistics.median(times) < LIVE_SECONDS for times in lived.values()), lived
        assert org.owner.ask("GET", "/v1/account").status_code == 200
        assert eventually(lambda: sign_in(stack, org.email).status_code == 201, "nobody is let in any more")
        again = eventually(lambda: [one for one in [sign_in(stack, "crowd-0@example.com")] if one.status_code != 503])
        assert again[0].status_code == 401


class TestTooManyFailures:
    def test_are_told_so_with_the_time_and_the_same_for_an_unknown_address(
        self, stack: Running, second_url: str
    ) -> None:
        """Through both gateways, so that it is no process that counts."""
        org = stack.sign_up()
        urls = [stack.url, second_url]
        said = []
        for email in (org.email, f"nobody-{time.time_ns()}@example.com"):
            body = {"email": email, "password": PASSWORD + "!"}
            answers = [
                requests.post(f"{urls[number % 2]}/v1/sessions", json=body, timeout=10) for number in range(40)
            ]
            counted = [answer for answer in answers if answer.status_code != 503][:11]
            assert [answer.status_code for answer in counted] == [401] * 10 + [429]
            last = counted[-1]
            assert 0 < int(last.headers["Retry-After"]) <= 300
            assert last.headers["RateLimit"] == f'"tries";r=0;t={last.headers["Retry-After"]}'
            document = {name: value for name, value in last.json().items() if name not in VARIES}
            said.append((document, counted[0].json()["detail"]))

        assert said[0] == said[1]
        assert said[0][0]["code"] == "rate_limited"
        assert org.owner.ask("GET", "/v1/account").status_code == 200


VARIES = {"instance", "retry_after_seconds"}
