"""Databases with the kernel's tables and those of `kernel.py`, emptied after each test and used again."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest
import structlog
from sqlalchemy import create_engine, text

from shared import clock, database, migrate, tables
from tests.infrastructure import NewDatabase
from tests.shared import kernel

NewHome = Callable[[], database.Database]
_Opened = AbstractContextManager[database.Database]

TABLES = [*tables.Kernel.metadata.tables, *kernel.Views.metadata.tables]
INSERT_ONLY = ("events", "log")


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """structlog's own are drawn with colours and the values of all variables, which takes half a second each."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])


@pytest.fixture(scope="session")
def emptied_databases() -> list[str]:
    """The URLs of those that nobody uses at the moment."""
    return []


@pytest.fixture(scope="session")
def home_of_its_own(emptied_databases: list[str], new_database: NewDatabase) -> Callable[[Path], _Opened]:
    """Call it with the directory of a test clock, for the context of an empty database."""

    @contextmanager
    def opened(directory: Path) -> Iterator[database.Database]:
        url = emptied_databases.pop() if emptied_databases else _migrated(new_database())
        home = database.Database(url, clock.Clock(directory / "clock.json"), pool_size=10)
        yield home
        _empty(home)
        home.close()
        emptied_databases.append(url)

    return opened


@pytest.fixture
def new_home(home_of_its_own: Callable[[Path], _Opened], tmp_path: Path) -> Iterator[NewHome]:
    """Call it for an empty database of a service of the test's own. All that a test opens share one test clock."""
    with ExitStack() as homes:
        yield lambda: homes.enter_context(home_of_its_own(tmp_path))


@pytest.fixture
def home(new_home: NewHome) -> database.Database:
    """The database of the one service that the test is about, or of the producer."""
    return new_home()


@pytest.fixture
def listener(new_home: NewHome) -> kernel.Listener:
    """A service of its own that hears the counters."""
    return kernel.Listener(new_home())


def _migrated(url: str) -> str:
    migrate.upgrade(url, None)
    engine = create_engine(url)
    kernel.Views.metadata.create_all(engine)
    engine.dispose()
    return url


def _empty(home: database.Database) -> None:
    """As if it were new. Only the tables' owner can do this, by taking off the triggers that protect history."""
    statements = [
        *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in INSERT_ONLY),
        *(f"DELETE FROM {table}" for table in TABLES if table != "log_head"),
        "UPDATE log_head SET epoch = gen_random_uuid(), position = 0, published = 0",
        "UPDATE log_head SET hash = decode(repeat('00', 32), 'hex')",
        *(f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in INSERT_ONLY),
    ]
    with home.begin() as session:
        session.execute(text("; ".join(statements)))
