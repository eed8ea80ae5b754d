"""The whole stack as real processes: started, killed and started again; with orgs that use it over HTTP."""

import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from sqlalchemy import text

from ops import broker, client, processes
from ops import stack as composition
from sandbox import binaries, children, clean, infrastructure, ports
from sandbox.postgres import PostgresServer
from sandbox.rabbitmq import RabbitmqServer
from shared import clock, database
from tests.infrastructure import NewDatabase

CHATNESS = (sys.executable, "-m", "ops.cli")
READY_SECONDS = 60
SETTLE_SECONDS = 15
PASSWORD = "correct horse battery staple"
GOOD_CARD = "4242424242424242"
SCOPES = ["messages:write", "messages:refund", "usage:read", "bots:read", "bots:write"]

Found = TypeVar("Found")


def eventually(
    find: Callable[[], Found], what: str = "it did not happen", *, seconds: float = SETTLE_SECONDS
) -> Found:
    """What `find` gives, as soon as it gives something true."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return found


@dataclass
class Process:
    """:param health_port: where it says whether it is ready; for the sandbox's servers, the port they serve"""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    health_port: int
    child: "subprocess.Popen[bytes] | None" = None

    @property
    def pid(self) -> int:
        assert self.child is not None
        return self.child.pid

    @property
    def lives(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def start(self) -> None:
        with children.log(self.log) as output:
            self.child = children.spawn(self.command, env=self.environment, directory=Path.cwd(), output=output)

    def await_ready(self) -> None:
        ready = children.wait_until(self._is_ready, timeout_seconds=READY_SECONDS)
        assert ready, f"{self.name} is not ready: {children.last_lines(self.log)}"

    def restart(self) -> None:
        self.start()
        self.await_ready()

    def kill(self) -> None:
        """SIGKILL: nothing is tidied up."""
        assert self.child is not None
        self.child.kill()
        self.child.wait()

    def pause(self) -> None:
        """It stands still, and keeps its connections, until `kill` or `resume`."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def ask_to_stop(self) -> None:
        if self.lives:
            os.kill(self.pid, signal.SIGTERM)

    def stop(self) -> None:
        if self.child is not None:
            children.finish(self.child, signal.SIGTERM, grace_seconds=10)

    def _is_ready(self) -> bool:
        assert self.lives, f"{self.name} ended: {children.last_lines(self.log)}"
        if "sandbox." in " ".join(self.command):
            return ports.answers(self.health_port)
        try:
            return requests.get(f"http://127.0.0.1:{self.health_port}/readyz", timeout=5).ok
        except requests.ConnectionError:
            return False


class Running:
    """A stack whose servers stand; its processes are started by name, as `ops.stack` composes them, or added."""

    def __init__(self, composed: composition.Stack) -> None:
        self.directory = composed.directory
        self.environment = composed.environment
        self.mail_folder = composed.mail_folder
        self.clock = clock.Clock(composed.clock_file)
        self.processes: dict[str, Process] = {}
        self._composed = composed
        self._numbers = itertools.count(1)
        self._databases: dict[str, database.Database] = {}

    def add(self, name: str, *command: str, **environment: str) -> Process:
        """Start one more process, without waiting for it."""
        health_port = int(command[command.index("--port") + 1]) if "--port" in command else ports.free()
        given = {**self.environment, "CHATNESS_HEALTH_PORT": str(health_port), **environment}
        log = self.directory / "logs" / f"{name}.log"
        process = self.processes[name] = Process(name, command, given, log, health_port)
        process.start()
        return process

    def add_composed(self, *names: str, **environment: str) -> None:
        for name in names:
            self.add(name, *self._composed.commands[name], **environment)

    def await_ready(self) -> None:
        for process in self.processes.values():
            process.await_ready()

    def stop(self) -> None:
        for process in self.processes.values():
            process.ask_to_stop()
        for process in self.processes.values():
            process.stop()
        for home in self._databases.values():
            home.close()

    @property
    def url(self) -> str:
        return self.environment["PUBLIC_URL"]

    @property
    def api(self) -> client.Api:
        """Without a token."""
        return client.Api(self.url)

    def run(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """A command of the command line, to its end."""
        return run(*words, **{"CHATNESS_RUN": str(self.directory), **environment})

    def database(self, service: str) -> database.Database:
        if service not in self._databases:
            url = self.environment[f"{service.upper()}_DATABASE_URL"]
            self._databases[service] = database.Database(url, self.clock)
        return self._databases[service]

    def rows(self, service: str, sql: str, **parameters: Any) -> list[Any]:
        """What a service's database holds."""
        with self.database(service).begin() as session:
            return list(session.execute(text(sql), parameters))

    def events(self, service: str, name: str, org_id: str) -> list[Any]:
        """The org's events of this name."""
        named = "SELECT * FROM events WHERE name = :name AND stream LIKE :stream ORDER BY recorded_at, version"
        return self.rows(service, named, name=name, stream=f"%{org_id}%")

    def stripe(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Turn a knob of the Stripe sandbox, or look at it; see `sandbox.stripe.knobs`."""
        url = f"{self.environment['STRIPE_API_BASE']}/_sandbox/{path}"
        method = "GET" if body is None else "POST"
        answer = requests.request(method, url, json=body, timeout=client.TIMEOUT_SECONDS)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sign_up(self, *, email: str = "", name: str = "Ada", org_name: str = "Engines") -> "Org":
        """A new org on Free, with an owner who is signed in, a bot, and a secret."""
        email = email or f"owner-{next(self._numbers)}-{time.time_ns()}@example.com"
        person = {"name": name, "email": email, "password": PASSWORD}
        self._patiently("/v1/accounts", {**person, "org_name": org_name})
        token = eventually(lambda: client.mailed_token(self.mail_folder, to=email), "no mail came")
        confirmed = self._patiently("/v1/email-confirmations", {"token": token}).json()
        session = self._patiently("/v1/sessions", {"email": email, "password": PASSWORD}).json()
        owner = self.api.with_token(session["token"])
        eventually(lambda: owner.ask("GET", "/v1/usage").status_code == 200, "quota does not know the org")
        bot = owner.ask("POST", "/v1/bots", {"name": "Charles"}).json()
        secret = owner.ask("POST", "/v1/secrets", {"name": "runtime", "scopes": SCOPES}).json()
        return Org(
            stack=self,
            id=confirmed["org"]["id"],
            email=email,
            owner=owner,
            program=self.api.with_token(secret["secret"]),
            secret_id=secret["id"],
            bot_id=bot["id"],
        )

    def _patiently(self, path: str, body: dict[str, Any]) -> requests.Response:
        """A machine that is busy with other tests may not hash a password in time: 503 says to ask again."""

        def ask() -> list[requests.Response]:
            answer = self.api.ask("POST", path, body)
            return [] if answer.status_code == 503 else [answer]

        (answer,) = eventually(ask, f"{path} is away", seconds=READY_SECONDS)
        assert answer.ok, answer.text
        return answer


@dataclass(frozen=True, kw_only=True)
class Org:
    """:param program: acts with the org's API secret"""

    stack: Running = field(repr=False)
    id: str
    email: str
    owner: client.Api
    program: client.Api
    secret_id: str
    bot_id: str

    def usage(self) -> dict[str, Any]:
        answer = self.owner.ask("GET", "/v1/usage")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def subscription(self) -> dict[str, Any]:
        answer = self.owner.ask("GET", "/v1/subscription")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def send(self, message_id: str) -> requests.Response:
        return self.program.ask("POST", "/v1/messages", {"bot_id": self.bot_id, "id": message_id})

    def bots(self) -> list[tuple[str, str]]:
        """Each bot's name and state, oldest first."""
        return [(bot["name"], bot["state"]) for bot in self.owner.ask("GET", "/v1/bots").json()["data"]]

    def change_plan(self, plan: str) -> requests.Response:
        return self.owner.ask("PUT", "/v1/subscription", {"plan": plan})

    def open_checkout(self, plan: str) -> str:
        answer = self.change_plan(plan)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["checkout_url"])

    def subscribe(self, plan: str, *, limit: int) -> None:
        """The first paid plan: through the Checkout page, until quota counts by its limit."""
        pay(self.open_checkout(plan))
        eventually(lambda: self.usage()["limit"] == limit, f"{plan} has not reached quota")


def pay(checkout_url: str) -> None:
    """Fill in the Checkout page as a person would."""
    answer = requests.post(
        checkout_url, data={"number": GOOD_CARD}, allow_redirects=False, timeout=client.TIMEOUT_SECONDS
    )
    assert answer.status_code in (302, 303), answer.text


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command of the command line, to its end, with nothing of the tests' own stack in its environment."""
    return subprocess.run(
        [*CHATNESS, *words],
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """Where another user's PostgreSQL can reach it; gone in the end, with whatever runs in it."""
    directory = Path(tempfile.mkdtemp(prefix="chatness-stack-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        clean.end_processes(directory)
        clean.remove(directory)


@contextmanager
def standing(directory: Path, *, urls: Mapping[str, str]) -> Iterator[Running]:
    """
    A stack on servers that stand already, its databases migrated, and no process started yet.

    :param urls: AMQP_URI, and …_DATABASE_URL of each service
    """
    _allow_many_connections()
    (directory / "logs").mkdir()
    with ExitStack() as open_stack:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**urls, "CHATNESS_LOG_LEVEL": "DEBUG", "CHATNESS_LOG_FORMAT": "json"}.items():
                patch.setenv(name, value)
            composed = open_stack.enter_context(composition.servers(directory, port=ports.free()))
        running = Running(composed)
        open_stack.callback(running.stop)
        migrated = run("migrate", **running.environment)
        assert migrated.returncode == 0, migrated.stderr
        yield running


def _allow_many_connections() -> None:
    """A thousand clients at once need more open files than some machines begin with; processes inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))


@pytest.fixture(scope="session")
def stack(new_database: NewDatabase, new_vhost: Callable[[], str], rabbitmq: RabbitmqServer) -> Iterator[Running]:
    """
    The processes as `chatness up` starts them, on the session's servers, and a second gateway and quota. Some of them
    sign in to RabbitMQ as users that may do no more than these processes need.
    """
    urls = {f"{name.upper()}_DATABASE_URL": new_database() for name in processes.SERVICES}
    urls["AMQP_URI"] = new_vhost()
    vhost = urls["AMQP_URI"].rpartition("/")[2]
    urls["FOREIGN_AMQP_URI"] = composition.add_bot_runtime(rabbitmq, vhost=vhost)
    uris = _add_users(
        rabbitmq, vhost, {"ours": processes.SERVICES, "ours-quota": ["quota"], "ours-gateway": ["gateway"]}
    )
    with temporary_directory() as directory, standing(directory, urls=urls) as running:
        running.add_composed("mail", "stripe", "services", "gateway")
        running.add_composed("worker", AMQP_URI=uris["ours"])
        running.add("quota 2", *CHATNESS, "serve", "quota", AMQP_URI=uris["ours-quota"])
        second = {"CHATNESS_PORT": str(ports.free()), "AMQP_URI": uris["ours-gateway"]}
        running.add("gateway 2", *CHATNESS, "serve", "gateway", **second)
        running.await_ready()
        yield running


def _add_users(rabbitmq: RabbitmqServer, vhost: str, runs: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The URIs of users for processes that run these, by the user's name."""
    together: dict[str, list[Any]] = {}
    for name, services in runs.items():
        account = broker.Account(name=name, password=rabbitmq.password_of(name), vhost=vhost)
        for kind, entries in broker.of_ours(account, runs=services).items():
            together.setdefault(kind, []).extend(entries)
    rabbitmq.import_definitions(json.dumps(together))
    return {name: rabbitmq.uri_of(vhost, user=name) for name in runs}


@pytest.fixture(scope="session")
def second_url(stack: Running) -> str:
    """The address of the second gateway."""
    return f"http://127.0.0.1:{stack.processes['gateway 2'].environment['CHATNESS_PORT']}"


@dataclass(frozen=True)
class Private:
    """A stack with servers of its own, which a test may take away. Each service is its own process."""

    stack: Running
    postgres: PostgresServer
    rabbitmq: RabbitmqServer


@pytest.fixture(scope="module")
def private(backend: binaries.Backend) -> Iterator[Private]:
    with temporary_directory() as directory, ExitStack() as servers:
        postgres = infrastructure.start_postgres(backend, directory / "postgres")
        servers.callback(postgres.stop)
        rabbitmq = infrastructure.start_rabbitmq(backend, directory / "rabbitmq")
        servers.callback(rabbitmq.stop)
        urls = {f"{name.upper()}_DATABASE_URL": postgres.create_database(name) for name in processes.SERVICES}
        (directory / "run").mkdir()
        with standing(directory / "run", urls={**urls, "AMQP_URI": rabbitmq.uri}) as running:
            running.add_composed("mail", "stripe", "worker", "gateway")
            running.add("services", *CHATNESS, "serve", "accounts", "billing", "secrets")
            running.add("quota", *CHATNESS, "serve", "quota")
            running.await_ready()
            yield Private(running, postgres, rabbitmq)
