"""What makes no sense is refused with what it is, and costs quota's database no commit."""

import json
from typing import Any

import pytest
import requests

from ops import client
from tests.stack.stacks import Org, Running

TRIES = 5  # the workers of the same server commit now and then


@pytest.fixture(scope="module")
def org(stack: Running) -> Org:
    return stack.sign_up()


def ask(org: Org, method: str, path: str, body: bytes | None) -> requests.Response:
    headers = {"Authorization": f"Bearer {org.program.token}", "Content-Type": "application/json"}
    url = f"{org.stack.url}{path}"
    return requests.request(method, url, data=body, headers=headers, timeout=client.TIMEOUT_SECONDS)


def transactions(stack: Running) -> int:
    """How many numbers the server has given to transactions: one to each that writes or locks, and to no other."""
    ((last,),) = stack.rows("quota", "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    return int(last)


def assert_refused_without_a_commit(
    org: Org, method: str, path: str, body: bytes | None, *, expected: tuple[int, str]
) -> None:
    """Several times, of which one at least has seen nobody else at work."""
    written = []
    for _ in range(TRIES):
        before = transactions(org.stack)
        answer = ask(org, method, path, body)
        written.append(transactions(org.stack) - before)
        assert (answer.status_code, answer.json()["code"]) == expected, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        if written[-1] == 0:
            return
    pytest.fail(f"transactions that wrote, at each try: {written}")


def message(**members: Any) -> bytes:
    return json.dumps(members).encode()


BOT = "bot_0123456789"
FIELDS, MALFORMED = (422, "invalid_fields"), (400, "malformed_json")
MESSAGES: dict[str, tuple[bytes, tuple[int, str]]] = {
    "without a bot": (message(id="msg_1"), FIELDS),
    "with an empty bot": (message(bot_id=""), FIELDS),
    "with null for a bot": (message(bot_id=None), FIELDS),
    "with a number for a bot": (message(bot_id=7), FIELDS),
    "with a list for an id": (message(bot_id=BOT, id=["msg_1"]), FIELDS),
    "with an id that is too long": (message(bot_id=BOT, id="m" * 65), FIELDS),
    "with an empty id": (message(bot_id=BOT, id=""), FIELDS),
    "with an id of other characters": (message(bot_id=BOT, id="msg 1"), FIELDS),
    "with an amount": (message(bot_id=BOT, amount=-1), FIELDS),
    "that is a list": (message(bot_id=BOT).join([b"[", b"]"]), FIELDS),
    "with NaN": (b'{"bot_id": NaN}', MALFORMED),
    "with an infinite number": (b'{"bot_id": "bot_1", "id": 1e400}', MALFORMED),
    "that is no JSON": (b"bot_1", MALFORMED),
}


class TestAMessage:
    @pytest.mark.parametrize("name", MESSAGES)
    def test_that_makes_no_sense_costs_no_commit(self, org: Org, name: str) -> None:
        body, expected = MESSAGES[name]

        assert_refused_without_a_commit(org, "POST", "/v1/messages", body, expected=expected)

    def test_that_was_never_counted_is_not_found_without_a_commit(self, org: Org) -> None:
        assert_refused_without_a_commit(org, "GET", "/v1/messages/msg_0", None, expected=(404, "unknown_message"))


PERIODS = {"2026-13": FIELDS, "2026-00": FIELDS, "NaN": FIELDS, "-1": FIELDS, "2020-01": (404, "unknown_period")}


class TestAMonth:
    @pytest.mark.parametrize("path", ["/v1/usage", "/v1/usage/daily", "/v1/usage/statement"])
    @pytest.mark.parametrize("period", PERIODS)
    def test_that_does_not_exist_costs_no_commit(self, org: Org, path: str, period: str) -> None:
        assert_refused_without_a_commit(org, "GET", f"{path}?period={period}", None, expected=PERIODS[period])


def test_what_is_good_costs_a_commit(org: Org) -> None:
    before = transactions(org.stack)

    assert ask(org, "POST", "/v1/messages", message(bot_id=org.bot_id, id="msg_good")).status_code == 201

    assert transactions(org.stack) > before
