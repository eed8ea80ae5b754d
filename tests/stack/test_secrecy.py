"""What must be known to its owner alone stands nowhere else: no log, no event, no queue, no table."""

import base64
import hashlib
import json
from collections.abc import Iterator

import pika
import pytest

from ops import client, processes
from tests import databases
from tests.stack.stacks import PASSWORD, Org, Running, eventually

NEW_PASSWORD = "nine white egrets sleep"
EXCHANGES = [f"{name}.events" for name in processes.SERVICES]


class Ear:
    """Hears every event that is published from now on."""

    def __init__(self, amqp_uri: str) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(amqp_uri))
        self.channel = self.connection.channel()
        self.queue = str(self.channel.queue_declare("", exclusive=True).method.queue)
        for exchange in EXCHANGES:
            self.channel.exchange_declare(exchange, "topic", durable=True)
            self.channel.queue_bind(self.queue, exchange, "#")

    def heard(self) -> Iterator[bytes]:
        while True:
            method, _properties, body = self.channel.basic_get(self.queue, auto_ack=True)
            if method is None:
                return
            yield body


@pytest.fixture
def ear(stack: Running) -> Iterator[Ear]:
    ear = Ear(stack.environment["AMQP_URI"])
    yield ear
    ear.connection.close()


def spellings(secret: str) -> list[bytes]:
    """As it is, and as it may be written without being hidden."""
    raw = secret.encode()
    return [raw, base64.b64encode(raw), raw.hex().encode()]


def use_everything(org: Org) -> dict[str, str]:
    """The ways on which secrets travel, with right and wrong ones. Gives the values that were made on the way."""
    owner = org.owner
    org.send("msg_1")
    owner.ask("PATCH", "/v1/account", {"name": "Ada King"})
    owner.ask("POST", "/v1/sessions", {"email": org.email, "password": PASSWORD + "!"})
    owner.with_token(org.program.token[:-1] + "_").ask("GET", "/v1/usage")
    owner.with_token(owner.token + "x").ask("GET", "/v1/account")
    owner.ask("POST", "/v1/email-confirmations", {"token": owner.token})
    owner.ask("GET", f"/v1/usage?token={org.program.token}")
    owner.ask("POST", "/v1/messages", {"bot_id": org.program.token, "password": PASSWORD})
    org.subscribe("starter", limit=2000)
    made = {
        "rotated": str(owner.ask("POST", f"/v1/secrets/{org.secret_id}/rotation", {}).json()["secret"]),
        "leaked": str(owner.ask("POST", "/v1/secrets", {"name": "to be found"}).json()["secret"]),
    }
    owner.with_token(made["rotated"]).ask("GET", "/v1/usage")
    found_at = f"https://paste.example/?{made['leaked']}#{made['rotated']}"
    org.stack.api.ask("POST", "/v1/secret-leaks", [{"token": made["leaked"], "url": found_at}, {"token": "x"}])
    org.stack.api.ask("POST", "/v1/secret-leaks", {"token": made["leaked"]})
    for secret in made.values():
        owner.ask("GET", f"/v1/bots/{secret}")
        owner.ask("DELETE", f"/v1/secrets/{secret}")
        owner.ask("POST", f"/v1/secrets/{secret}/rotation", {"overlap_seconds": 0})
    owner.ask("DELETE", f"/v1/secrets/{org.secret_id}")
    org.program.ask("GET", "/v1/usage")
    owner.ask("DELETE", "/v1/sessions/current")
    return made


def reset_password(org: Org, *, known: str) -> str:
    """Gives the token that was mailed for it."""
    api, folder = org.stack.api, org.stack.mail_folder
    api.ask("POST", "/v1/password-resets", {"email": org.email})
    eventually(lambda: client.mailed_token(folder, to=org.email) != known, "no link came")
    token = str(client.mailed_token(folder, to=org.email))
    assert api.ask("PUT", "/v1/password-resets", {"token": token, "password": NEW_PASSWORD}).status_code == 204
    return token


class TestASecretOfAPerson:
    def test_stands_nowhere_but_with_its_owner(self, stack: Running, ear: Ear) -> None:
        org = stack.sign_up()
        mailed = client.mailed_token(stack.mail_folder, to=org.email)
        assert mailed is not None
        made = use_everything(org)
        reset = reset_password(org, known=mailed)
        eventually(lambda: stack.events("secrets", "secrets.SecretRevoked", org.id), "not revoked")
        eventually(lambda: all(_has_done_its_jobs(stack, name) for name in processes.SERVICES), "there are jobs left")

        secrets = {"password": PASSWORD, "mailed": mailed, "secret": org.program.token, "session": org.owner.token}
        secrets |= {"new password": NEW_PASSWORD, "reset": reset, **made}
        logs = {path.name: path.read_bytes() for path in (stack.directory / "logs").iterdir()}
        tables = {name: databases.everything_in(stack.database(name)).encode() for name in processes.SERVICES}
        places = {**logs, **tables, "events": b"\n".join(ear.heard())}

        found = [
            (what, place)
            for what, secret in secrets.items()
            for spelling in spellings(secret)
            for place, content in places.items()
            if spelling in content
        ]
        assert found == []

    def test_would_be_found_by_this_test(self, stack: Running, ear: Ear) -> None:
        """The places are the right ones: what may stand there does."""
        org = stack.sign_up()

        eventually(lambda: org.secret_id.encode() in b"".join(ear.heard()), "the ear is deaf")
        fingerprint = hashlib.sha256(org.program.token.encode()).hexdigest()
        assert fingerprint not in databases.everything_in(stack.database("secrets"))
        assert org.secret_id in databases.everything_in(stack.database("secrets"))
        logged = (stack.directory / "logs" / "worker.log").read_text()
        assert json.loads(logged.splitlines()[0])["settings"]["SMTP_URL"] == "***"


def _has_done_its_jobs(stack: Running, service: str) -> bool:
    return not stack.rows(service, "SELECT 1 FROM jobs WHERE state IN ('waiting', 'running') AND due_at < now()")
