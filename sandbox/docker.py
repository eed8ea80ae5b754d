"""
The same two servers in containers, for a machine whose Docker engine answers and that may install nothing.

testcontainers' reaper removes the containers when this process ends, however it ends. The data are in a volume
named after the server's directory; the file `volume` in it tells the name, for `make clean`.
"""

import contextlib
import hashlib
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import docker  # type: ignore[import-untyped]
import docker.errors  # type: ignore[import-untyped]
import requests
from testcontainers.core.container import DockerContainer

from sandbox import children, home, postgres, rabbitmq

POSTGRES_IMAGE = "postgres:17"
RABBITMQ_IMAGE = "rabbitmq:4"
INSIDE = ("listen_addresses", "unix_socket_directories")  # settings that are the image's own


def answers() -> bool:
    """Whether there is an engine."""
    try:
        return bool(docker.from_env(timeout=5).ping())
    except docker.errors.DockerException:
        return False


class PostgresContainer(postgres.PostgresServer):
    """PostgreSQL in a container, its port on 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.home = home.Home(directory)  # the server runs as a user of the container
        self._container = _Container(self.home)

    @property
    def pid(self) -> int | None:
        return self._container.pid

    def start(self) -> None:
        self.home.open()
        settings = [f"--{name}={value}" for name, value in postgres.SETTINGS.items() if name not in INSIDE]
        container = DockerContainer(POSTGRES_IMAGE).with_command(["postgres", *settings])
        container.with_envs(
            POSTGRES_PASSWORD=self.home.secret("password"), POSTGRES_INITDB_ARGS="--locale=C.UTF-8 --encoding=UTF8"
        )
        self._container.start(container, 5432, "/var/lib/postgresql/data", self._is_ready_at)
        self._close_to_others("postgres", "template1")

    def _is_ready_at(self, port: int) -> bool:
        self.port = port
        return self._is_ready()

    def _end(self, how: signal.Signals) -> None:
        self._container.end(how)


class RabbitmqContainer(rabbitmq.RabbitmqServer):
    """RabbitMQ in a container, its port on 127.0.0.1."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._container = _Container(self.home)

    @property
    def pid(self) -> int | None:
        return self._container.pid

    def start(self) -> None:
        self.home.open()
        container = DockerContainer(RABBITMQ_IMAGE).with_envs(
            RABBITMQ_DEFAULT_USER=rabbitmq.USER,
            RABBITMQ_DEFAULT_PASS=self.home.secret("password"),
            RABBITMQ_NODENAME=rabbitmq.NODE,  # else it is the container's id, and so are the data
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=rabbitmq.NO_BUSY_WAITING,
        )
        self._container.start(container, 5672, "/var/lib/rabbitmq", self._is_ready_at)

    def ctl(self, *arguments: str) -> str:
        return self._container.execute(["rabbitmqctl", "--quiet", *arguments])

    def import_definitions(self, document: str) -> None:
        # As an argument of a shell in the container, which sees no file of ours.
        script = 'printf %s "$1" | rabbitmqctl --quiet import_definitions'
        self._container.execute(["sh", "-c", script, "sh", document])

    def _is_ready_at(self, port: int) -> bool:
        self._ports["amqp"] = port
        return self._is_ready()

    def _end(self, how: signal.Signals) -> None:
        self._container.end(how)


class _Container:
    """What both have in common: a container with one port and one volume."""

    def __init__(self, server_home: home.Home) -> None:
        self._home = server_home
        self._running: list[DockerContainer] = []

    @property
    def pid(self) -> int | None:
        for container in self._running:
            wrapped = container.get_wrapped_container()
            wrapped.reload()
            return int(wrapped.attrs["State"]["Pid"]) or None
        return None

    def start(self, container: DockerContainer, port: int, data: str, is_ready_at: Callable[[int], bool]) -> None:
        """:raises children.Died: if it does not start, with the end of its log"""
        volume = f"chatness-{hashlib.sha256(bytes(self._home.path)).hexdigest()[:16]}"
        self._home.write(self._home.path / "volume", volume)
        container.with_volume_mapping(volume, data, "rw")
        try:
            self._home.launch(("host",), lambda chosen: self._run(container, port, chosen["host"], is_ready_at))
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def execute(self, command: list[str]) -> str:
        """
        What the command prints in the container.

        :raises subprocess.CalledProcessError: if it fails
        """
        done = self._running[0].exec(command)
        output = done.output.decode(errors="replace")
        if done.exit_code != 0:
            raise subprocess.CalledProcessError(done.exit_code or 1, command, output)
        return output

    def end(self, how: signal.Signals) -> None:
        for container in self._running:
            wrapped = container.get_wrapped_container()
            # It may have ended by itself, or not end in time.
            with contextlib.suppress(docker.errors.APIError, requests.RequestException):
                wrapped.kill(signal=how.name)
                wrapped.wait(timeout=20)
            container.stop()  # removes it, but not its volume, which has a name
        self._running = []
        self._home.close()

    def _run(self, container: DockerContainer, port: int, host_port: int, is_ready_at: Callable[[int], bool]) -> None:
        # docker-py takes an address as well, which testcontainers passes on but does not declare.
        container.ports[str(port)] = ("127.0.0.1", host_port)  # type: ignore[assignment]
        try:
            container.start()
        except docker.errors.APIError as error:
            container.stop()
            raise children.Died(str(error)) from None
        self._running = [container]
        children.wait_until(lambda: self.pid is None or is_ready_at(host_port), timeout_seconds=120)
        if not is_ready_at(host_port):
            raise children.Died(container.get_wrapped_container().logs(tail=10).decode(errors="replace"))
