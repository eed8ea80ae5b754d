"""A private RabbitMQ: a node with a directory, ports, password, cookie and epmd of its own, all on 127.0.0.1."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import pika
import pika.exceptions

from sandbox import binaries, children, home, ports

USER = "chatness"
NODE = "chatness@localhost"
NO_BUSY_WAITING = "+sbwt none +sbwtdcpu none +sbwtdio none"  # an idle broker costs no processor time
LOOPBACK = "-kernel inet_dist_use_interface {127,0,0,1}"

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
default_user = {user}
default_pass = {password}
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 100MB
raft.wal_max_size_bytes = 33554432
log.file.rotation.size = 10000000
log.file.rotation.count = 1
"""

# Erlang's own resolver, so that the node's name needs neither DNS nor a particular /etc/hosts.
RESOLVER = """\
{host, {127,0,0,1}, ["localhost"]}.
{lookup, [file]}.
"""


def start(directory: Path) -> "RabbitmqServer":
    """
    Start the server whose data are in the directory. It ends with the calling thread.

    :raises binaries.Missing: if its programs are not on this machine
    :raises home.Unusable: if another process runs it already
    :raises children.Died: if it does not start, with the end of its log
    """
    server = RabbitmqServer(directory)
    server.start()
    return server


class RabbitmqServer:
    """A server on 127.0.0.1. It can be stopped or killed, and started again with its data and passwords."""

    def __init__(self, directory: Path) -> None:
        self.home = home.Home(directory)
        self._ports = {"amqp": 0, "distribution": 0, "epmd": 0}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def pid(self) -> int | None:
        return self._children["beam"].pid if self._children else None

    @property
    def port(self) -> int:
        return self._ports["amqp"]

    @property
    def uri(self) -> str:
        return self.uri_of("/")

    def uri_of(self, vhost: str, *, user: str = USER) -> str:
        return f"amqp://{user}:{self.password_of(user)}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def password_of(self, user: str) -> str:
        """Random, and the same at every start; of another user than ours: to give it with `import_definitions`."""
        return self.home.secret("password" if user == USER else f"{user}.password")

    def start(self) -> None:
        self.home.open()
        try:
            self._end_left_over()
            programs = self._programs()
            self._ports = self.home.launch(
                ("amqp", "distribution", "epmd"), lambda chosen: self._run(programs, chosen)
            )
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Close all connections and write everything to disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End at once, as if it had crashed."""
        self._end(signal.SIGKILL)

    def ctl(self, *arguments: str) -> str:
        """
        What `rabbitmqctl` with these arguments prints. It takes half a second to start.

        :raises subprocess.CalledProcessError: if it fails
        """
        command = [str(self._programs().ctl), "--quiet", *arguments]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=True)  # noqa: S603
        return done.stdout

    def add_vhosts(self, *names: str) -> None:
        """Make virtual hosts in which our user may do everything: many cost hardly more than one."""
        hosts = ", ".join(f'<<"{name}">>' for name in names)
        everything = '<<".*">>, <<".*">>, <<".*">>'
        self.ctl(
            "eval",
            f'[begin ok = rabbit_vhost:add(Name, <<"{USER}">>), ok = rabbit_auth_backend_internal:set_permissions('
            f'<<"{USER}">>, Name, {everything}, <<"{USER}">>) end || Name <- [{hosts}]].',
        )

    def import_definitions(self, document: str) -> None:
        """Make users, permissions, exchanges and bindings that the JSON document names, where they are not so yet."""
        path = self.home.write(self.home.path / "definitions.json", document)
        self.ctl("import_definitions", str(path))
        path.unlink()

    def _programs(self) -> binaries.Rabbitmq:
        programs = binaries.rabbitmq()
        if programs is None:
            raise binaries.Missing("RabbitMQ is not installed: install it")
        return programs

    def _end_left_over(self) -> None:
        """End what is left of a former run that was killed itself, if the kernel has not done so."""
        for name in ("beam", "epmd"):
            if process := children.recall(self._pid_file(name)):
                children.end(process, signal.SIGTERM, grace_seconds=10)

    def _run(self, programs: binaries.Rabbitmq, chosen: dict[str, int]) -> None:
        self._ports = chosen
        self._write_files()
        self._spawn("epmd", [programs.epmd, "-port", str(chosen["epmd"]), "-address", "127.0.0.1"])
        # Our own epmd first: the server would start one that outlives it.
        children.await_start(self._children["epmd"], lambda: ports.answers(chosen["epmd"]), log=self._log)
        beam = self._spawn("beam", [programs.server], death_signal=signal.SIGTERM)
        try:
            children.await_start(beam, self._is_ready, log=self._log)
        except children.Died:
            self._end_children(signal.SIGKILL)
            raise

    def _write_files(self) -> None:
        configuration = CONFIGURATION.format(user=USER, password=self.home.secret("password"), **self._ports)
        files = {
            "rabbitmq.conf": configuration,
            "inetrc": RESOLVER,
            "enabled_plugins": "[].\n",
            "rabbitmq-env.conf": "",
            ".erlang.cookie": self.home.secret("cookie"),
        }
        for name, text in files.items():
            self.home.write(self.home.path / name, text)

    def _environment(self) -> dict[str, str]:
        cores = min(os.cpu_count() or 1, 4)
        path = self.home.path
        return children.environment(
            HOME=str(path),
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_EPMD_PORT=str(self._ports["epmd"]),
            ERL_INETRC=str(path / "inetrc"),
            RABBITMQ_NODENAME=NODE,
            RABBITMQ_DIST_PORT=str(self._ports["distribution"]),
            RABBITMQ_CONF_ENV_FILE=str(path / "rabbitmq-env.conf"),
            RABBITMQ_CONFIG_FILE=str(path / "rabbitmq.conf"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(path / "enabled_plugins"),
            RABBITMQ_PLUGINS_EXPAND_DIR=str(path / "plugins"),
            RABBITMQ_MNESIA_BASE=str(path / "data"),
            RABBITMQ_LOG_BASE=str(path / "log"),
            RABBITMQ_CTL_ERL_ARGS=LOOPBACK,
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=(
                f"{LOOPBACK} {NO_BUSY_WAITING} +S {cores}:{cores} +A 4 +SDio 4 +B i"
            ),
            # Makes the start script replace itself by the server instead of waiting for it: our child is the server.
            RUNNING_UNDER_SYSTEMD="true",
        )

    @property
    def _log(self) -> Path:
        return self.home.path / "output.log"

    def _pid_file(self, name: str) -> Path:
        return self.home.path / f"{name}.pid"

    def _spawn(
        self, name: str, command: list[str | Path], *, death_signal: signal.Signals = signal.SIGKILL
    ) -> subprocess.Popen[bytes]:
        with children.log(self._log) as output:
            child = children.spawn(
                command,
                env=self._environment(),
                directory=self.home.path,
                output=output,
                death_signal=death_signal,
            )
        self._children[name] = child
        children.remember(self._pid_file(name), child.pid)
        return child

    def _is_ready(self) -> bool:
        """Whether a client gets through the whole handshake. (pika logs errors before there is a listener.)"""
        if not ports.answers(self.port):
            return False
        with contextlib.suppress(pika.exceptions.AMQPError):
            pika.BlockingConnection(pika.URLParameters(self.uri)).close()
            return True
        return False

    def _end(self, how: signal.Signals) -> None:
        self._end_children(how)
        self.home.close()

    def _end_children(self, how: signal.Signals) -> None:
        for name in reversed([*self._children]):
            children.finish(self._children[name], how, grace_seconds=20)
            self._pid_file(name).unlink(missing_ok=True)
        self._children = {}
