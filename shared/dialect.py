"""
psycopg2 for SQLAlchemy, with fewer journeys to the server: what begins a transaction travels with its first
statement, and a connection at rest is asked whether it stands by a look at its socket.

By itself psycopg2 sends BEGIN alone, SQLAlchemy asks each connection `SELECT 1` before that, and our limits would be
a third journey: three of the five that a short transaction makes.
"""

import _socket
import socket
from typing import Any

import psycopg2
import psycopg2.extensions
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql import psycopg2 as standard

NAME = "chatness_psycopg2"


class Connection(psycopg2.extensions.connection):
    """
    psycopg2 leaves it to us to begin and to end transactions: to it, all is done as soon as it is said.

    :ivar beginning: how a transaction begins on it; empty: by itself each statement is one
    :ivar prologue: what goes to the server in front of the next statement
    :ivar epilogue: and what goes behind it
    :ivar prepared: the statements that the server keeps a plan of, and what it calls them
    :ivar named: how many names were given to such, to those that failed too
    """

    beginning = "BEGIN; "
    prologue = ""
    epilogue = ""
    named = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.prepared: dict[str, str] = {}

    def is_silent(self) -> bool:
        """Whether nothing has come of itself: the server says goodbye before it goes, and its system after it."""
        bare = _socket.socket(fileno=self.fileno())  # eventlet's would wait
        try:
            bare.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            bare.detach()
        return False

    def in_transaction(self) -> bool:
        """As the server knows of it, and whether it failed or not."""
        return self.get_transaction_status() != psycopg2.extensions.TRANSACTION_STATUS_IDLE


class Context(standard.PGExecutionContext_psycopg2):
    def create_server_side_cursor(self) -> Any:
        """To psycopg2 we are in no transaction, and so it would have no cursor but one that may outlive it."""
        connection = _bare(self._dbapi_connection)
        _send_prologue(connection)
        return connection.cursor(f"c_{id(self):x}", withhold=True)


class Dialect(standard.PGDialect_psycopg2):
    supports_statement_cache = True
    execution_ctx_cls = Context

    def create_connect_args(self, url: Any) -> Any:
        arguments, options = super().create_connect_args(url)  # type: ignore[no-untyped-call]
        return arguments, {"connection_factory": Connection, **options}

    def on_connect(self) -> Any:
        prepare = super().on_connect()  # type: ignore[no-untyped-call]

        def prepare_and_let_begin(connection: Any) -> None:
            if prepare is not None:
                prepare(connection)
            connection.autocommit = True

        return prepare_and_let_begin

    def set_isolation_level(self, dbapi_connection: Any, level: str) -> None:
        _bare(dbapi_connection).beginning = "" if level == "AUTOCOMMIT" else f"BEGIN ISOLATION LEVEL {level}; "

    def do_begin(self, dbapi_connection: Any) -> None:
        connection = _bare(dbapi_connection)
        connection.prologue = connection.beginning

    def do_commit(self, dbapi_connection: Any) -> None:
        _end(_bare(dbapi_connection), "COMMIT")

    def do_rollback(self, dbapi_connection: Any) -> None:
        _end(_bare(dbapi_connection), "ROLLBACK")

    def do_ping(self, dbapi_connection: Any) -> bool:
        connection = _bare(dbapi_connection)
        if not connection.is_silent():
            with connection.cursor() as cursor:  # it may have been no goodbye
                cursor.execute("SELECT 1")
        return True

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:  # noqa: ARG002
        connection = cursor.connection
        if not cursor.name:
            statement = f"{connection.prologue}{statement}{connection.epilogue}"
            connection.prologue = connection.epilogue = ""
        cursor.execute(statement, parameters)

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:  # noqa: ARG002
        _send_prologue(cursor.connection)
        cursor.execute(statement)

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        _send_prologue(cursor.connection)
        super().do_executemany(cursor, statement, parameters, context)  # type: ignore[no-untyped-call]


def begin_with(dbapi_connection: Any, statement: str) -> None:
    """Let this travel with what begins the transaction: it has no parameter, and nothing comes back."""
    _bare(dbapi_connection).prologue += f"{statement}; "


def end_with_next(dbapi_connection: Any) -> None:
    """
    Let COMMIT travel with the next statement, which must be the last and one that nobody wants rows of: what came
    after it would be no part of the transaction.
    """
    _bare(dbapi_connection).epilogue = "; COMMIT"


def prepared_on(dbapi_connection: Any) -> dict[str, str]:
    """The names of the statements that were prepared on it; whoever prepares another adds it."""
    return _bare(dbapi_connection).prepared


def new_name(dbapi_connection: Any) -> str:
    """A name that no prepared statement of this connection has, nor one that failed."""
    connection = _bare(dbapi_connection)
    connection.named += 1
    return f"p{connection.named}"


def _bare(dbapi_connection: Any) -> Connection:
    """Without the pool's wrapper."""
    bare: Connection = getattr(dbapi_connection, "dbapi_connection", dbapi_connection)
    return bare


def _send_prologue(connection: Connection) -> None:
    prologue, connection.prologue = connection.prologue, ""
    if prologue:
        with connection.cursor() as cursor:
            cursor.execute(prologue)


def _end(connection: Connection, how: str) -> None:
    """One in which nothing was said never began, and one whose last statement took COMMIT along is over."""
    connection.prologue = connection.epilogue = ""
    if connection.in_transaction():
        with connection.cursor() as cursor:
            cursor.execute(how)


registry.register(f"postgresql.{NAME}", __name__, "Dialect")
