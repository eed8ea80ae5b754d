"""
Real PostgreSQL and RabbitMQ for the tests: one of each per session, databases for whoever asks, a virtual host
for each module.

CHATNESS_TEST_BACKEND=local|docker chooses where they come from; by default it is as for `make run`.
"""

import functools
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import binaries, clean, infrastructure
from sandbox.postgres import PostgresServer
from sandbox.rabbitmq import RabbitmqServer
from shared import clock, context, database, migrate
from tests.emptied import Databases

VHOSTS_AT_ONCE = 8

NewDatabase = Callable[..., str]


def fresh_database(server: PostgresServer, name: str, *, template: str | None = None) -> str:
    """The URL of a new database, empty or a copy of the template, in place of a former one of that name."""
    server.drop_database(name)
    return server.create_database(name, template=template)


@pytest.fixture(autouse=True)
def nobody_asks() -> None:
    """A test that plays a request leaves its actor and its deadline in the thread; the next one begins without."""
    context.enter(context.Context())


@pytest.fixture(scope="session")
def backend() -> binaries.Backend:
    """Where the servers come from. If from nowhere, the session ends with what to install."""
    try:
        return binaries.ensure(os.environ.get("CHATNESS_TEST_BACKEND"))
    except binaries.Missing as missing:
        pytest.exit(str(missing), returncode=78)


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Outside the repository, and gone after the session."""
    directory = Path(tempfile.mkdtemp(prefix="chatness-tests-"))
    directory.chmod(0o755)  # root's PostgreSQL runs as another user; what it keeps there is private
    yield directory
    clean.remove(directory)


@pytest.fixture(scope="session")
def postgres(backend: binaries.Backend, server_directory: Path) -> Iterator[PostgresServer]:
    server = infrastructure.start_postgres(backend, server_directory / "postgres")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq(backend: binaries.Backend, server_directory: Path) -> Iterator[RabbitmqServer]:
    server = infrastructure.start_rabbitmq(backend, server_directory / "rabbitmq")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def new_database(postgres: PostgresServer) -> NewDatabase:
    """Call it, with a template if need be, for the URL of a database that nobody has used."""
    numbers = itertools.count(1)

    def create(*, template: str | None = None) -> str:
        return fresh_database(postgres, f"test_{next(numbers)}", template=template)

    return create


@pytest.fixture(scope="session")
def service_template(postgres: PostgresServer) -> Callable[[str], str]:
    """The name of a database that was migrated for the service, once per session, to copy from."""

    @functools.cache
    def migrated(service: str) -> str:
        name = f"template_{service}"
        migrate.upgrade(fresh_database(postgres, name), service)
        return name

    return migrated


@pytest.fixture(scope="session")
def emptied(postgres: PostgresServer, new_database: NewDatabase, service_template: Callable[[str], str]) -> Databases:
    """Databases of the services, used by one test after the other."""
    return Databases(postgres, lambda service: new_database(template=service_template(service)))


@pytest.fixture
def open_database(emptied: Databases, tmp_path: Path) -> Iterator[Callable[[str], database.Database]]:
    """Call it for a service's own database, migrated and empty, with a test clock of the test's own."""
    opened: list[tuple[str, database.Database]] = []

    def create(service: str) -> database.Database:
        home = database.Database(emptied.take(service), clock.Clock(tmp_path / "clock.json"))
        opened.append((service, home))
        return home

    yield create
    for service, home in opened:
        home.close()
        emptied.give_back(service, home.url)


@pytest.fixture
def database_url(new_database: NewDatabase) -> str:
    """An empty database of the test's own."""
    return new_database()


@pytest.fixture(scope="module")
def module_database_url(new_database: NewDatabase) -> str:
    """An empty database of the module's own."""
    return new_database()


@pytest.fixture(scope="session")
def new_vhost(rabbitmq: RabbitmqServer) -> Callable[[], str]:
    """Call it for the URI of a virtual host that nobody has used. Made in stock: one costs as much as many."""
    numbers = itertools.count(1)
    stock: list[str] = []

    def take() -> str:
        if not stock:
            stock.extend(f"test_{next(numbers)}" for _ in range(VHOSTS_AT_ONCE))
            rabbitmq.add_vhosts(*stock)
        return rabbitmq.uri_of(stock.pop(0))

    return take


@pytest.fixture(scope="module")
def amqp_uri(new_vhost: Callable[[], str]) -> str:
    """A virtual host of the module's own."""
    return new_vhost()
