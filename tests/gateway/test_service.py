"""The whole gateway process, with a real RabbitMQ."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pika
import pytest
import requests

from shared import ids
from tests.gateway import examples

REPOSITORY = Path(__file__).parents[2]


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
            "REVOKED": str(self.revoked),
            "READY": str(self.ready),
        }
        command = [sys.executable, "-m", "tests.gateway.with_broker"]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **environ})

    def post(self, token):
        headers = {"Authorization": f"Bearer {token}"}
        return requests.post(f"{self.url}/v1/noop", json={"bot_id": "bot_1"}, headers=headers, timeout=20)

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
    body = json.dumps({"specversion": "1.0", "id": ids.new("evt"), "type": name, "data": {}})
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
