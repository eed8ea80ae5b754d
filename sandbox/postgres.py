"""A private PostgreSQL: a directory, port and passwords of its own, and databases whose roles reach no other."""

import contextlib
import hashlib
import hmac
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

from sandbox import binaries, children, home

SUPERUSER = "postgres"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may have 107 characters, and a clone may lie deeper
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "fsync": "on",
    "timezone": "UTC",
    "track_commit_timestamp": "on",  # tells when a row became visible, for `make bench`
    "jit": "off",  # compiling costs more than our short statements do
    # There are no replicas, so nothing needs to be written or to wake up for them.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
}
if sys.platform == "linux":
    # After a crash: one sync of the file system, in place of one for each file of each database.
    SETTINGS["recovery_init_sync_method"] = "syncfs"


def start(directory: Path) -> "PostgresServer":
    """
    Start the server whose data are in the directory. It ends with the calling thread.

    :raises binaries.Missing: if its programs are not on this machine
    :raises home.Unusable: if another process runs it already
    :raises children.Died: if it does not start, with the end of its log
    """
    server = PostgresServer(directory)
    server.start()
    return server


class PostgresServer:
    """A server on 127.0.0.1. It can be stopped or killed, and started again with its data and passwords."""

    def __init__(self, directory: Path) -> None:
        self.home = home.Home(directory, account=home.unprivileged_account())
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def admin_url(self) -> str:
        return self._url(user=SUPERUSER, password=self.home.secret("password"), database="postgres")

    def start(self) -> None:
        self.home.open()
        try:
            self._end_left_over()
            programs = self._programs()
            if not self._data.exists():
                self._create_cluster(programs)
            self.port = self.home.launch(("postgres",), lambda port: self._run(programs, **port))["postgres"]
            self._close_to_others("postgres", "template1")
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End all connections and write everything to disk."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End at once, as if it had crashed: the next start recovers what was committed."""
        self._end(signal.SIGQUIT)

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """
        The URL of a database, made if need be, with a role of the same name that can reach no other.

        :param template: a database of ours to copy, to which nobody is connected; the copy belongs to its role
        """
        role = template or name
        with self.administer() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
            if cursor.fetchone() is None:
                statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                cursor.execute(statement.format(sql.Identifier(role), sql.Literal(self._password(role))))
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if cursor.fetchone() is None:
                words = sql.Identifier(name), sql.Identifier(role), sql.Identifier(template or "template1")
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(*words))
        self._close_to_others(name)
        return self._url(user=role, password=self._password(role), database=name)

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        with self.administer() as cursor:
            cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def administer(self) -> Iterator[psycopg2.extensions.cursor]:
        """A cursor of the superuser, each statement its own transaction."""
        connection = psycopg2.connect(self.admin_url.replace("+psycopg2", ""))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    @property
    def _data(self) -> Path:
        return self.home.path / "data"

    @property
    def _log(self) -> Path:
        return self.home.path / "postgres.log"

    @property
    def _pid_file(self) -> Path:
        return self.home.path / "postgres.pid"

    def _url(self, *, user: str, password: str, database: str) -> str:
        return f"postgresql+psycopg2://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def _password(self, role: str) -> str:
        """The same for the same role and directory, without keeping a list."""
        return hmac.digest(self.home.secret("password").encode(), role.encode(), hashlib.sha256).hex()

    def _programs(self) -> Path:
        version_file = self._data / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else None
        programs = binaries.postgres(version)
        if programs is None:
            needed = f"PostgreSQL {version}, which made {self._data}," if version else "PostgreSQL"
            raise binaries.Missing(f"{needed} is not installed: install it" + (", or make clean" if version else ""))
        return programs

    def _end_left_over(self) -> None:
        """End the server of a former run that was killed itself, if the kernel has not done so."""
        if process := children.recall(self._pid_file):
            children.end(process, signal.SIGINT, grace_seconds=10)

    def _create_cluster(self, programs: Path) -> None:
        """Make the data directory, under another name first: one of the right name is whole."""
        draft = self._data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        self.home.secret("password")
        command: list[str | Path] = [programs / "initdb", "-D", draft, "--username", SUPERUSER]
        command += ["--pwfile", self.home.path / "password", "--auth", "scram-sha-256"]
        command += ["--encoding", "UTF8", "--locale", "C.UTF-8"]
        initdb = self._spawn(command)
        if initdb.wait() != 0:
            raise children.Died(children.last_lines(self._log))
        draft.rename(self._data)

    def _run(self, programs: Path, postgres: int) -> None:
        self.port = postgres
        settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(postgres)}.items()]
        self._process = self._spawn([programs / "postgres", "-D", self._data, *settings])
        children.remember(self._pid_file, self._process.pid)
        children.await_start(self._process, self._is_ready, log=self._log)

    def _spawn(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        with children.log(self._log) as output:
            return children.spawn(
                command,
                env=children.environment(),
                directory=self.home.path,
                output=output,
                death_signal=signal.SIGINT,
                account=self.home.account,
            )

    def _is_ready(self) -> bool:
        with contextlib.suppress(psycopg2.OperationalError), self.administer():
            return True
        return False

    def _close_to_others(self, *databases: str) -> None:
        """By default every role may connect to every database."""
        names = sql.SQL(", ").join(map(sql.Identifier, databases))
        with self.administer() as cursor:
            cursor.execute(sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(names))

    def _end(self, how: signal.Signals) -> None:
        if self._process:
            children.finish(self._process, how, grace_seconds=10)
            self._process = None
            self._pid_file.unlink(missing_ok=True)
        self.home.close()
