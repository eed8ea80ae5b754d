"""
What a new customer does first, over HTTP, with any installation that has the sandbox's Stripe and mail servers:
sign up, confirm, make a bot and a secret, send a message, pay for more.

`python -m tests.deployment.first_steps URL COMMAND…`, where the command prints the mails, as `chatness mail --json`.
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import requests

from ops import client

PATIENCE_SECONDS = 30
PASSWORD = "correct horse battery staple"
CARD = "4242424242424242"

Found = TypeVar("Found")


def take(url: str, mails: Sequence[str]) -> None:
    """
    :param mails: the command that prints the mails
    :raises AssertionError: at the first step that does not work
    """
    email = f"first-{secrets.token_hex(4)}@example.com"
    api = client.Api(url)
    person = {"name": "Ada", "email": email, "password": PASSWORD, "org_name": "Engines"}
    ask(api, 202, "POST", "/v1/accounts", person)
    token = eventually(lambda: client.token_in(read(mails), to=email), "no mail came")
    ask(api, 200, "POST", "/v1/email-confirmations", {"token": token})
    session = ask(api, 201, "POST", "/v1/sessions", {"email": email, "password": PASSWORD})
    owner = api.with_token(session["token"])

    eventually(lambda: usage(owner).get("limit") == 200, "the org has no messages")
    bot = ask(owner, 201, "POST", "/v1/bots", {"name": "Charles"})
    secret = ask(owner, 201, "POST", "/v1/secrets", {"name": "runtime", "scopes": ["messages:write"]})
    ask(api.with_token(secret["secret"]), 201, "POST", "/v1/messages", {"bot_id": bot["id"], "id": "msg_first"})
    assert usage(owner)["used"] == 1

    pay(ask(owner, 202, "PUT", "/v1/subscription", {"plan": "starter"})["checkout_url"])
    eventually(lambda: (usage(owner)["limit"], usage(owner)["used"]) == (2000, 0), "what was paid for has not come")


def ask(api: client.Api, expected: int, method: str, path: str, body: Any = None) -> dict[str, Any]:
    answer = api.ask(method, path, body)
    assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
    return dict(answer.json())


def usage(owner: client.Api) -> dict[str, Any]:
    answer = owner.ask("GET", "/v1/usage")
    return dict(answer.json()) if answer.ok else {}


def pay(checkout_url: str) -> None:
    """Fill in the Checkout page as a person would."""
    answer = requests.post(checkout_url, data={"number": CARD}, allow_redirects=False, timeout=client.TIMEOUT_SECONDS)
    assert answer.status_code in (302, 303), answer.text


def read(mails: Sequence[str]) -> list[dict[str, Any]]:
    printed = subprocess.run(mails, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def eventually(find: Callable[[], Found], what: str) -> Found:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := find()):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
    return found


if __name__ == "__main__":
    take(sys.argv[1], sys.argv[2:])
