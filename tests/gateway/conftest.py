"""Requests without a network, and a port for those with one."""

import socket

import flask
import pytest
from flask.testing import FlaskClient

from tests.gateway import examples


@pytest.fixture(scope="session")
def site() -> flask.Flask:
    return examples.make_app(examples.settings())


@pytest.fixture
def client(site: flask.Flask) -> FlaskClient:
    return site.test_client()


@pytest.fixture
def secret() -> dict[str, str]:
    """The header of a secret that may write messages."""
    return {"Authorization": f"Bearer {examples.SECRET}"}


@pytest.fixture
def reader() -> dict[str, str]:
    """The header of a secret that may only read bots."""
    return {"Authorization": f"Bearer {examples.READER}"}


@pytest.fixture
def owner() -> dict[str, str]:
    return {"Authorization": f"Bearer {examples.OWNER}"}


@pytest.fixture
def member() -> dict[str, str]:
    return {"Authorization": f"Bearer {examples.MEMBER}"}


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
