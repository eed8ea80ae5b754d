"""One Stripe sandbox for all tests of a run, empty again before each."""

from collections.abc import Iterator

import pytest
import stripe

from tests.sandbox import stripe_process


@pytest.fixture(scope="session")
def stripe_receiver() -> Iterator[stripe_process.Receiver]:
    receiver = stripe_process.Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def stripe_server(
    tmp_path_factory: pytest.TempPathFactory, stripe_receiver: stripe_process.Receiver
) -> Iterator[stripe_process.Sandbox]:
    server = stripe_process.Sandbox(tmp_path_factory.mktemp("stripe"), stripe_receiver.url)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def sandbox(
    stripe_server: stripe_process.Sandbox, stripe_receiver: stripe_process.Receiver
) -> stripe_process.Sandbox:
    """A Stripe sandbox that knows the catalogue only; its clock stands at 1 April 2026."""
    stripe_server.knob("deliveries", {"stopped": True})
    stripe_server.set_clock("2026-04-01T00:00:00Z")
    stripe_server.knob("reset")
    stripe_server.knob("deliveries", {"stopped": True})
    stripe_receiver.forget()
    return stripe_server


@pytest.fixture
def client(sandbox: stripe_process.Sandbox) -> stripe.StripeClient:
    return sandbox.client()


@pytest.fixture
def receiver(stripe_receiver: stripe_process.Receiver) -> stripe_process.Receiver:
    return stripe_receiver
