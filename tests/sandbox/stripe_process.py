"""The Stripe sandbox as a process of its own, and a web server that takes its webhooks."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
import stripe

from shared import clock

REPOSITORY = Path(__file__).parents[2]
SECRET = "whsec_of_the_tests"
KEY = "sk_test_of_the_tests"
CATALOGUE = """
[[plans]]
id = "free"
name = "Free"
price_cents = 0
currency = "usd"

[[plans]]
id = "starter"
name = "Starter"
price_cents = 1900
currency = "usd"
lookup_key = "starter_monthly"

[[plans]]
id = "growth"
name = "Growth"
price_cents = 4900
currency = "usd"
lookup_key = "growth_monthly"
"""


@dataclass(frozen=True)
class Received:
    payload: bytes
    signature: str

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.payload))


class Receiver:
    """A web server that keeps every webhook; it answers `statuses` in turn, then 200."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def wait_for(self, enough: Callable[[list[Received]], bool], seconds: float = 10) -> list[Received]:
        """What has come, as soon as it is enough."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: enough(self.received), seconds)
            assert arrived, f"only {[each.event['type'] for each in self.received]} came"
            return list(self.received)

    def wait_for_type(self, kind: str) -> None:
        self.wait_for(lambda received: any(each.event["type"] == kind for each in received))

    def types(self) -> list[str]:
        return [each.event["type"] for each in self.received]

    def forget(self) -> None:
        with self._changed:
            self.received.clear()
            self.statuses.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, received: Received) -> int:
        with self._changed:
            self.received.append(received)
            self._changed.notify_all()
            return self.statuses.pop(0) if self.statuses else 200

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                payload = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(take(Received(payload, self.headers["Stripe-Signature"])))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Tests print nothing."""

        return Handler


@dataclass
class Sandbox:
    """:param directory: where its state, clock and catalogue are"""

    directory: Path
    webhook_url: str
    port: int = 0
    address: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        (self.directory / "catalogue.toml").write_text(CATALOGUE)
        command = [sys.executable, "-m", "sandbox.stripe", "--port", str(self.port)]
        command += ["--state", str(self.directory / "state.sqlite")]
        command += ["--clock-file", str(self.directory / "clock.json")]
        command += ["--catalogue", str(self.directory / "catalogue.toml")]
        command += ["--webhook-url", self.webhook_url, "--webhook-secret", SECRET]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().split()[-1]
        self.port = int(self.address.rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def client(self, *, retries: int = 0) -> stripe.StripeClient:
        return stripe.StripeClient(KEY, base_addresses={"api": self.address}, max_network_retries=retries)

    def set_clock(self, moment: str) -> None:
        """Let the test clock stand at a moment (`2026-04-01T00:00:00Z`)."""
        clock.Clock(self.directory / "clock.json").set(frozen_at=clock.parse(moment))

    def knob(self, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = requests.post(f"{self.address}/_sandbox/{path}", json=body or {}, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def deliveries(self) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.address}/_sandbox/deliveries", timeout=10)
        return list(answer.json()["deliveries"])

    def subscribe(self, price: str = "price_starter", card: str = "pm_card_visa") -> stripe.Subscription:
        """A new customer with this card, and an active subscription."""
        client = self.client()
        customer = client.v1.customers.create({"email": "ada@example.com"})
        self.use_card(customer.id, "pm_card_visa")
        subscription = client.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price}]})
        if card != "pm_card_visa":
            self.use_card(customer.id, card)
        return subscription

    def use_card(self, customer_id: str, token: str) -> None:
        """Attach a test card and charge the customer to it from now on."""
        client = self.client()
        card = client.v1.payment_methods.attach(token, {"customer": customer_id})
        client.v1.customers.update(customer_id, {"invoice_settings": {"default_payment_method": card.id}})


def unix(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp())


def eventually(true: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until it is true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.02)
