"""The whole gateway process, with a real RabbitMQ."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pika
import pytest
import requests

from shared import ids
from tests.gateway import examples

REPOSITORY = Path(__file__).parents[2]


WAITING = 5
CROWD = 100


class Gateway:
    def __init__(self, amqp_uri, port, directory):
        self.url = f"http://127.0.0.1:{port}"
        self.revoked = directory / "revoked"
        self.ready = directory / "ready"
        environ = {
            "AMQP_URI": amqp_uri,
            "PUBLIC_URL": self.url,
            "CURSOR_KEY": "a key for tests that is no secret",
            "CHATNESS_PORT": str(port),
            "CHATNESS_NOOP_ROUTE": "1",
            "CHATNESS_WAITING_MESSAGES": str(WAITING),
            "REVOKED": str(self.revoked),
            "READY": str(self.ready),
        }
        command = [sys.executable, "-m", "tests.gateway.with_broker"]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **environ})

    def post(self, token, path="/v1/noop"):
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(f"{self.url}{path}", json={"bot_id": "bot_1"}, headers=headers, timeout=20)

    def memory_bytes(self):
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def status(self, token):
        return self.post(token).status_code

    def is_ready(self):
        assert self.process.poll() is None
        return self.ready.exists()


def until(condition, *, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def gateway(amqp_uri, free_port, tmp_path):
    gateway = Gateway(amqp_uri, free_port, tmp_path)
    try:
        until(gateway.is_ready)
        yield gateway
    finally:
        gateway.process.terminate()
        assert gateway.process.wait(timeout=20) == 0


def announce(amqp_uri, name):
    """Publish an event as the relay of secrets does."""
    connection = pika.BlockingConnection(pika.URLParameters(amqp_uri))
    properties = pika.BasicProperties(content_type="application/cloudevents+json")
    body = json.dumps({"specversion": "1.0", "id": ids.new("evt"), "type": name, "data": {"secret_id": "sec_1"}})
    connection.channel().basic_publish("secrets.events", name, body.encode(), properties)
    connection.close()


class TestSecret:
    @pytest.mark.parametrize("event", ["secrets.SecretRevoked", "secrets.SecretRotated"])
    def test_is_refused_as_soon_as_the_event_is_out_and_remembered_before(self, gateway, amqp_uri, event):
        assert gateway.status(examples.SECRET) == 201
        gateway.revoked.touch()
        assert gateway.status(examples.SECRET) == 201

        announce(amqp_uri, event)

        until(lambda: gateway.status(examples.SECRET) == 401, seconds=5)


class TestService:
    def test_that_is_away_is_a_503_within_two_seconds_or_so(self, gateway):
        began_at = time.monotonic()

        answer = gateway.post("a-session-that-only-accounts-could-know")

        assert time.monotonic() - began_at < 3
        assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
        assert answer.headers["Retry-After"] == "1"

    def test_that_is_away_is_a_503_for_however_many_ask_with_made_up_tokens(self, gateway):
        before = gateway.memory_bytes()

        answers = at_once(lambda number: gateway.post(f"made-up-{number}"))

        assert {(answer.status_code, answer.headers["Retry-After"]) for answer in answers} == {(503, "1")}
        assert max(answer.elapsed.total_seconds() for answer in answers) < 5
        assert gateway.memory_bytes() < before + 50_000_000

    def test_that_hangs_lets_no_more_messages_wait_than_there_is_room_for(self, gateway):
        """The others are told at once, each with the id to ask again with."""
        assert gateway.status(examples.SECRET) == 201  # the token is known from now on

        answers = at_once(lambda _number: gateway.post(examples.SECRET, "/v1/messages"))

        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "service_unavailable")}
        assert all(answer.headers["Retry-After"] == "1" for answer in answers)
        assert len({answer.json()["id"] for answer in answers}) == CROWD
        waited = [answer for answer in answers if answer.elapsed.total_seconds() > 1.5]
        # Who waits is never told sooner; on a slow machine others may seem to wait. `test_coalescer` counts exactly.
        assert WAITING < len(waited) < CROWD / 2
        assert max(answer.elapsed.total_seconds() for answer in answers) < 5
        gateway.revoked.touch()


def at_once(ask):
    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(ask, range(CROWD)))
