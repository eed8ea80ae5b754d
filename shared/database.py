"""
One service's database: an engine, transactions, and the moment that a transaction calls now.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, ExceptionContext, create_engine, event, exc, make_url, text
from sqlalchemy.orm import Session

from shared import clock, dialect, errors

# What the server or the way to it did, not what we asked: worth another try, and never counted against an event.
# Which of the server's errors those are is settled below, in `kind_of`.
TRANSIENT = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError)

# SQLSTATE: connection, rollback in favour of another, resources (a full disk too), an operator, the system.
_TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
_TRANSIENT_STATES = ("25006", "25P03", "25P04", "55006", "55P03")  # read only, idle or open too long, in use, locked


# The server's limits are no help where nothing reaches it any more: by itself the kernel waits a quarter of an hour.
LOST_NETWORK = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,  # milliseconds
}


LOOK_SECONDS = 2.0


class Beaten(exc.OperationalError):
    """PostgreSQL undid the transaction in favour of another, as in a deadlock: it may be done again at once."""


@dataclass
class Database:
    """
    :param url: SQLAlchemy's, with psycopg2: it is green under eventlet, psycopg 3 is not
    :param pool_size: connections kept; as many again may be opened for a rush
    :param lock_timeout_seconds: how long a statement waits for somebody else's lock
    :param idle_timeout_seconds: how long a transaction may stand still between two statements, holding its locks
    """

    url: str
    clock: clock.Clock
    pool_size: int = 5
    statement_timeout_seconds: float = 5.0
    lock_timeout_seconds: float = 5.0
    idle_timeout_seconds: float = 5.0
    engine: Engine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        limits = {
            "statement_timeout": self.statement_timeout_seconds,
            "lock_timeout": self.lock_timeout_seconds,
            "idle_in_transaction_session_timeout": self.idle_timeout_seconds,
        }
        milliseconds = "".join(f" -c {name}={int(seconds * 1000)}" for name, seconds in limits.items())
        self.engine = create_engine(
            make_url(self.url).set(drivername=f"postgresql+{dialect.NAME}"),
            pool_size=self.pool_size,
            max_overflow=self.pool_size,
            pool_timeout=2,
            pool_pre_ping=True,
            pool_use_lifo=True,
            hide_parameters=True,  # or every error, and so the log, would quote personal data
            connect_args={
                "connect_timeout": 2,
                "application_name": "chatness",
                "options": f"-c timezone=UTC -c plan_cache_mode=force_generic_plan{milliseconds}",
                **LOST_NETWORK,
            },
        )
        event.listen(self.engine, "handle_error", _classify, retval=True)

    @contextmanager
    def begin(
        self, *, durable: bool = True, deadline: float | None = None, patience_seconds: float | None = None
    ) -> Iterator[Session]:
        """
        A transaction, committed at the end of the block; `now(session)` is the same all through it.

        :param durable: False where a crash of PostgreSQL may lose it, because doing it again is harmless
        :param deadline: when nobody waits any more, in seconds since the epoch: no statement works or waits longer
        :param patience_seconds: how long a statement waits for somebody else's lock, where that is less
        """
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            connection = session.connection().connection  # which may take its time
            if not durable:
                dialect.begin_with(connection, "SET LOCAL synchronous_commit TO off")
            if deadline is not None:
                self._limit(connection, deadline)
            if patience_seconds is not None:
                dialect.begin_with(connection, f"SET LOCAL lock_timeout TO {int(patience_seconds * 1000)}")
            session.info["now"] = self.clock.now()
            session.info["clock"] = self.clock
            yield session

    def looking(self) -> "Database":
        """The same for one who only looks how it stands: on a connection of its own, and with little patience."""
        return replace(self, pool_size=1, statement_timeout_seconds=LOOK_SECONDS, lock_timeout_seconds=LOOK_SECONDS)

    def answers(self) -> bool:
        """Whether PostgreSQL is there now, and takes what is written."""
        with self.engine.connect() as connection:
            return bool(
                connection.execute(text("SELECT current_setting('transaction_read_only') = 'off'")).scalar_one()
            )

    def close(self) -> None:
        self.engine.dispose()

    def _limit(self, connection: Any, deadline: float) -> None:
        seconds = min(deadline - time.time(), self.statement_timeout_seconds)
        if seconds <= 0:
            raise errors.Unavailable("deadline_passed", "The time for this request is used up.")
        milliseconds = max(1, int(seconds * 1000))
        for limit in ("statement_timeout", "lock_timeout"):
            dialect.begin_with(connection, f"SET LOCAL {limit} TO {milliseconds}")


def now(session: Session) -> datetime:
    """The transaction's moment: what its events are recorded at."""
    moment: datetime = session.info["now"]
    return moment


def set_now(session: Session, machine_time: datetime) -> datetime:
    """Use the database's own clock for this transaction, so that several processes agree."""
    moment: datetime = session.info["clock"].moved(machine_time)
    session.info["now"] = moment
    return moment


def read_clock(session: Session) -> datetime:
    """The same, asked for now."""
    return set_now(session, session.scalars(text("SELECT clock_timestamp()")).one())


def commit_with_next(session: Session) -> None:
    """Save a journey: the next statement is the last of this transaction, and takes COMMIT along."""
    dialect.end_with_next(session.connection().connection)


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


def kind_of(sqlstate: str) -> type[exc.DBAPIError]:
    """
    What an error of the server's is. psycopg2's own sorting is too coarse: to it a server that takes no writes is an
    internal error, and a value too long for an index a matter of the server's health.

    :returns: Beaten or OperationalError for what is TRANSIENT, DatabaseError for the rest
    """
    if sqlstate.startswith("40"):
        return Beaten
    passes = sqlstate.startswith(_TRANSIENT_CLASSES) or sqlstate in _TRANSIENT_STATES
    return exc.OperationalError if passes else exc.DatabaseError


def _classify(context: ExceptionContext) -> BaseException | None:
    """Give an error the class that it deserves; None: it has it."""
    found = context.sqlalchemy_exception
    if not isinstance(found, exc.DBAPIError) or found.orig is None:
        return None
    sqlstate = getattr(found.orig, "pgcode", None)
    if sqlstate is None and not context.is_disconnect:
        return None
    kind = exc.OperationalError if context.is_disconnect else kind_of(sqlstate or "")
    fits = isinstance(found, kind) and (kind is not exc.DatabaseError or not isinstance(found, TRANSIENT))
    if fits:
        return None
    return kind(
        found.statement,
        found.params,
        found.orig,
        hide_parameters=found.hide_parameters,
        connection_invalidated=found.connection_invalidated,
    )
