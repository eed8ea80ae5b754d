"""
One service's database: an engine, transactions, and the moment that a transaction calls now.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy.orm import Session

from shared import clock, errors

# What the server or the way to it did, not what we asked: worth another try, and never counted against an event.
TRANSIENT = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)


@dataclass
class Database:
    """
    :param url: SQLAlchemy's, with psycopg2: it is green under eventlet, psycopg 3 is not
    :param pool_size: connections kept; as many again may be opened for a rush
    :param lock_timeout_seconds: how long a statement waits for somebody else's lock; less than the watchdog gives a
        handler, so that waiting is not taken for hanging
    """

    url: str
    clock: clock.Clock
    pool_size: int = 5
    statement_timeout_seconds: float = 5.0
    lock_timeout_seconds: float = 5.0
    engine: Engine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        statement, lock = (int(one * 1000) for one in (self.statement_timeout_seconds, self.lock_timeout_seconds))
        self.engine = create_engine(
            self.url,
            pool_size=self.pool_size,
            max_overflow=self.pool_size,
            pool_timeout=2,
            pool_pre_ping=True,
            pool_use_lifo=True,
            hide_parameters=True,  # or every error, and so the log, would quote personal data
            connect_args={
                "connect_timeout": 2,
                "application_name": "chatness",
                "options": f"-c timezone=UTC -c statement_timeout={statement} -c lock_timeout={lock}"
                " -c idle_in_transaction_session_timeout=30000",
            },
        )

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Session]:
        """
        A transaction, committed at the end of the block; `now(session)` is the same all through it.

        :param durable: False where a crash of PostgreSQL may lose it, because doing it again is harmless
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            if not durable:
                session.execute(text("SET LOCAL synchronous_commit TO off"))
            session.info["now"] = self.clock.now()
            session.info["clock"] = self.clock
            yield session

    def answers(self) -> bool:
        """Whether PostgreSQL is there now."""
        with self.engine.connect() as connection:
            return bool(connection.execute(text("SELECT true")).scalar_one())

    def close(self) -> None:
        self.engine.dispose()


def now(session: Session) -> datetime:
    """The transaction's moment: what its events are recorded at."""
    moment: datetime = session.info["now"]
    return moment


def set_now(session: Session, machine_time: datetime) -> datetime:
    """Use the database's own clock for this transaction, so that several processes agree."""
    moment: datetime = session.info["clock"].moved(machine_time)
    session.info["now"] = moment
    return moment


@contextmanager
def unavailable_when_away() -> Iterator[None]:
    """
    For doors.

    :raises Unavailable: where PostgreSQL is away or too slow
    """
    try:
        yield
    except TRANSIENT as error:
        raise errors.Unavailable("database_unavailable", "The database does not answer; try again.") from error
